"""When the process that holds packets sleeps, and when it waits awake."""

from __future__ import annotations

import time
from collections import deque
from heapq import heapify

import pytest

from pytest_kinda.host.hold import Holder

US = 1000


def holder(*dues: int, varies: bool = False) -> Holder:
    """One that holds packets which are due so many nanoseconds from now on."""
    found = Holder.__new__(Holder)
    now = time.monotonic_ns()
    held = [(now + due, number, b"") for number, due in enumerate(dues)]
    found._queue, found._heap, found._varies = deque(held), list(held), varies
    heapify(found._heap)
    return found


def slept(held: Holder, due: int, patch: pytest.MonkeyPatch) -> tuple[float | None, int]:
    """The seconds that it would wait in select, and how often it has slept before."""
    naps: list[float] = []
    patch.setattr("pytest_kinda.host.hold.time.sleep", naps.append)
    return held._patience(time.monotonic_ns() + due), len(naps)


def test_nothing_held_is_waited_for_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert holder()._patience(None) is None


def test_a_packet_that_is_due_later_is_slept_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wait, naps = slept(holder(5_000 * US), 5_000 * US, monkeypatch)
    assert wait is not None
    assert 0.004 < wait < 0.005
    assert naps == 0


def test_the_last_bit_is_waited_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slept(holder(30 * US), 30 * US, monkeypatch) == (0.0, 0)
    sparse = holder(30 * US, 400 * US, 800 * US, 1200 * US, 1600 * US, 2000 * US)
    assert slept(sparse, 30 * US, monkeypatch) == (0.0, 0)


@pytest.mark.parametrize("varies", [False, True])
def test_dense_packets_are_slept_for_and_go_together(
    monkeypatch: pytest.MonkeyPatch, varies: bool
) -> None:
    dense = holder(*(number * 8 * US for number in range(2, 12)), varies=varies)
    assert slept(dense, 16 * US, monkeypatch) == (0.0, 1)
    # but not when one is due now
    assert slept(dense, -1, monkeypatch) == (0.0, 0)
