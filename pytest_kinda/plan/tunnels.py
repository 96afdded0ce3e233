"""How pods reach pods of other nodes: GRE between the nodes' endpoints, or routes; their CNI."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable

from pytest_kinda.errors import Problem
from pytest_kinda.operations import (
    AddAddress,
    AddRoute,
    AddTunnel,
    Hop,
    Operation,
    TunnelPeer,
    WriteFile,
)
from pytest_kinda.plan import families
from pytest_kinda.plan.routing import DEFAULT
from pytest_kinda.plan.values import HostFacts, NodePlan, Plan, PlanOptions, TunnelPlan

CONFLIST = "/etc/cni/net.d/10-kinda.conflist"
OVERHEAD = {"gre": 24, "bpf": 24, "vxlan": 50}
"""Bytes that a driver's headers take: IPv4 20 and GRE 4; or IPv4, UDP 8, VXLAN 8, Ethernet 14."""


def choose(options: PlanOptions, facts: HostFacts, mtu: int, problems: list[Problem]) -> TunnelPlan:
    """The driver: the one asked for, else bpf (the fastest measured), else the kernel's GRE.

    ``mtu`` is the smallest of the underlay.
    """
    if options.cni != "kinda":
        return TunnelPlan("none", mtu)
    driver = options.tunnel
    if options.pods == "routed":
        if driver != "auto":
            found = f"{driver} with pods='routed'"
            problems.append(Problem("options", "tunnel", found, "auto: routed pods need no tunnel"))
        return TunnelPlan("routed", mtu)
    if driver == "auto":
        # vxlan is never chosen by itself: its wire format is another
        driver = "bpf" if facts.bpf or not facts.gre else "gre"
    if not {"gre": facts.gre, "bpf": facts.bpf, "vxlan": facts.vxlan}[driver]:
        have = [one for one in ("bpf", "gre", "vxlan") if getattr(facts, one)]
        problems.append(
            Problem(
                "options",
                "tunnel",
                f"{driver}, which this kernel lacks",
                f"one of {', '.join(have)}" if have else "a kernel with ip_gre or tc eBPF",
            )
        )
    # no default route leads a node's own packets to a service of IPv6, before it becomes a pod
    services = [options.service_cidr6] if families.is_dual(options) else []
    aggregates = (*families.pod_cidrs(options), *families.node_cidrs(options), *services)
    return TunnelPlan(driver, mtu - OVERHEAD[driver], aggregates)


def tunnel_address(pod_cidr: str) -> str:
    """A node's address in its pods' network: the last of the first 65536, kept from the CNI.

    It is on ``kgre``, or on the loopback where pods are routed.

    >>> tunnel_address("10.244.1.0/24"), tunnel_address("fd00:10:244:1::/64")
    ('10.244.1.254', 'fd00:10:244:1::fffe')
    """
    return str(_from_last(pod_cidr, 2))


def tunnel_operations(plan: Plan, node: NodePlan) -> tuple[Operation, ...]:
    """The GRE state of one Kubernetes node; nothing for a node without an endpoint.

    Where pods are routed it is an address only: the routes are those of the network.
    """
    tunnel = plan.tunnel
    if tunnel is None or tunnel.driver == "none" or not node.endpoint or not node.pod_cidrs:
        return ()
    if tunnel.driver == "routed":
        found: list[Operation] = []
        for one in node.pod_cidrs:
            found.append(AddAddress(node.name, "lo", _alone(tunnel_address(one))))
            # else what is for no pod of it would go back to the router, and come again
            found.append(AddRoute(node.name, one, ()))
        return (*found, *_services_route(plan, node))
    peers = tuple(
        TunnelPeer(network, one.endpoint)
        for one in plan.kubernetes_nodes
        if one.name != node.name and one.endpoint
        for network in (*one.pod_cidrs, *_own(one))
    )
    return (
        AddTunnel(
            place=node.name,
            driver=tunnel.driver,
            local=node.endpoint,
            underlay=tuple(one.name for one in node.interfaces),
            # the first of a family is what the node's own packets have
            addresses=(*_own(node), *(_alone(tunnel_address(one)) for one in node.pod_cidrs)),
            aggregates=tunnel.aggregates,
            peers=peers,
            mtu=tunnel.mtu,
        ),
    )


def _services_route(plan: Plan, node: NodePlan) -> tuple[AddRoute, ...]:
    """Where a node's own packets to a service of IPv6 seem to go, until they go to a pod."""
    services = plan.cluster.service_cidr6 if plan.cluster else ""
    six = [one for one in node.interfaces if any(":" in address for address in one.addresses)]
    if not services or not six:
        return ()
    return (AddRoute(node.name, services, (Hop("", six[0].name),), node.endpoint6),)


def cni_conflist(plan: Plan, node: NodePlan) -> str:
    """The CNI configuration of one node: ptp, host-local on its pods' networks, portmap.

    A pod gets an address of each. ptp's own masquerade stays off: it would hide pods from pods.
    """
    ranges = [[{"subnet": one, "rangeEnd": str(_from_last(one, 3))}] for one in node.pod_cidrs]
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": ranges,
        "routes": [{"dst": one} for one in _defaults(node.pod_cidrs)],
    }
    mtu = plan.tunnel.mtu if plan.tunnel else 1476
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": mtu, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    conflist = {"cniVersion": "0.4.0", "name": "kinda", "plugins": plugins}
    return json.dumps(conflist, indent=2) + "\n"


def cni_operations(plan: Plan, node: NodePlan) -> tuple[WriteFile, ...]:
    """The conflist as an operation; nothing where the author brings a CNI of their own."""
    if not node.pod_cidrs:
        return ()
    return (WriteFile(node.name, CONFLIST, cni_conflist(plan, node)),)


def _from_last(pod_cidr: str, number: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    network = ipaddress.ip_network(pod_cidr)
    return network[min(network.num_addresses, 1 << 16) - number]


def _alone(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _own(node: NodePlan) -> tuple[str, ...]:
    return (_alone(node.endpoint6),) if node.endpoint6 else ()


def _defaults(pod_cidrs: Iterable[str]) -> list[str]:
    return [DEFAULT[ipaddress.ip_network(one).version] for one in pod_cidrs]
