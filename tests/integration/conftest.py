"""What integration tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import Snapshot, await_same, snapshot


@pytest.fixture
def same_machine() -> Iterator[Snapshot]:
    """The machine as it is before the test, and a check that it is so again after it."""
    before = snapshot()
    yield before
    # Where other work changes the machine meanwhile, tests look for their own things only.
    if not os.environ.get("KINDA_TEST_SHARED_MACHINE"):
        await_same(before, 20)


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, so that no other testbed is listed or cleaned."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"
