"""``--kinda-artifacts``: what explains a failed test, collected before anything is put back."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.plugin.marks import Want
from pytest_kinda.plugin.recording import folder_of, prepare
from pytest_kinda.plugin.testbeds import Left, Testbeds

LIMIT = 30.0
"""Seconds that the evidence of one test may take."""

_FAILED = pytest.StashKey[bool]()
_COLLECTED = pytest.StashKey[bool]()
SECTION = "kinda evidence"


def after(item: pytest.Item, report: pytest.TestReport, testbeds: Testbeds, want: Want) -> None:
    """A phase of a test has ended: collect when it is time for that, settle all at the end."""
    if report.failed:
        item.stash[_FAILED] = True
    options = testbeds.options
    due = report.failed or (options.artifacts_when == "always" and report.when == "call")
    if options.artifacts_when != "never" and due and not item.stash.get(_COLLECTED, False):
        testbed = testbeds.standing_for(want)
        if hasattr(testbed, "evidence"):
            item.stash[_COLLECTED] = True
            text = _collect(item, testbed, options.artifacts)
            report.sections.append((SECTION, text))
        elif testbeds.failed_build is not None:
            logs, testbeds.failed_build = testbeds.failed_build, None
            item.stash[_COLLECTED] = True
            report.sections.append((SECTION, _of_a_build(item, logs, options.artifacts)))
    if report.when == "teardown":
        _settle(item, report, testbeds)


def _collect(item: pytest.Item, testbed: Any, root: Path) -> str:
    """Collect, and say in a few lines what there is. Never raises for what goes wrong."""
    begun = time.monotonic()
    try:
        folder = prepare(root, item.nodeid)
        pieces = testbed.evidence(folder, limit=LIMIT)
    # Whatever is wrong here must not stand in the place of the test's own failure.
    except Exception as error:
        return f"could not be collected: {type(error).__name__}: {error}"
    item.user_properties.append(("kinda_artifacts", str(folder)))
    well = [piece.name for piece in pieces if not piece.problem]
    lines = [f"{folder} ({len(well)} files, {time.monotonic() - begun:.1f} s)"]
    lines += [f"  {name}" for name in well]
    lines += [f"  {piece.name}: missing: {piece.problem}" for piece in pieces if piece.problem]
    return "\n".join(lines)


def _of_a_build(item: pytest.Item, logs: Path, root: Path) -> str:
    """Copy the logs of a build that failed: its testbed is gone. Never raises for what is wrong."""
    try:
        folder = prepare(root, item.nodeid) / "build"
        shutil.copytree(logs, folder, dirs_exist_ok=True)
    except OSError as error:
        return f"could not be collected: {error}"
    item.user_properties.append(("kinda_artifacts", str(folder.parent)))
    names = sorted(one.name for one in folder.iterdir())
    return "\n".join(
        [f"{folder.parent} ({len(names)} files)", *(f"  build/{one}" for one in names)]
    )


def _settle(item: pytest.Item, report: pytest.TestReport, testbeds: Testbeds) -> None:
    """Keep or remove the test's capture; note what it left for the summary."""
    recorder, options = testbeds.recorder, testbeds.options
    path, recorder.path = recorder.path, None
    kept = False
    if path is not None:
        kept = item.stash.get(_FAILED, False) or options.pcap_keep == "always"
        if recorder.problem:
            report.sections.append(("kinda pcap", f"not complete: {recorder.problem}"))
        if not kept:
            with contextlib.suppress(OSError):  # it may hold evidence, or files of an earlier run
                path.unlink()
                path.parent.rmdir()
    if kept or item.stash.get(_COLLECTED, False):
        folder = folder_of(options.artifacts, item.nodeid)
        drops = recorder.drops if kept else 0
        testbeds.account.left.append(Left(item.nodeid, str(folder), drops))
