"""SIGKILL of a triangle's build at points between its journal's lines: nothing stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from datetime import date
from pathlib import Path

import pytest

from pytest_kinda.build import catalogue
from pytest_kinda.errors import HostError
from pytest_kinda.host.journal import Journal
from tests.support.builds import await_true, journal_lines, start_building
from tests.support.machine import Snapshot

pytestmark = pytest.mark.slow

EVERY = os.environ.get("KINDA_TEST_KILL") == "every"
"""Whether no point is left out (``make test-kill``)."""
SEEDS = (8, 21)
"""Seeds of the sample, a day each; ``KINDA_TEST_SEED`` gives another."""
SEED = int(os.environ.get("KINDA_TEST_SEED", SEEDS[date.today().toordinal() % len(SEEDS)]))
POINTS = 8
_LINES = 45  # of the journal of a triangle that is complete, about
_UNDO = 15.0
"""Seconds that the keeper may take for a triangle, from the death of its last owner."""


def killing_points() -> list[int]:
    """A seeded sample: the beginning, the end, and lines between them; or every line."""
    if EVERY:
        return [*range(1, _LINES + 1), 10**6]
    inner = random.Random(SEED).sample(range(2, _LINES), POINTS - 2)
    return [1, *sorted(inner), 10**6]


@pytest.mark.parametrize("lines", killing_points())
def test_a_killed_build_is_undone_within_its_time(
    testbed_id: str, state_home: Path, same_machine: Snapshot, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("TRIANGLE", testbed_id) as process:
        kill_at(process, directory, lines)
    begun = time.monotonic()
    await_true(lambda: not directory.exists(), "the undo by the keeper", _UNDO)
    print(f"killed at line {lines}: undone within {time.monotonic() - begun:.1f} s")


@pytest.mark.parametrize("lines", killing_points() if EVERY else [20])
def test_a_build_killed_with_its_keeper_is_cleaned(
    testbed_id: str, state_home: Path, same_machine: Snapshot, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("TRIANGLE", testbed_id) as process:
        await_true(lambda: journal_lines(directory) >= 1, "the keeper")
        keeper = int(Journal.read(directory).meta["pid"])
        kill_at(process, directory, lines, keeper)
    assert catalogue.clean(testbed_id, lambda line: None) == ()


def test_ctrl_c_in_the_build_undoes_it(
    testbed_id: str, state_home: Path, same_machine: Snapshot
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("TRIANGLE", testbed_id) as process:
        await_true(lambda: journal_lines(directory) >= 20, "the wiring in the journal")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in output
    assert not directory.exists()


def kill_at(process: subprocess.Popen[str], directory: Path, lines: int, keeper: int = 0) -> None:
    """SIGKILL when the journal has that many lines, or when the build is complete.

    The ``keeper``, if it is given, is killed first.
    """

    def reached() -> bool:
        if journal_lines(directory) >= lines:
            return True
        try:
            return Journal.read(directory).notes.get("state") == "complete"
        except HostError:  # there is no journal yet
            return False

    await_true(reached, f"{lines} lines in the journal", 240)
    if keeper:
        os.kill(keeper, signal.SIGKILL)
    process.kill()
