"""The fixtures: the testbed, a Kubernetes namespace of the test's own, a trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.plugin import marks
from pytest_kinda.plugin.experiments import EXPERIMENTS
from pytest_kinda.plugin.testbeds import TESTBEDS
from pytest_kinda.plugin.trials import MARK

if TYPE_CHECKING:
    from pytest_kinda.experiment import Trial
    from pytest_kinda.testbed import Testbed


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
def kinda_namespace(kinda: Testbed) -> str:
    """The Kubernetes namespace of this test, which all calls on ``kinda.cluster`` act in.

    It is removed after the test, in the background: the next test does not wait for it.
    """
    return kinda.cluster.namespace


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """The trial that this test is: arm, repetition, seed; ``record(metric, value, unit)``."""
    if getattr(request, "param", None) is None:
        pytest.fail(
            f"this test uses `trial` but is no experiment\n"
            f"  remedy: mark it with @pytest.mark.{MARK}(arms=[...])",
            pytrace=False,
        )
    return request.config.stash[EXPERIMENTS].trial(request)
