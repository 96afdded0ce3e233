"""Whose a container is, and which container a node is."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kinda.build import balancer
from pytest_kinda.build.catalogue import Known, testbeds
from pytest_kinda.build.engine_api import EngineError, docker_request, inspect
from pytest_kinda.build.kathara import lab_hash
from pytest_kinda.build.kind import cluster_name
from pytest_kinda.build.labels import CLUSTER_LABEL, NODE_LABEL, TESTBED_LABEL
from pytest_kinda.build.standing import Standing
from pytest_kinda.errors import HostError, KindaError, UnknownNameError
from pytest_kinda.host.journal import Journal


@dataclass(frozen=True)
class Owner:
    """A container and whose it is; ``node`` is empty while its testbed is still being built.

    The balancer before several control planes is no node: its name is ``load balancer``.
    """

    container: str
    name: str
    testbed: str
    topology: str
    node: str


@dataclass(frozen=True)
class Whereabouts:
    """Where a node is on this machine: its container, and the process that holds its network."""

    node: str
    testbed: str
    container: str
    name: str
    image: str
    state: str
    pid: int
    network_namespace: str


def owner_of(container: str) -> Owner:
    """Whose a container is, given its name, its id or the beginning of that.

    Raises UnknownNameError where there is no such container (with the nearest names), KindaError
    where it belongs to no testbed of this user.
    """
    found = _inspected(container)
    name = str(found["Name"]).lstrip("/")
    labels = found["Config"].get("Labels") or {}
    for known in testbeds():
        node = _node(known, str(found["Id"]))
        if node or _bears(labels, known.id):
            node = node or str(labels.get(NODE_LABEL, ""))
            if name == balancer.container_name(cluster_name(known.id)):
                node = balancer.NAME
            return Owner(str(found["Id"]), name, known.id, known.topology, node)
    other = labels.get(TESTBED_LABEL)
    raise KindaError(
        f"container {name} belongs to no testbed of this user"
        + (f"; its label names testbed {other}" if other else "")
    )


def whereabouts(standing: Standing, node: str) -> Whereabouts:
    """Where a node of a testbed is. Raises UnknownNameError, EngineError."""
    standing.execution(node)
    found = inspect(standing.containers[node])
    pid = int(found["State"]["Pid"])
    return Whereabouts(
        node,
        standing.id,
        str(found["Id"]),
        str(found["Name"]).lstrip("/"),
        str(found["Config"]["Image"]),
        str(found["State"]["Status"]),
        pid,
        str(Path("/proc", str(pid), "ns", "net")) if pid else "",
    )


def _inspected(container: str) -> dict[str, Any]:
    try:
        return inspect(container)
    except EngineError as error:
        if error.status != 404:
            raise
    listed = docker_request("GET", "/containers/json?all=1")
    names = [str(name).lstrip("/") for one in listed for name in one["Names"]]
    near = difflib.get_close_matches(container, names, 3, 0.5)
    raise UnknownNameError(
        f"there is no container {container!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else ""),
        remedy="docker ps -a lists them",
    )


def _node(known: Known, container: str) -> str:
    """The node that a container is, as the journal says."""
    try:
        nodes = Journal.read(known.directory).notes.get("containers", {})
    except HostError:
        return ""
    return next((str(node) for node, one in nodes.items() if one == container), "")


def _bears(labels: dict[str, str], testbed: str) -> bool:
    """Whether the labels are those of a testbed's containers."""
    return (
        labels.get(TESTBED_LABEL) == testbed
        or labels.get(CLUSTER_LABEL) == cluster_name(testbed)
        or labels.get("lab_hash") == lab_hash(testbed)
    )
