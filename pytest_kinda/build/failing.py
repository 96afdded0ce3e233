"""What becomes of a build that fails: its step is named, its logs stay, all else is undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_kinda.build.directories import logs_directory
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.progress import Progress, step
from pytest_kinda.errors import BuildError, KindaError, UndoError


@contextmanager
def build_step(progress: Progress, name: str) -> Iterator[None]:
    """A step of the build: reported, and its errors become a BuildError that names it."""
    with step(progress, name):
        try:
            yield
        except BuildError:
            raise
        except KindaError as error:
            raise BuildError(name, error.message, remedy=error.remedy) from error
        except Exception as error:
            raise BuildError(name, f"{type(error).__name__}: {error}") from error


def undone(
    keeper: KeeperClient, home: Path, progress: Progress, error: BaseException
) -> BuildError:
    """Undo the testbed in ``home``, whose build has ended by ``error``; the error that says so."""
    testbed = home.name
    logs = _save_logs(home, testbed)
    try:
        with step(progress, "undo"):
            left = keeper.undo(lambda line: None)
    except KindaError as trouble:
        left = (trouble.message,)
    failure = error if isinstance(error, KindaError) else BuildError("build", repr(error))
    remedies = [failure.remedy, f"the logs are in {logs}" if logs else ""]
    cause = failure.cause if isinstance(failure, BuildError) else failure.message
    if left:
        cause += "\n" + UndoError(testbed, left).message
        remedies.append(f"kinda clean {testbed}")
    name = failure.step if isinstance(failure, BuildError) else "build"
    remedy = "; ".join(one for one in remedies if one)
    return BuildError(name, cause, remedy=remedy, logs=logs)


def _save_logs(home: Path, testbed: str) -> Path | None:
    """Copy the logs to where they outlive the testbed's directory."""
    found = [one for one in (*home.glob("*.log"), home / "journal.jsonl") if one.is_file()]
    if not found:
        return None
    target = logs_directory(testbed)
    for one in found:
        shutil.copy(one, target / one.name)
    return target
