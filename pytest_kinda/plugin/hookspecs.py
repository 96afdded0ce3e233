"""Hooks that a suite's conftest or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology


@pytest.hookspec(firstresult=True)
def pytest_kinda_build(
    config: pytest.Config, topology: Topology, options: PlanOptions, progress: Progress
) -> Any:
    """Give the testbed for this topology: what the ``kinda`` fixture will be.

    The default builds a real one. Whoever gives another (one that stands already, one on another
    backend) returns an object with ``close()``, which is called when the last test of the topology
    has ended; ``begin_test(nodeid)`` and ``put_back()`` around each test, ``keep()`` and ``id``
    are used when they are there. Raise a
    :class:`pytest_kinda.errors.KindaError` to report the testbed as broken.
    """
