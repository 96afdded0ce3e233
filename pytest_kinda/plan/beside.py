"""Nodes that are only declared, beside a plan that is carried out: one plan of both networks.

Their network is planned as any other, from addresses that the plan beside does not use, and one
link joins a router of each. Nothing of the result is built: facts are computed from it, by the same
routes as those of what stands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pytest_kinda.errors import DeclarationError, Problem
from pytest_kinda.operations import Hop
from pytest_kinda.plan.planner import plan as make_plan
from pytest_kinda.plan.shaping import shape_of
from pytest_kinda.plan.values import (
    USUAL,
    InterfacePlan,
    LinkPlan,
    Member,
    NodePlan,
    Plan,
    PlanOptions,
    RoutePlan,
    SegmentPlan,
)
from pytest_kinda.topology import Link, Topology

_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
"""RFC 6598: addresses that are nobody's own, so that few plans use them."""
_PODS = "10.128.0.0/9"  # 30,000 nodes have a network for pods each, which nobody uses
_PORT = "sim"
_EVERYTHING = "0.0.0.0/0"


def plan_beside(topology: Topology, plan: Plan, *, prefix: str, count: int) -> Plan:
    """The plan of a network that is only declared, for beside ``plan``.

    Every name in it begins with ``prefix``. Of the nodes of its cluster the first ``count`` are
    left, all as workers: the control plane is the other plan's. Raises PlanError, and
    DeclarationError where the topology has fewer nodes.

    Example: ``plan_beside(leaf_spine(2, 4, 5), kinda.plan, prefix="sim-", count=20)``
    """
    pool, _ = _free_block(plan).subnets(new_prefix=16)
    options = PlanOptions(pool=str(pool), pod_cidr=_PODS)
    made = make_plan(topology, options, USUAL)
    left = [one.name for one in made.kubernetes_nodes][:count]
    if len(left) < count:
        found = f"{len(left)} nodes of a cluster"
        raise _wrong(f"topology {topology.name}", "nodes", found, f"{count} at least")
    gone = {one.name for one in made.kubernetes_nodes} - {*left}
    return _prefixed(made, prefix, gone)


def joined(plan: Plan, other: Plan, uplink: Link) -> Plan:
    """Both plans as one: ``uplink`` leads from a router of ``other`` to one of ``plan``.

    Whoever of ``plan`` has a way to that router sends there what is for ``other``, whose nodes send
    to the link what is not for themselves. Raises DeclarationError for ends that are no routers.
    """
    far, near = _router(other, uplink.a), _router(plan, uplink.b)
    block = _block_of(other)
    _, spare = block.subnets(new_prefix=16)
    subnet = next(spare.subnets(new_prefix=30))
    here, there = (f"{address}" for address in subnet.hosts())
    port = f"{_PORT}{sum(one.name.startswith(_PORT) for one in near.interfaces)}"

    def end(name: str, address: str, side: str, peer: str) -> InterfacePlan:
        shape = shape_of(uplink, side)
        return InterfacePlan(
            name, uplink.name, "", addresses=(f"{address}/30",), shape=shape, peers=(peer,)
        )

    ends = {
        near.name: end(port, here, "b", far.name),
        far.name: end(_PORT, there, "a", near.name),
    }
    members = (Member(far.name, _PORT), Member(near.name, port))
    made = replace(
        plan,
        nodes=(
            *_leading(plan.nodes, near, ends[near.name], there, str(block)),
            *_leading(other.nodes, far, ends[far.name], here, _EVERYTHING),
        ),
        segments=(
            *plan.segments,
            *other.segments,
            SegmentPlan(uplink.name, uplink.name, members, subnets=(str(subnet),)),
        ),
        links=(*plan.links, *other.links, LinkPlan(uplink.name, *members, uplink.name)),
    )
    return made


def routers(plan: Plan) -> tuple[str, ...]:
    """The devices of a plan that send packets on by their addresses, in the plan's order."""
    return tuple(one.name for one in plan.nodes if _routes(one))


