"""SIGKILL between the steps of the journal: build and removal of a testbed of devices, each way.

Each build is killed when its journal has so many lines, alone (its keeper undoes what it made) or
with its keeper (``kinda clean`` does); each removal after so many lines that it printed. Which of
all points are tried rotates with the commit; ``make test-kill`` tries every one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.build import catalogue
from pytest_kinda.build.builder import build
from tests.support.builds import await_true, plan_of, start_building
from tests.support.killing import COMPLETE, keeper_of, kill_at, removal_by, some

pytestmark = pytest.mark.slow

POINTS = (*range(1, 16), COMPLETE)
"""Lines of the journal of a complete PAIR; the last point is that it is complete."""
REMOVALS = tuple((printed, after) for printed in (0, 1, 2) for after in (0.0, 0.05, 0.2))
"""Lines that a removal has printed, and seconds since, when it is killed."""
UNDO = 15.0
Same = Callable[[float], float]


@pytest.mark.parametrize("lines", some(POINTS, 3))
def test_a_killed_build_of_devices_is_undone(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        kill_at(process, directory, lines)
    await_true(lambda: not directory.exists(), "the undo by the keeper", UNDO)


@pytest.mark.parametrize("lines", some(POINTS, 3))
def test_a_build_of_devices_killed_with_its_keeper_is_cleaned(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        await_true(lambda: keeper_of(directory) != 0, "the keeper")
        kill_at(process, directory, lines, keeper_of(directory))
    assert catalogue.clean(testbed_id, lambda line: None) == ()
    assert not directory.exists()


@pytest.mark.parametrize(("printed", "after"), some(REMOVALS, 2))
def test_a_removal_that_is_killed_is_ended_by_the_next(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, printed: int, after: float
) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id, keep=True)
    os.kill(keeper_of(standing.directory), signal.SIGKILL)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest_kinda.build.undo", str(standing.directory)],
        stdout=subprocess.PIPE,
        text=True,
    ) as removal:
        assert removal.stdout is not None
        for _ in range(printed):
            removal.stdout.readline()
        time.sleep(after)
        removal.kill()
    if standing.directory.exists():
        assert catalogue.clean(testbed_id, lambda line: None) == ()
    assert not standing.directory.exists()


@pytest.mark.parametrize("printed", [0, 1])
def test_a_removal_whose_owner_is_killed_goes_on(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, printed: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        assert process.stdout is not None
        assert any(line == "built\n" for line in process.stdout)
        process.send_signal(signal.SIGUSR1)
        if printed == 0:
            keeper = keeper_of(directory)
            await_true(lambda: removal_by(keeper) != 0, "the removal by the keeper")
        for _ in range(printed):
            assert "removed" in process.stdout.readline()
        process.kill()
    await_true(lambda: not directory.exists(), "the undo by the keeper", UNDO)


def test_a_keeper_whose_removal_is_killed_says_so_and_clean_ends_it(
    testbed_id: str, state_home: Path, same_machine: Same
) -> None:
    standing = build(plan_of("PAIR", "kathara"), name=testbed_id, keep=True)
    keeper = keeper_of(standing.directory)
    argv = [sys.executable, "-c", "from pytest_kinda.cli import main; main()", "clean", testbed_id]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as cleaner:
        await_true(lambda: removal_by(keeper) != 0, "the removal by the keeper")
        os.kill(removal_by(keeper), signal.SIGKILL)
        _, said = cleaner.communicate(timeout=60)
    assert cleaner.returncode == 1
    assert "the undo program ended with status -9" in said
    assert f"remedy: kinda clean {testbed_id}" in said
    assert catalogue.clean(testbed_id, lambda line: None) == ()
