"""What ``.ci/run`` decides: which skips are allowed, which failures get a second try."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ci() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kinda_ci_run", ROOT / ".ci" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write(path: Path, *events: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def event(nodeid: str, outcome: str, text: str = "") -> dict[str, object]:
    return {
        "event": "test",
        "nodeid": nodeid,
        "when": "call",
        "outcome": outcome,
        "duration": 1.0,
        "text": text,
    }


BEGIN: dict[str, object] = {"event": "begin"}
END: dict[str, object] = {"event": "end", "status": 1}


def test_a_failed_integration_test_and_its_broken_testbed_get_a_second_try(
    ci: ModuleType, tmp_path: Path
) -> None:
    tests = ci.Tests.read(
        write(
            tmp_path / "record",
            BEGIN,
            event("tests/integration/test_a.py::test_1", "failed", "boom"),
            event("tests/integration/test_a.py::test_2", "skipped", "testbed broken: wiring"),
            event("tests/integration/test_a.py::test_3", "passed"),
            END,
        )
    )
    assert tests.complete
    assert tests.again() == [
        "tests/integration/test_a.py::test_1",
        "tests/integration/test_a.py::test_2",
    ]


def test_many_failures_are_no_flakes(ci: ModuleType, tmp_path: Path) -> None:
    failed = [event(f"tests/unit/test_b.py::test_{number}", "failed") for number in range(13)]
    tests = ci.Tests.read(write(tmp_path / "record", BEGIN, *failed, END))
    assert tests.again() == []


def test_a_session_that_never_ended_is_not_complete(ci: ModuleType, tmp_path: Path) -> None:
    assert not ci.Tests.read(write(tmp_path / "record", BEGIN)).complete


@pytest.mark.parametrize(
    ("name", "reason", "allowed"),
    [
        ("tests/a.py::test_x", "needs qemu here", True),
        ("tests/a.py::test_x[1]", "Needs QEMU", True),
        ("tests/a.py::test_xy", "needs qemu", False),
        ("tests/a.py::test_x", "no docker", False),
    ],
)
def test_a_skip_is_allowed_by_its_name_and_its_reason(
    ci: ModuleType, name: str, reason: str, allowed: bool
) -> None:
    assert ci.covers(("tests/a.py::test_x", "needs qemu"), name, reason) is allowed


def test_what_has_a_limit_is_summed_beside_it(ci: ModuleType) -> None:
    parts = [
        ci.Part("make test", [], seconds=700.0),
        ci.Part("make demo", [], seconds=91.0),
        ci.Part("tox build", [], slow=True, seconds=50.0),
        ci.Part("tests/a.py", [], slow=True, seconds=2000.0),
        ci.Part("tests/b.py", [], slow=True, seconds=401.0),
    ]
    assert ci.bars(parts) == [
        "   700.0 s  make test (bar 720 s: met)",
        "    91.0 s  make demo (bar 90 s: missed)",
        "  2401.0 s  slow tests (bar 2400 s: missed)",
    ]
