"""Waits end when nothing is missing, or say what was."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pytest_kinda
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import WaitTimeoutError


def test_ends_when_nothing_is_missing() -> None:
    answers = iter(["one node", "a pod", ""])
    wait_until(lambda: next(answers), "the cluster", limit=5, interval=0.001)
    assert list(answers) == []


def test_says_the_last_state_seen() -> None:
    with pytest.raises(WaitTimeoutError, match=r"waited 0.05 s for the cluster; last seen: a pod"):
        wait_until(lambda: "a pod", "the cluster", limit=0.05, interval=0.01)


def test_nothing_waits_by_time_alone() -> None:
    # Between two looks of a wait that has a limit, where only the standard library may be imported;
    # and where a time is what is waited for: until the next packet is due.
    allowed = {"setup/engine.py": 1, "host/hold.py": 1}
    root = Path(pytest_kinda.__file__).parent
    found = {}
    for path in root.rglob("*.py"):
        calls = [
            one.func for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Call)
        ]
        names = [getattr(one, "attr", getattr(one, "id", "")) for one in calls]
        if count := names.count("sleep"):
            found[str(path.relative_to(root))] = count
    assert found == allowed
