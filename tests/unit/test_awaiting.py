"""Waits end when nothing is missing, or say what was."""

from __future__ import annotations

import pytest

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import WaitTimeoutError


def test_ends_when_nothing_is_missing() -> None:
    answers = iter(["one node", "a pod", ""])
    wait_until(lambda: next(answers), "the cluster", limit=5, interval=0.001)
    assert list(answers) == []


def test_says_the_last_state_seen() -> None:
    with pytest.raises(WaitTimeoutError, match=r"waited 0.05 s for the cluster; last seen: a pod"):
        wait_until(lambda: "a pod", "the cluster", limit=0.05, interval=0.01)
