"""Whether a testbed is as clean as the first trial found it: looked at before each one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import ExperimentError
from pytest_kinda.testbed.cluster import NAMESPACE_LABEL
from pytest_kinda.testbed.reachability import tries_of
from pytest_kinda.testbed.resources import resource

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed

LIMIT = 60.0
"""Seconds that what earlier trials left may take to be gone."""
_PODS = resource("pod")
_OURS = {"labelSelector": f"{NAMESPACE_LABEL}=yes"}


def unreached(testbed: Testbed) -> frozenset[tuple[str, str]]:
    """The pairs of nodes of which one does not reach the other, however often it is tried."""
    if not testbed.standing.has_data_path:
        return frozenset()  # a lab: nobody sends anything
    missing = frozenset(testbed.reachability().missing)
    for _ in range(tries_of(testbed.plan) - 1):
        if not missing:
            break
        missing &= frozenset(testbed.reachability().missing)
    return missing


def await_clean(
    testbed: Testbed, apart: Collection[tuple[str, str]] = (), *, limit: float = LIMIT
) -> None:
    """Wait until nothing is left of earlier tests, and make sure that all nodes are reached.

    What is left is the pods of their namespaces, which go at once here: what deletes namespaces in
    a cluster begins with that 5 s later, and a namespace that is being deleted takes no new ones.
    ``apart`` are pairs of nodes that have never reached each other. Raises ExperimentError for a
    fault in force or another such pair, WaitTimeoutError with what stays.
    """
    if testbed.faults:
        told = ", ".join(one.what for one in testbed.faults)
        raise ExperimentError(
            f"testbed {testbed.id} is not clean before a trial: faults in force: {told}"
        )
    if testbed.plan.cluster is not None:
        wait_until(
            lambda: ", ".join(_left(testbed)),
            "what is in the namespaces of earlier tests to be gone",
            limit=limit,
        )
    if missing := unreached(testbed) - frozenset(apart):
        told = ", ".join(f"{a} does not reach {b}" for a, b in sorted(missing))
        raise ExperimentError(f"testbed {testbed.id} is not clean before a trial: {told}")


def _left(testbed: Testbed) -> list[str]:
    """Namespaces of earlier tests that are not being deleted, and pods in those that are."""
    cluster = testbed.cluster
    mine = cluster.current_namespace(make=False)
    found = []
    for one in cluster.api.get(resource("namespace").path(), _OURS)["items"]:
        name, going = str(one["metadata"]["name"]), "deletionTimestamp" in one["metadata"]
        if name == mine:
            continue
        if not going:
            found.append(name)
        elif cluster.api.get(_PODS.path(name))["items"]:
            cluster.api.request("DELETE", _PODS.path(name))
            found += [
                f"{name}/{pod['metadata']['name']}"
                for pod in cluster.api.get(_PODS.path(name))["items"]
            ]
    return found
