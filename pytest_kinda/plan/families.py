"""IPv6 beside IPv4 in a cluster: ``ip_family="dual"``.

GRE's outer header stays IPv4 and has both families inside. A node's IPv6 address is on its tunnel
too: it is reached by every node whatever the links carry. It is in none of the pods' networks:
from there kube-proxy would let answers go back another way than the questions came. Docker's
network stays one of IPv4, since with an IPv6 one the Docker Engine turns the whole machine into an
IPv6 router and leaves it so; kubeadm is told the second family by a patch.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations

from pytest_kinda.errors import Problem
from pytest_kinda.plan.layout import Layout
from pytest_kinda.plan.routing import path_problems
from pytest_kinda.plan.values import HostFacts, NodePlan, PlanOptions, TunnelPlan
from pytest_kinda.topology import KubernetesNode

NODE_SYSCTLS: Mapping[str, str] = {
    # Docker turns IPv6 off in containers of a network that has none; its own interface stays so
    "net.ipv6.conf.lo.disable_ipv6": "0",
    "net.ipv6.conf.default.disable_ipv6": "0",
    # addresses are the plan's: a pod's gateway must answer at once
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.fib_multipath_hash_policy": "1",
}
SMALLEST_MTU = 1280
"""Bytes that every link of IPv6 must carry (RFC 8200, section 5): on less the kernel has none."""
_NODE_PREFIX, _SMALLEST_PREFIX = 64, 112
_SMALLEST_SERVICES = 108
"""kube-apiserver refuses a wider network of services."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_dual(options: PlanOptions) -> bool:
    """Whether pods and services have an address of each family."""
    return options.ip_family == "dual"


def option_problems(
    options: PlanOptions, facts: HostFacts, links: Mapping[str, list[Network]]
) -> list[Problem]:
    """What speaks against the families that are asked for; ``links`` are declared networks."""
    if options.ip_family == "ipv4":
        return []
    if options.ip_family == "ipv6":
        expected = (
            "ipv4 or dual: kind's network and GRE's outer header are IPv4, so that nodes without"
            " it cannot be built; in a dual cluster pods and services have IPv6 too"
        )
        return [Problem("options", "ip_family", "ipv6", expected)]
    problems = []
    if not facts.ipv6:
        expected = "ipv4, or a machine with IPv6 (boot it without ipv6.disable=1)"
        problems.append(Problem("options", "ip_family", "dual, but it is switched off", expected))
    if options.node_ip == "docker":
        expected = "node_ip='network': Docker's network has no IPv6 address for a node"
        problems.append(Problem("options", "node_ip", "docker with ip_family='dual'", expected))
    return problems + _network_problems(options, links)


def _network_problems(options: PlanOptions, links: Mapping[str, list[Network]]) -> list[Problem]:
    problems: list[Problem] = []
    ours: dict[str, ipaddress.IPv6Network] = {}
    for name in ("pod_cidr6", "service_cidr6", "node_cidr6"):
        value = getattr(options, name)
        try:
            ours[name] = ipaddress.IPv6Network(value)
        except ValueError:
            expected = "an IPv6 network such as fd00:10:244::/56"
            problems.append(Problem("options", name, repr(value), expected))
    services = ours.get("service_cidr6")
    if services and services.prefixlen < _SMALLEST_SERVICES:
        expected = f"a /{_SMALLEST_SERVICES} or smaller: Kubernetes takes no more for services"
        problems.append(Problem("options", "service_cidr6", str(services), expected))
    for (name, one), (other, second) in combinations(ours.items(), 2):
        if one.overlaps(second):
            found = f"{one}, which overlaps {other} {second}"
            problems.append(Problem("options", name, found, "networks that do not meet"))
    for name, one in ours.items():
        for link, declared in links.items():
            for network in declared:
                if network.version == 6 and network.overlaps(one):
                    found = f"{network}, which overlaps {name} {one}"
                    problems.append(Problem(f"link {link}", "ipv6", found, "a subnet beside it"))
    return problems


