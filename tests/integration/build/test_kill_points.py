"""SIGKILL of a triangle's build and removal at points between their steps: nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_kinda.build import catalogue
from tests.support.builds import await_true, journal_lines, start_building
from tests.support.killing import LINES, Point, keeper_of, kill_at, points, removal_by, seed
from tests.support.machine import Snapshot

pytestmark = pytest.mark.slow

SEED = seed()
_UNDO = 15.0
"""Seconds that the keeper may take for a triangle, from the death of its last owner."""
_FEWEST = 12
"""Changes that the removal of a triangle makes at least."""


@pytest.mark.parametrize("point", points(SEED), ids=str)
def test_a_killed_build_leaves_nothing(
    testbed_id: str, state_home: Path, same_machine: Snapshot, point: Point
) -> None:
    print(f"the points are those of KINDA_TEST_SEED={SEED}")
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("TRIANGLE", testbed_id) as process:
        await_true(lambda: keeper_of(directory) != 0, "the keeper")
        kill_at(process, directory, point.lines, keeper_of(directory) if point.keeper else 0)
    if point.keeper:
        assert catalogue.clean(testbed_id, lambda line: None) == ()
        return
    begun = time.monotonic()
    await_true(lambda: not directory.exists(), "the undo by the keeper", _UNDO)
    print(f"killed at {point}: undone within {time.monotonic() - begun:.1f} s")


def test_a_removal_killed_after_every_step_is_ended_by_the_next(
    testbed_id: str, state_home: Path, same_machine: Snapshot
) -> None:
    """Builder and keeper are killed as the removal begins, then each ``kinda clean`` in turn."""
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("TRIANGLE", testbed_id) as process:
        assert process.stdout is not None
        said = next((line for line in process.stdout if line == "built\n"), "not built")
        assert said == "built\n"
        lines = journal_lines(directory)
        assert lines <= LINES + 12, f"tests.support.killing.LINES is not enough: there are {lines}"
        print(f"the complete journal has {lines} lines")
        keeper = keeper_of(directory)
        process.send_signal(signal.SIGUSR1)
        await_true(lambda: removal_by(keeper) != 0, "the removal by the keeper")
        process.kill()
        os.kill(keeper, signal.SIGKILL)
    argv = [sys.executable, "-m", "tests.support.dying", "2", "clean", testbed_id]
    killed = 0
    while True:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=Path(__file__).parents[3],
        )
        if done.returncode != -signal.SIGKILL:
            break
        killed += 1
        assert killed < 200, f"no end: {done.stdout}{done.stderr}"
    assert done.returncode == 0, done.stdout + done.stderr
    assert not directory.exists()
    print(f"the removal was killed {killed + 1} times")
    assert killed >= _FEWEST


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
