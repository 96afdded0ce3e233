"""How pods reach pods of other nodes: GRE between the nodes' endpoints, or routes; their CNI."""

from __future__ import annotations

import ipaddress
import json

from pytest_kinda.errors import Problem
from pytest_kinda.operations import (
    AddAddress,
    AddRoute,
    AddTunnel,
    Operation,
    TunnelPeer,
    WriteFile,
)
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
    return TunnelPlan(driver, mtu - OVERHEAD[driver], (options.pod_cidr,))


def tunnel_address(pod_cidr: str) -> str:
    """A node's address in its pods' network: the last, which the CNI does not hand out.

    It is on ``kgre``, or on the loopback where pods are routed.
    """
    return str(ipaddress.IPv4Network(pod_cidr).broadcast_address - 1)


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
            found.append(AddAddress(node.name, "lo", f"{tunnel_address(one)}/32"))
            # else what is for no pod of it would go back to the router, and come again
            found.append(AddRoute(node.name, one, ()))
        return tuple(found)
    peers = tuple(
        TunnelPeer(cidr, one.endpoint)
        for one in plan.kubernetes_nodes
        if one.name != node.name and one.endpoint
        for cidr in one.pod_cidrs
    )
    return (
        AddTunnel(
            place=node.name,
            driver=tunnel.driver,
            local=node.endpoint,
            underlay=tuple(one.name for one in node.interfaces),
            addresses=tuple(f"{tunnel_address(one)}/32" for one in node.pod_cidrs),
            aggregates=tunnel.aggregates,
            peers=peers,
            mtu=tunnel.mtu,
        ),
    )


def cni_conflist(plan: Plan, node: NodePlan) -> str:
    """The CNI configuration of one node: ptp, host-local on its pods' network, portmap.

    ptp's own masquerade stays off: it would hide pods from pods.
    """
    ranges = [[{"subnet": one, "rangeEnd": _last(one)}] for one in node.pod_cidrs]
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
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


def _last(pod_cidr: str) -> str:
    return str(ipaddress.IPv4Network(pod_cidr).broadcast_address - 2)
