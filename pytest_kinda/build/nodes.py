"""The cluster's node containers, seen and prepared the moment Docker starts them.

A node's address must be there before its kubelet asks for it, and the API server's pod copies its
node's /etc/hosts when it starts: both within the first seconds of ``kind create cluster``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from pytest_kinda.build.engine_api import (
    Events,
    containers_of,
    docker_request,
    inspect,
    place_of,
)
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.kind import container_names
from pytest_kinda.build.labels import CLUSTER_LABEL
from pytest_kinda.errors import BuildError
from pytest_kinda.operations import AppendLines, Operation, Place
from pytest_kinda.plan import start_operations
from pytest_kinda.plan.values import NodePlan, Plan

STEP = "node containers"
_WEIGHT, _MOST = 1024, 262144  # a container's, unless it is told; the most that Linux takes


class NodeWatch:
    """Prepares each node container at its start event; ``started`` is done when all are.

    ``places``, ``containers`` (ids) and ``addresses`` (in Docker's network) fill up by declared
    name.
    """

    def __init__(self, keeper: KeeperClient, plan: Plan, cluster: str) -> None:
        self.keeper = keeper
        self.plan = plan
        self.cluster = cluster
        self.names = container_names(plan, cluster)
        self.places: dict[str, Place] = {}
        self.containers: dict[str, str] = {}
        self.started: Future[None] = Future()
        self.addresses: dict[str, str] = {}
        self._told: dict[str, set[str]] = {}
        self._events = Events(
            type=["container"], event=["start"], label=[f"{CLUSTER_LABEL}={cluster}"]
        )
        self._thread = threading.Thread(target=self._watch, name="node-watch", daemon=True)

    def start(self) -> None:
        """Begin; the events since the object was made count."""
        self._thread.start()

    def stop(self, why: BaseException | None = None) -> None:
        """End the watch; whoever still waits for ``started`` is told ``why``."""
        self._events.close()
        if not self.started.done():
            self.started.set_exception(why or BuildError(STEP, "the build was given up"))

    def join(self) -> None:
        """Wait until nothing more is done for a node."""
        if self._thread.ident is not None:
            self._thread.join(timeout=30)

    def _watch(self) -> None:
        try:
            for event in self._events:
                name = self.names.get(event["Actor"]["Attributes"]["name"])
                if name is not None:
                    self._prepare(name, event["Actor"]["ID"])
                if len(self.places) == len(self.names):
                    self.started.set_result(None)
                    return
        except BaseException as error:
            if not self.started.done():
                self.started.set_exception(error)
        finally:
            self._events.close()

    def _prepare(self, name: str, container: str) -> None:
        self.places[name] = place_of(container)
        self.containers[name] = container
        networks = inspect(container)["NetworkSettings"]["Networks"]
        self.addresses[name] = networks[self.cluster]["IPAddress"]
        limits = limits_of(self.plan.node(name), len(self.names))
        if limits:
            docker_request("POST", f"/containers/{container}/update", limits)
        operations: list[Operation] = list(start_operations(self.plan, self.plan.node(name)))
        self.keeper.apply([*operations, *self._hosts_lines()], dict(self.places))

    def _hosts_lines(self) -> list[Operation]:
        """What the control planes that run have not been told yet of the nodes that run."""
        found: list[Operation] = []
        for node in self.plan.kubernetes_nodes:
            if node.role != "control-plane" or node.name not in self.places:
                continue
            told = self._told.setdefault(node.name, set())
            lines = hosts_lines(self.addresses, told)
            if lines:
                found.append(AppendLines(node.name, "/etc/hosts", lines))
            told.update(self.addresses)
        return found


def limits_of(node: NodePlan, nodes: int) -> dict[str, int]:
    """What the Docker API is told of a node's cores and memory; kind has no words for them.

    Swap would let it have more memory than it was given. A control plane weighs as much as
    ``nodes`` nodes where processors are short: 64 workers that join at once otherwise leave an
    API server a 65th of the machine, and give up waiting for it.
    """
    found: dict[str, int] = {}
    spec = node.kubernetes
    if node.role == "control-plane":
        found["CpuShares"] = min(_WEIGHT * nodes, _MOST)
    if spec is not None and spec.cpus is not None:
        found["NanoCpus"] = round(spec.cpus * 1e9)
    if spec is not None and spec.memory is not None:
        memory = int(spec.memory)
        found |= {"Memory": memory, "MemorySwap": memory}
    return found


def hosts_lines(addresses: Mapping[str, str], told: set[str]) -> tuple[str, ...]:
    """Lines for /etc/hosts that lead a node's name to its Docker address.

    >>> hosts_lines({"w1": "172.30.0.3", "w2": "172.30.0.4"}, {"w2"})
    ('172.30.0.3 w1',)
    """
    return tuple(f"{address} {name}" for name, address in addresses.items() if name not in told)


def docker_addresses(container: str, network: str) -> dict[str, str]:
    """A running container's addresses in a Docker network, as Docker is asked for them.

    Raises HostError.
    """
    found = inspect(container)["NetworkSettings"]["Networks"].get(network, {})
    given = {"IPv4Address": "IPAddress", "IPv6Address": "GlobalIPv6Address"}
    return {asked: found[told] for asked, told in given.items() if found.get(told)}


def pin_addresses(container: str, network: str, addresses: Mapping[str, str]) -> None:
    """Let a stopped container have these addresses (of ``docker_addresses``) from its next start.

    Raises HostError.
    """
    left: dict[str, Any] = {"Container": container, "Force": True}
    docker_request("POST", f"/networks/{network}/disconnect", left)
    joined = {"Container": container, "EndpointConfig": {"IPAMConfig": dict(addresses)}}
    docker_request("POST", f"/networks/{network}/connect", joined)


def running_nodes(plan: Plan, cluster: str) -> dict[str, str]:
    """The ids of the cluster's containers by declared node name, from Docker's listing."""
    names = container_names(plan, cluster)
    found = {}
    for one in containers_of(f"{CLUSTER_LABEL}={cluster}"):
        name = names.get(one["Names"][0].lstrip("/"))
        if name is not None:
            found[name] = one["Id"]
    return found
