"""What a node needs when its container has started again: itself, and the far ends of its cables.

Its network namespace is a new one. A veth pair is gone as a whole with one of its ends, so that a
neighbour's interface is a new one too and gets back what it had; a bridge's port concerns nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from pytest_kinda.operations import (
    AddAddress,
    AddBridgePort,
    AddHub,
    AddRoute,
    AddTunnel,
    AddVeth,
    IgnoreArrivals,
    Operation,
    RemoveAddress,
    SetInterface,
    SetShape,
    SetSysctl,
)
from pytest_kinda.plan.naming import HUBS
from pytest_kinda.plan.outside import UPLINK
from pytest_kinda.plan.tunnels import tunnel_operations
from pytest_kinda.plan.values import Member, NodePlan, Plan, SegmentPlan
from pytest_kinda.plan.wiring import configure_operations, start_operations, wire_operations


def rewire_operations(
    plan: Plan, name: str, alive: Collection[str], bridges: Mapping[str, str], testbed: str
) -> tuple[Operation, ...]:
    """Everything that gives a node its links, addresses, routes, settings and tunnel back.

    ``alive`` names the nodes that run: what leads to another one is left out, and comes when that
    one is wired. ``bridges`` and ``testbed`` are as for ``wire_operations``.
    """
    node = plan.node(name)
    there = {*alive, name}
    found: list[Operation] = []
    if node.is_kubernetes:
        found += start_operations(plan, node)
    neighbours: dict[str, set[str]] = {}
    for one in wire_operations(plan, bridges, testbed):
        if isinstance(one, AddHub):
            made = {each.a.interface for each in found if isinstance(each, AddVeth)}
            if ports := tuple(port for port in one.ports if port in made):
                found.append(replace(one, ports=ports))
        elif isinstance(one, AddVeth) and one.a.place == one.b.place:
            if one.a.place == name:
                found.append(one)
        elif isinstance(one, AddVeth):
            if name in (one.a.place, one.b.place) and {one.a.place, one.b.place} <= {*there, HUBS}:
                # made from the far end, where a pair of the old namespace may still stand
                far, near = (one.b, one.a) if one.a.place == name else (one.a, one.b)
                found.append(AddVeth(far, near))
                if far.place != HUBS:
                    neighbours.setdefault(far.place, set()).add(far.interface)
        elif isinstance(one, AddBridgePort) and one.end.place == name:
            found.append(one)
    found += _configured(plan, node, there)
    for neighbour, interfaces in neighbours.items():
        found += _configured(plan, plan.node(neighbour), there, only=interfaces)
    found += _tunnel(plan, node, there)
    if plan.tunnel is not None and plan.tunnel.driver in ("bpf", "routed"):
        # its program, or a route, was on the interface that is gone
        for neighbour in neighbours:
            found += _tunnel(plan, plan.node(neighbour), there)
    return tuple(found)


def remade_ends(plan: Plan, name: str) -> tuple[Member, ...]:
    """The interfaces of other nodes that are new ones once this node has been wired again."""
    return tuple(
        member
        for interface in plan.node(name).interfaces
        if _is_straight(plan, segment := plan.segment(interface.segment))
        for member in segment.members
        if member.node != name
    )


def _is_straight(plan: Plan, segment: SegmentPlan) -> bool:
    """Whether it is a cable from node to node, with nothing of the machine's in between."""
    return segment.by == "veth" or (
        plan.options.engine == "direct" and not segment.is_hub and len(segment.members) == 2
    )


def _present(plan: Plan, node: NodePlan, there: Collection[str]) -> set[str]:
    """The interfaces of a node that runs: a cable straight to a node that does not has no end."""
    found = set()
    for one in node.interfaces:
        segment = plan.segment(one.segment)
        ends = (member.node in there for member in segment.members)
        if not _is_straight(plan, segment) or all(ends):
            found.add(one.name)
    if plan.uplink is not None and plan.uplink.device == node.name:
        found.add(UPLINK)
    return found


def _configured(
    plan: Plan, node: NodePlan, there: Collection[str], only: Collection[str] | None = None
) -> Iterator[Operation]:
    """What configures a node, as far as its interfaces are there; ``only`` that of these."""
    present = _present(plan, node, there)
    wanted = present if only is None else present & set(only)
    names = {one.name for one in node.interfaces}
    for one in configure_operations(plan, node):
        if isinstance(one, AddRoute) and one.hops:
            hops = tuple(hop for hop in one.hops if hop.interface in present)
            if hops and (only is None or any(hop.interface in wanted for hop in one.hops)):
                yield replace(one, hops=hops)
        elif isinstance(one, RemoveAddress):
            address = one.address.partition("/")[0]
            holders = {
                each.name
                for each in node.interfaces
                if any(given.partition("/")[0] == address for given in each.addresses)
            }
            if holders <= present:
                yield one
        elif (interface := _interface_of(one, names)) is not None:
            if interface in wanted:
                yield one
        elif only is None:
            yield one


def _interface_of(operation: Operation, names: Collection[str]) -> str | None:
    """The interface of the virtual network that an operation is about; None for others."""
    if isinstance(operation, (SetInterface, AddAddress, SetShape, IgnoreArrivals)):
        return operation.interface if operation.interface in names else None
    if isinstance(operation, SetSysctl):
        parts = operation.key.split(".")
        return parts[3] if len(parts) == 5 and parts[3] in names else None
    return None


def _tunnel(plan: Plan, node: NodePlan, there: Collection[str]) -> Iterator[Operation]:
    present = _present(plan, node, there)
    for one in tunnel_operations(plan, node):
        if isinstance(one, AddTunnel):
            one = replace(one, underlay=tuple(name for name in one.underlay if name in present))
        elif isinstance(one, AddRoute) and any(hop.interface not in present for hop in one.hops):
            continue  # it comes with its interface
        yield one
