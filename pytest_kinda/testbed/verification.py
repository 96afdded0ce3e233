"""Whether a testbed is what was declared: nodes, pods' networks, services, and no leak."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pytest_kinda.plan.tunnels import tunnel_address
from pytest_kinda.plan.values import NodePlan, Plan
from pytest_kinda.testbed.fidelity import Fidelity
from pytest_kinda.testbed.leaks import Leaks, read_leaks
from pytest_kinda.testbed.nodes import KubernetesNodeHandle, NodeHandle
from pytest_kinda.testbed.reachability import Reachability, ping_all, reachability, tries_of

# bash's own TCP client; `timeout` ends a connection that nobody answers.
_CONNECT = 'timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2"'


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found. Truthy when all is as declared; its text is a table.

    ``services`` says of each (node, "address:port") whether a TCP connection was accepted;
    ``fidelity`` is there when links were measured, ``pods6`` has pairs where pods have IPv6.
    """

    nodes: Reachability
    pods: Reachability
    services: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    leaks: Leaks = field(default_factory=lambda: Leaks(()))
    fidelity: Fidelity | None = None
    pods6: Reachability = field(default_factory=lambda: Reachability({}))

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is not as declared, in words."""
        found = [f"{a} does not reach {b}" for a, b in self.nodes.missing]
        found += [f"pods of {a} do not reach pods of {b}" for a, b in self.pods.missing]
        found += [f"pods of {a} do not reach pods of {b} by IPv6" for a, b in self.pods6.missing]
        found += [
            f"{node} has no TCP connection to the service at {address}"
            for (node, address), well in self.services.items()
            if not well
        ]
        if self.leaks:
            found.append(f"{self.leaks.packets} packets crossed Docker's network instead")
        if self.fidelity is not None:
            found += self.fidelity.problems
        return tuple(found)

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        parts = ["nodes", str(self.nodes)]
        if self.pods.pairs:
            parts += ["", "pod networks", str(self.pods)]
        if self.pods6.pairs:
            parts += ["", "pod networks, IPv6", str(self.pods6)]
        if self.services:
            well = sum(self.services.values())
            parts += ["", f"TCP to ClusterIP services: {well} of {len(self.services)}"]
        if self.leaks.nodes:
            parts += ["", str(self.leaks)]
        if self.fidelity is not None:
            parts += ["", "declared and measured", str(self.fidelity)]
        parts += ["", *(f"PROBLEM: {one}" for one in self.problems)]
        return "\n".join(parts).rstrip()


def pod_source(planned: NodePlan, version: int = 4) -> str:
    """The address in a node's pod network that its tunnel device has; empty where it has none.

    The network's first address comes with the first pod only.
    """
    for cidr in planned.pod_cidrs:
        if (":" in cidr) == (version == 6):
            return tunnel_address(cidr)
    return ""


def pod_reachability(
    nodes: Sequence[KubernetesNodeHandle], *, wait: float = 1.0, version: int = 4
) -> Reachability:
    """Ping from each node's address in its pod network to those of all others: through the GRE."""
    sources = {node.name: pod_source(node.planned, version) for node in nodes}
    pairs: dict[tuple[str, str], bool] = {}
    skipped: list[str] = []
    able = [node for node in nodes if sources[node.name]]
    if not able:
        return Reachability(pairs)

    def probe(node: KubernetesNodeHandle) -> frozenset[str] | None:
        others = [sources[other.name] for other in able if other is not node]
        return ping_all(node, others, source=sources[node.name], wait=wait)

    with ThreadPoolExecutor(min(16, len(able)), thread_name_prefix="pods") as pool:
        for node, answered in zip(able, pool.map(probe, able), strict=True):
            if answered is None:
                skipped.append(node.name)
                continue
            for other in able:
                if other is not node:
                    pairs[node.name, other.name] = sources[other.name] in answered
    return Reachability(pairs, tuple(skipped))


def service_connections(
    nodes: Sequence[KubernetesNodeHandle], services: Sequence[tuple[str, int]]
) -> dict[tuple[str, str], bool]:
    """A TCP connection from each node to each ClusterIP and port."""

    def probe(job: tuple[KubernetesNodeHandle, str, int]) -> bool:
        node, address, port = job
        return node.shell(_CONNECT, address, str(port), timeout=30.0, check=False).ok

    jobs = [(node, address, port) for node in nodes for address, port in services]
    if not jobs:
        return {}
    with ThreadPoolExecutor(min(8, len(jobs)), thread_name_prefix="services") as pool:
        return {
            (node.name, f"[{address}]:{port}" if ":" in address else f"{address}:{port}"): well
            for (node, address, port), well in zip(jobs, pool.map(probe, jobs), strict=True)
        }


def services_of(plan: Plan) -> list[tuple[str, int]]:
    """The services that every cluster has: the API server's and DNS (over TCP)."""
    if plan.cluster is None or plan.cluster.cni == "none":
        return []
    first = ipaddress.ip_network(plan.cluster.service_cidr)[1]
    return [(str(first), 443), *((one, 53) for one in dns_addresses(plan))]


def dns_addresses(plan: Plan) -> list[str]:
    """The addresses of the DNS service, IPv4 first; none without a cluster or its DNS."""
    if plan.cluster is None or plan.cluster.cni == "none":
        return []
    if not plan.cluster.service_cidr6:
        return [plan.cluster.dns]
    return [plan.cluster.dns, str(ipaddress.ip_network(plan.cluster.service_cidr6)[10])]


def _repeated(tries: int, probe: Callable[[], Reachability]) -> Reachability:
    """Probe until every pair has been reached once, or so many times."""
    found = probe()
    for _ in range(tries - 1):
        if found:
            break
        again = probe()
        pairs = {pair: well or again.pairs.get(pair, False) for pair, well in found.pairs.items()}
        found = Reachability(pairs, found.skipped)
    return found


def verify(plan: Plan, nodes: Sequence[NodeHandle], *, wait: float = 1.0) -> Verification:
    """Really send packets everywhere and read the leak guard. Raises CommandError."""
    kubernetes = [node for node in nodes if isinstance(node, KubernetesNodeHandle)]
    tunnel = plan.tunnel is not None and plan.tunnel.driver != "none"
    tries = tries_of(plan)

    def pods(version: int) -> Reachability:
        if not tunnel:
            return Reachability({})
        return _repeated(tries, lambda: pod_reachability(kubernetes, wait=wait, version=version))

    return Verification(
        _repeated(tries, lambda: reachability(nodes, nodes, wait=wait)),
        pods(4),
        service_connections(kubernetes, services_of(plan)),
        read_leaks(kubernetes, outside=plan.uplink is not None),
        pods6=pods(6),
    )
