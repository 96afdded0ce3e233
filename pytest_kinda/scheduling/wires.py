"""What a packet meets between two neighbours of the network layer: wires, hubs, switches."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from pytest_kinda.plan.values import InterfacePlan, NodePlan, Plan

FREE = 1 << 62
"""The rate of a way on which no link declares one."""


class Leg(NamedTuple):
    """From one node to another through wires and switches only.

    ``delay`` in nanoseconds, ``rate`` in bit/s (``FREE`` without one), ``nodes`` are those that are
    met after the first, the last included; ``links`` the declared links.
    """

    delay: int
    rate: int
    nodes: tuple[str, ...]
    links: tuple[str, ...]


class Wires:
    """The collision domains of a plan, and what each interface does to what leaves it."""

    def __init__(self, plan: Plan) -> None:
        self._nodes = {one.name: one for one in plan.nodes}
        self._members = {one.name: one.members for one in plan.segments}
        self._interfaces = {
            (node.name, one.name): one for node in plan.nodes for one in node.interfaces
        }
        self._links = {
            (end.node, end.interface): link.name
            for link in plan.links
            for end in (link.a, link.b)
            if end.interface
        }
        self._forwards = {one.name: forwards_frames(one) for one in plan.nodes}
        self._known: dict[tuple[str, str, str, str], Leg | None] = {}

    def leg(self, name: str, interface: str, goal: str, at: str) -> Leg | None:
        """The fewest wires and switches from an interface to one of another node's.

        Without ``at`` (an address on a loopback) any of its interfaces will do. None where there
        is no such way.
        """
        key = (name, interface, goal, at)
        if key not in self._known:
            self._known[key] = self._across(*key)
        return self._known[key]

    def _across(self, name: str, interface: str, goal: str, at: str) -> Leg | None:
        start = self._interfaces[name, interface]
        first = self._wire(name, start)
        waiting = deque([(start.segment, first, (interface, name))])
        seen = {start.segment}
        while waiting:
            segment, leg, came = waiting.popleft()
            members = self._members[segment]
            for one in members:
                if one.node == goal and at in ("", one.interface):
                    links = self._named(leg.links, one.node, one.interface)
                    return leg._replace(nodes=(*leg.nodes, goal), links=links)
            for one in members:
                if (one.interface, one.node) == came or not self._forwards[one.node]:
                    continue
                arrived = self._named(leg.links, one.node, one.interface)
                for other in self._nodes[one.node].interfaces:
                    if other.segment in seen:
                        continue
                    seen.add(other.segment)
                    following = self._wire(one.node, other)
                    waiting.append(
                        (
                            other.segment,
                            Leg(
                                leg.delay + following.delay,
                                min(leg.rate, following.rate),
                                (*leg.nodes, one.node),
                                (*arrived, *following.links),
                            ),
                            (other.name, one.node),
                        )
                    )
        return None

    def _wire(self, name: str, interface: InterfacePlan) -> Leg:
        shape = interface.shape
        return Leg(
            shape.delay if shape else 0,
            (shape.rate or FREE) if shape else FREE,
            (),
            (self._links[name, interface.name],),
        )

    def _named(self, links: tuple[str, ...], node: str, interface: str) -> tuple[str, ...]:
        """The links so far and, behind a hub, the one that the frame arrives by."""
        name = self._links[node, interface]
        return links if links and links[-1] == name else (*links, name)


def forwards_frames(node: NodePlan) -> bool:
    """Whether a node is a switch: a device without an address of its own."""
    return node.role == "device" and not any(one.addresses for one in node.interfaces)