def _prefixed(plan: Plan, prefix: str, gone: Iterable[str]) -> Plan:
    """A plan whose nodes, links and segments have longer names, without some of its nodes."""
    out = {*gone}
    left = {
        one.name: tuple(each for each in one.members if each.node not in out)
        for one in plan.segments
    }
    empty = {name for name, members in left.items() if len(members) < 2}

    def longer(name: str) -> str:
        return "--".join(prefix + part for part in name.split("--"))

    def member(one: Member) -> Member:
        return replace(one, node=prefix + one.node)

    def interface(one: InterfacePlan) -> InterfacePlan:
        peers = tuple(prefix + name for name in one.peers if name not in out)
        return replace(one, segment=longer(one.segment), peers=peers)

    nodes = tuple(
        replace(
            one,
            name=prefix + one.name,
            role="device" if one.role == "device" else "worker",
            kind=one.kind if one.role == "device" else "worker",
            interfaces=tuple(
                interface(each) for each in one.interfaces if each.segment not in empty
            ),
        )
        for one in plan.nodes
        if one.name not in out
    )
    segments = tuple(
        replace(
            one,
            name=longer(one.name),
            members=tuple(map(member, left[one.name])),
        )
        for one in plan.segments
        if one.name not in empty
    )
    links = tuple(
        replace(
            one,
            name=longer(one.name),
            a=member(one.a),
            b=member(one.b),
            segment=longer(one.segment),
        )
        for one in plan.links
        if not out.intersection((one.a.node, one.b.node))
    )
    return replace(plan, nodes=nodes, segments=segments, links=links)


def _leading(
    nodes: Sequence[NodePlan], router: NodePlan, port: InterfacePlan, beyond: str, network: str
) -> tuple[NodePlan, ...]:
    """Nodes with a route to ``network``: by the router's new ``port``, or as they reach it."""
    reach = _reach(router)
    found = []
    for node in nodes:
        if node.name == router.name:
            hops: tuple[Hop, ...] = (Hop(beyond, port.name),)
            node = replace(node, interfaces=(*node.interfaces, port))
        else:
            hops = reach(node)
        if hops:
            node = replace(node, routes=(*node.routes, RoutePlan(network, hops)))
        found.append(node)
    return tuple(found)


def _reach(router: NodePlan) -> Callable[[NodePlan], tuple[Hop, ...]]:
    """How a node reaches a router: on a wire of both, else by its best route."""
    own = [
        ipaddress.ip_interface(text)
        for one in router.interfaces
        for text in one.addresses
        if ":" not in text
    ]
    main = ipaddress.IPv4Address(router.endpoint) if router.endpoint else own[0].ip
    addresses = {one.ip for one in own}

    def hops(node: NodePlan) -> tuple[Hop, ...]:
        for one in node.interfaces:
            for text in one.addresses:
                wire = ipaddress.ip_interface(text)
                for address in addresses:
                    if wire.network.prefixlen < 32 and address in wire.network:
                        return (Hop(str(address), one.name),)
        best: tuple[int, tuple[Hop, ...]] = (-1, ())
        for route in node.routes:
            network = ipaddress.ip_network(route.destination)
            if main in network and network.prefixlen > best[0]:
                best = network.prefixlen, route.hops
        return best[1]

    return hops


def _router(plan: Plan, name: str) -> NodePlan:
    for one in plan.nodes:
        if one.name == name and _routes(one):
            return one
    known = ", ".join(routers(plan)) or "a network with a router, this one has none"
    raise _wrong(f"uplink to {plan.topology}", "router", repr(name), known)


def _routes(node: NodePlan) -> bool:
    forwards = node.sysctls.get("net.ipv4.ip_forward") == "1"
    return node.role == "device" and forwards and any(one.addresses for one in node.interfaces)


def _block_of(plan: Plan) -> ipaddress.IPv4Network:
    """The block that :func:`plan_beside` has chosen for a plan."""
    return ipaddress.IPv4Network(plan.options.pool).supernet(new_prefix=15)


def _free_block(plan: Plan) -> ipaddress.IPv4Network:
    options = plan.options
    used = [options.pool, options.pod_cidr, options.service_cidr, options.docker_pool]
    for node in plan.nodes:
        used += [text for text in node.loopback if ":" not in text]
        used += [text for one in node.interfaces for text in one.addresses if ":" not in text]
    networks = {ipaddress.IPv4Interface(text).network for text in used}
    for block in _SHARED.subnets(new_prefix=15):
        if not any(one.overlaps(block) for one in networks):
            return block
    raise _wrong(f"topology {plan.topology}", "addresses", f"all of {_SHARED}", "a free /15 of it")


def _wrong(where: str, field: str, found: str, expected: str) -> DeclarationError:
    return DeclarationError("simulated nodes", [Problem(where, field, found, expected)])
