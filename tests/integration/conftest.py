"""What integration tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import await_same, snapshot
from tests.support.topologies import DIRECT


@pytest.hookimpl(tryfirst=True, optionalhook=True)  # host's tests run without the plugin too
def pytest_kinda_build(topology: Any, options: Any, progress: Any) -> Any:
    """Topologies made by ``on_direct`` get the direct engine, whatever ``--kinda-engine`` says."""
    if not topology.name.endswith(DIRECT):
        return None
    from pytest_kinda.testbed import Testbed

    return Testbed.build(topology, options=replace(options, engine="direct"), progress=progress)


@pytest.fixture
def same_machine(state_home: Path) -> Iterator[Callable[[float], float]]:
    """Wait, so many seconds at most, until the machine is as it was before the test.

    Gives the seconds that it took; checked after the test in any case.
    """
    before = snapshot(state_home)
    yield lambda limit: await_same(before, state_home, limit)
    await_same(before, state_home, 20)


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, so that no other testbed is listed or cleaned."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"
