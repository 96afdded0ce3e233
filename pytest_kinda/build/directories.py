"""Where testbeds keep what they need on disk, by the XDG rules, readable by their user only."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pytest_kinda.errors import KindaError

_MOST_LOGS = 20
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


def state_directory() -> Path:
    """``$XDG_STATE_HOME/pytest-kinda``, made if it is missing, mode 0700."""
    given = os.environ.get("XDG_STATE_HOME", "")
    root = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return _private(root / "pytest-kinda")


def testbeds_directory() -> Path:
    """The directory with one directory per testbed."""
    return _private(state_directory() / "testbeds")


def logs_directory(testbed: str) -> Path:
    """Where the logs of a build that failed stay after its undo; the oldest make room."""
    parent = _private(state_directory() / "logs")
    found = sorted(parent.iterdir(), key=lambda one: one.stat().st_mtime)
    for old in found[: max(0, len(found) + 1 - _MOST_LOGS)]:
        shutil.rmtree(old, ignore_errors=True)
    return _private(parent / testbed)


def new_testbed_directory(testbed: str, parent: Path | None = None) -> Path:
    """The new, empty directory of a testbed.

    Raises KindaError for an id that is no name for containers, or that is taken.
    """
    if not _ID.fullmatch(testbed):
        raise KindaError(
            f"{testbed!r} is no name for a testbed; expected at most 24 of a-z, 0-9 and '-', "
            "neither first nor last a '-'"
        )
    directory = (parent or testbeds_directory()) / testbed
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise KindaError(
            f"a testbed named {testbed} is there already ({directory})",
            remedy=f"kinda clean {testbed}, or choose another name",
        ) from None
    return directory


def is_ours(directory: Path) -> bool:
    """Whether a testbed's directory is this user's; another's is neither listed nor touched."""
    try:
        return directory.is_dir() and directory.stat().st_uid == os.geteuid()
    except OSError:
        return False


def find_testbed_directory(name: str | Path) -> Path:
    """The directory of a testbed given by its id or by the directory itself.

    Raises KindaError with the known ids.
    """
    for candidate in (Path(name), testbeds_directory() / str(name)):
        # One of ours without a journal: a removal was killed when it had removed all but itself.
        ours = candidate.parent == testbeds_directory() and candidate.is_dir()
        if ours or (candidate / "journal.jsonl").is_file():
            if not is_ours(candidate):
                raise KindaError(
                    f"testbed {candidate.name} belongs to user {candidate.stat().st_uid}; "
                    f"this is user {os.geteuid()}",
                    remedy="ask that user, or become it",
                )
            return candidate.resolve()
    known = sorted(one.name for one in testbeds_directory().iterdir() if is_ours(one))
    raise KindaError(
        f"there is no testbed {str(name)!r}; known: {', '.join(known) or 'none'}", remedy="kinda ls"
    )


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
