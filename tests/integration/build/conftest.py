"""What tests of builds share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kinda.build.kathara import lab_hash
from pytest_kinda.build.kind import cluster_name
from tests.support.builds import await_true
from tests.support.killing import EVERY, points, seed


def pytest_report_header() -> str:
    """How to draw the same points again."""
    drawn = ", ".join(map(str, points(seed()))) if not EVERY else "every one"
    return f"kill points of KINDA_TEST_SEED={seed()}: {drawn}"


@pytest.fixture(params=["kathara", "direct"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine in turn."""
    return request.param


@pytest.fixture
def testbed_id(request: pytest.FixtureRequest, state_home: object) -> Iterator[str]:
    """An id for this test's testbed, and a check that nothing bears it any more afterwards."""
    found = f"t{abs(hash(request.node.nodeid)) % 10**8}"
    yield found
    last: list[str] = []

    def gone() -> bool:
        last[:] = bearing(found)
        return not last

    try:
        await_true(gone, "the end of all that bears the testbed's name", 15)
    except AssertionError:
        pytest.fail("left behind:\n  " + "\n  ".join(last))


def bearing(testbed: str) -> list[str]:
    """Docker's objects, processes and namespaces' bridges that belong to a testbed."""
    marks = (cluster_name(testbed), lab_hash(testbed), f"testbeds/{testbed}")
    found = []
    for what, argv in {
        "container": ["docker", "ps", "-a", "--format", "{{.Names}}"],
        "network": ["docker", "network", "ls", "--format", "{{.Name}}"],
        "volume": ["docker", "volume", "ls", "--format", "{{.Name}} {{.Labels}}"],
        "process": ["ps", "-eo", "pid,args"],
    }.items():
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        found += [f"{what} {one}" for one in lines if any(mark in one for mark in marks)]
    return found
