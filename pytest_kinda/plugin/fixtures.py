"""The fixtures: the testbed, and a Kubernetes namespace of the test's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.plugin import marks
from pytest_kinda.plugin.testbeds import TESTBEDS

if TYPE_CHECKING:
    Testbed = Any


@pytest.fixture(scope="session")
def kinda(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """The testbed of the test's topology: nodes, links, the cluster. Shared by equal topologies."""
    parameter: Any = getattr(request, "param", None)
    if parameter is None:
        pytest.fail(
            "this test uses `kinda` but carries no topology\n"
            "  remedy: mark it, its class or its module with @pytest.mark.topology(TOPOLOGY)",
            pytrace=False,
        )
    want = marks.as_want(parameter, request.node.nodeid)
    with request.config.stash[TESTBEDS].standing(want) as testbed:
        yield testbed


@pytest.fixture
def kinda_namespace(kinda: Testbed, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a Kubernetes namespace made for this test and removed after it.

    It is removed in the background: the next test does not wait for it.
    """
    name = namespace_name(request.node.nodeid)
    kinda.kubectl("create", "namespace", name)
    yield name
    kinda.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def namespace_name(nodeid: str) -> str:
    """A namespace name that shows the test's and is different for each node id (RFC 1123)."""
    readable = re.sub(r"[^a-z0-9]+", "-", nodeid.rpartition("::")[2].lower()).strip("-")
    digest = hashlib.sha256(nodeid.encode()).hexdigest()[:8]
    return f"{readable[:48].strip('-') or 'test'}-{digest}"
