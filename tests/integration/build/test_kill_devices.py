"""SIGKILL at every step of the journal: build and removal of a testbed of devices, each way.

A triangle takes half a minute, three devices a second: here no step is left out. Each build is
killed when its journal has so many lines, alone (its keeper undoes what it made) or with its keeper
(``kinda clean`` does); each removal after so many lines that it printed.
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
from pytest_kinda.errors import HostError
from pytest_kinda.host.journal import Journal
from tests.integration.build.test_kill_points import kill_at
from tests.support.builds import await_true, plan_of, start_building

pytestmark = pytest.mark.slow

LINES = 15
"""Lines of the journal of a complete PAIR; the last point is that it is complete."""
UNDO = 15.0
Same = Callable[[float], float]


@pytest.mark.parametrize("lines", [*range(1, LINES + 1), 10**6])
def test_a_killed_build_of_devices_is_undone(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        kill_at(process, directory, lines)
    await_true(lambda: not directory.exists(), "the undo by the keeper", UNDO)


@pytest.mark.parametrize("lines", [*range(1, LINES + 1), 10**6])
def test_a_build_of_devices_killed_with_its_keeper_is_cleaned(
    testbed_id: str, state_home: Path, same_machine: Same, engine: Any, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        await_true(lambda: keeper_of(directory) != 0, "the keeper")
        kill_at(process, directory, lines, keeper_of(directory))
    assert catalogue.clean(testbed_id, lambda line: None) == ()
    assert not directory.exists()


@pytest.mark.parametrize("printed", [0, 1, 2])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.2])
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


def test_a_keeper_whose_removal_is_killed_says_so_and_clean_ends_it(
    testbed_id: str, state_home: Path, same_machine: Same
) -> None:
    standing = build(plan_of("PAIR", "kathara"), name=testbed_id, keep=True)
    mark = f"KINDA_CHILD=undo-{keeper_of(standing.directory)}"

    def removal() -> int:
        for entry in Path("/proc").iterdir():
            try:
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    return int(entry.name)
            except OSError:
                continue
        return 0

    argv = [sys.executable, "-c", "from pytest_kinda.cli import main; main()", "clean", testbed_id]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as cleaner:
        await_true(lambda: removal() != 0, "the removal by the keeper")
        os.kill(removal(), signal.SIGKILL)
        _, said = cleaner.communicate(timeout=60)
    assert cleaner.returncode == 1
    assert "the undo program ended with status -9" in said
    assert f"remedy: kinda clean {testbed_id}" in said
    assert catalogue.clean(testbed_id, lambda line: None) == ()


def keeper_of(directory: Path) -> int:
    """The keeper's process; 0 before the journal names it."""
    try:
        return int(Journal.read(directory).meta.get("pid", 0))
    except HostError:
        return 0
