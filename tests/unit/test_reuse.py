"""Which testbeds are not taken, and what is said of them: those of which no keeper is left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from pytest_kinda.build.display import Quiet
from pytest_kinda.errors import BuildError
from pytest_kinda.host.journal import JournalWriter
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed.reuse import attach, attach_to
from tests.support.declared import triangle


class Said(Quiet):
    """Remembers what was worth a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("age", "reason"),
    [(3600, "damaged: its keeper is gone (kinda clean dead01)"), (0, "being built")],
)
def test_what_cannot_be_taken_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int, reason: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = tmp_path / "pytest-kinda" / "testbeds" / "dead01"
    directory.mkdir(parents=True)
    writer = JournalWriter(directory)
    writer.append([{"meta": {"testbed": "dead01"}}, {"note": {"topology": "triangle"}}])
    writer.close()
    (directory / "plan.json").write_text(json.dumps({"nodes": []}))
    os.utime(directory, (time.time() - age,) * 2)
    said = Said()
    assert attach(triangle(), PlanOptions(), said) is None
    assert said.lines == [f"testbed dead01 is {reason}; it is left alone"]
    with pytest.raises(BuildError) as told:
        attach_to(triangle(), PlanOptions(), said, which="dead01")
    assert told.value.cause == f"testbed dead01 is {reason}; it is left alone"
    assert directory.exists()