def routed_problems(layout: Layout, options: PlanOptions) -> list[Problem]:
    """Nodes that no link leads to by IPv6, where nothing but links carries pods' packets."""
    if not is_dual(options):
        return []
    expected = "ipv6= on a link of it: with pods='routed' its pods are reached by the links alone"
    problems = [
        Problem(f"node {name}", "links", "none with IPv6", expected)
        for name, ports in layout.ports.items()
        if isinstance(layout.nodes[name], KubernetesNode) and ports
        if not any(":" in address for one in ports for address in one.addresses)
    ]
    return problems or path_problems(layout, version=6)


def mtu_problems(options: PlanOptions, tunnel: TunnelPlan, overhead: int) -> list[Problem]:
    """Links on which the kernel would take IPv6 away from the pods' interfaces, without a word."""
    if not is_dual(options) or options.cni != "kinda" or tunnel.mtu >= SMALLEST_MTU:
        return []
    found = f"dual with {tunnel.mtu} bytes for pods' packets"
    expected = f"links with an mtu of {SMALLEST_MTU + overhead} at least: IPv6 needs {SMALLEST_MTU}"
    return [Problem("options", "ip_family", found, expected)]


def pod_networks(
    nodes: Collection[KubernetesNode], options: PlanOptions, problems: list[Problem]
) -> dict[str, str]:
    """Each node's part of the pods' IPv6 network: a /64 while there are enough of them."""
    if not is_dual(options) or options.cni != "kinda" or not nodes:
        return {}
    whole = ipaddress.IPv6Network(options.pod_cidr6)
    length = max(_NODE_PREFIX, whole.prefixlen + (len(nodes) - 1).bit_length())
    if length > _SMALLEST_PREFIX:
        found = f"{whole} for {len(nodes)} nodes"
        expected = f"room for a /{_SMALLEST_PREFIX} per node"
        problems.append(Problem("options", "pod_cidr6", found, expected))
        return {}
    first, size = int(whole.network_address), 1 << (128 - length)
    return {
        one.name: f"{ipaddress.IPv6Address(first + index * size)}/{length}"
        for index, one in enumerate(nodes)
    }


def endpoints6(
    nodes: Collection[KubernetesNode],
    endpoints: Collection[str],
    options: PlanOptions,
    problems: list[Problem],
) -> dict[str, str]:
    """Each node's own IPv6 address; none for one that has no IPv4 endpoint either."""
    if not is_dual(options) or options.cni != "kinda":
        return {}
    whole = ipaddress.IPv6Network(options.node_cidr6)
    if len(nodes) >= whole.num_addresses:
        found = f"{whole} for {len(nodes)} nodes"
        problems.append(Problem("options", "node_cidr6", found, "an address for each node"))
        return {}
    return {
        one.name: str(whole[number])
        for number, one in enumerate(nodes, start=1)
        if one.name in endpoints
    }


def node_addresses(endpoints: Mapping[str, str], endpoints6: Mapping[str, str]) -> dict[str, str]:
    """What kubelets are told of their nodes' addresses, IPv4 first.

    >>> node_addresses({"c1": "10.9.0.1", "w1": "10.9.0.5"}, {"w1": "fd00::1"})
    {'c1': '10.9.0.1', 'w1': '10.9.0.5,fd00::1'}
    """
    return {
        name: f"{one},{endpoints6[name]}" if name in endpoints6 else one
        for name, one in endpoints.items()
    }


def with_ipv6(node: NodePlan, endpoints6: Mapping[str, str]) -> NodePlan:
    """A node of the cluster with IPv6 switched on; a device as it is."""
    if not node.is_kubernetes:
        return node
    sysctls = {**NODE_SYSCTLS, **node.sysctls}
    return replace(node, sysctls=sysctls, endpoint6=endpoints6.get(node.name, ""))


def pod_cidrs(options: PlanOptions) -> list[str]:
    """The networks that all pods' networks are in."""
    return [options.pod_cidr, *([options.pod_cidr6] if is_dual(options) else [])]


def node_cidrs(options: PlanOptions) -> list[str]:
    """The network of the addresses that nodes have beside those of their links."""
    return [options.node_cidr6] if is_dual(options) else []


def subnets(options: PlanOptions) -> dict[str, str]:
    """What kubeadm is told of the networks of pods and services, in the order of preference."""
    return {
        "podSubnet": ",".join(pod_cidrs(options)),
        "serviceSubnet": f"{options.service_cidr},{options.service_cidr6}",
    }
