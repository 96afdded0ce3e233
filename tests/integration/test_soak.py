"""Built and removed again and again: what a testbed costs is given back each time.

``KINDA_TEST_SOAK`` says how many cycles the triangle gets (3; 20 before a release).
"""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.testbed import Testbed
from tests.support.builds import await_true, plan_of
from tests.support.machine import Snapshot, await_same, snapshot

pytestmark = pytest.mark.slow

CYCLES = int(os.environ.get("KINDA_TEST_SOAK", "3"))
DEVICE_CYCLES = 2 * CYCLES
MEMORY = 16e6
"""Bytes that this process may grow by after its second cycle: allocators keep what they had."""
ENGINE_FILES = 8
"""Descriptors that the Docker Engine may have more: it closes some of its own late."""


@dataclass(frozen=True)
class Usage:
    """What this process and the Docker Engine hold."""

    files: int
    threads: int
    memory: int
    children: int
    engine_files: int
    engine_sockets: int

    @classmethod
    def now(cls) -> Usage:
        """As it is after a collection of garbage."""
        gc.collect()
        status = Path("/proc/self/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            int(resident.split()[1]) * 1024,
            _children(),
            *_engine_files(),
        )


def _children() -> int:
    """This process's children, of all its threads."""
    return sum(len(task.read_text().split()) for task in Path("/proc/self/task").glob("*/children"))


def _engine_files() -> tuple[int, int]:
    """The descriptors of the Docker Engine without its sockets, and those; 0 where it is not seen.

    A connection has another end, which is counted there: among ours. How soon the engine lets go of
    one that was hung up is its own affair.
    """
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "comm").read_text() == "dockerd\n":
                targets = [_target(one) for one in (entry / "fd").iterdir()]
                sockets = sum(one.startswith("socket:") for one in targets)
                return len(targets) - sockets, sockets
        except OSError:
            continue
    return 0, 0


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed since it was listed
        return "socket:"


def cycle(planned: Any, testbed: str) -> None:
    """Build, look whether packets cross, remove."""
    with Testbed.build(planned, name=testbed) as kinda:
        assert kinda.reachability()


def soak(planned: Any, cycles: int, before: Snapshot, state_home: Path) -> None:
    """Cycles; each compared with the machine before the first, the last with the second.

    Two fill caches: Kathara starts a helper process of Python's when it first needs one.
    """
    first = Usage.now()
    for number in range(cycles):
        if number == 2:
            first = Usage.now()
        begun = time.monotonic()
        cycle(planned, "soak")  # the same name each time: nothing of it may be left
        await_same(before, state_home, 5)
        print(f"cycle {number + 1}: {time.monotonic() - begun:.1f} s, {Usage.now()}")
    last = Usage.now()
    assert last.files <= first.files
    assert last.threads <= first.threads
    assert last.children <= first.children
    assert last.memory - first.memory < MEMORY
    await_true(
        lambda: _engine_files()[0] - first.engine_files <= ENGINE_FILES,
        f"the Docker Engine to close its files again ({first.engine_files} were open)",
    )
    await_same(before, state_home, 20)
    assert list((state_home / "pytest-kinda" / "testbeds").iterdir()) == []


@pytest.mark.parametrize("engine", ["direct", "kathara"])
def test_devices_cost_nothing_in_the_end(state_home: Path, engine: str) -> None:
    before = snapshot(state_home)
    soak(plan_of("PAIR", engine), DEVICE_CYCLES, before, state_home)


def test_triangles_cost_nothing_in_the_end(state_home: Path) -> None:
    before = snapshot(state_home)
    soak(plan_of("TRIANGLE"), CYCLES, before, state_home)
