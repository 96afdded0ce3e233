"""Interfaces of the virtual network: what was planned for one, and what it counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from pytest_kinda.errors import KindaError
from pytest_kinda.operations import Shape
from pytest_kinda.plan.values import InterfacePlan

if TYPE_CHECKING:
    from pytest_kinda.testbed.nodes import NodeHandle


@dataclass(frozen=True)
class Counters:
    """What an interface has counted since it was made: packets and bytes without the FCS.

    ``queue_drops`` are packets that its queueing discipline has dropped: those without room in it
    and netem's losses, not those that are lost by a tc program; 0 where the node has no ``tc``.
    """

    received_bytes: int = 0
    received_packets: int = 0
    received_errors: int = 0
    received_drops: int = 0
    sent_bytes: int = 0
    sent_packets: int = 0
    sent_errors: int = 0
    sent_drops: int = 0
    queue_drops: int = 0

    def __sub__(self, earlier: Counters) -> Counters:
        """What was counted since ``earlier``."""
        names = [one.name for one in fields(self)]
        return Counters(*(getattr(self, name) - getattr(earlier, name) for name in names))

    @property
    def mirrored(self) -> Counters:
        """The same as the other end of its wire sees it, which dropped nothing."""
        return Counters(
            received_bytes=self.sent_bytes,
            received_packets=self.sent_packets,
            sent_bytes=self.received_bytes,
            sent_packets=self.received_packets,
        )


# /proc/net/dev does not count what a queueing discipline drops.
_COUNT = 'cat /proc/net/dev; echo; tc -s -j qdisc show dev "$1" 2>/dev/null || true'


def queue_drops(text: str) -> int:
    """The packets that a root queueing discipline has dropped, by what ``tc -s -j`` printed."""
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        return 0
    return sum(int(one.get("drops", 0)) for one in listed if one.get("root"))


def parse_counters(text: str) -> dict[str, Counters]:
    """The counters of ``/proc/net/dev`` by interface name."""
    found: dict[str, Counters] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        values = rest.split()
        if colon and len(values) >= 16:
            numbers = [int(value) for value in values]
            found[name.strip()] = Counters(*numbers[0:4], *numbers[8:12])
    return found


class InterfaceHandle:
    """One interface of a node on a link. Example::

    kinda.node("w1").interface("eth1").address
    """

    def __init__(self, node: NodeHandle, planned: InterfacePlan) -> None:
        self.node = node
        self.planned = planned

    @property
    def name(self) -> str:
        """Its name on the node, such as ``eth1``."""
        return self.planned.name

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return self.planned.mac

    @property
    def mtu(self) -> int:
        """Its MTU in bytes."""
        return self.planned.mtu

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses in CIDR notation."""
        return self.planned.addresses

    @property
    def address(self) -> str:
        """Its first address without the prefix length. Raises KindaError where it has none."""
        if not self.planned.addresses:
            raise KindaError(f"{self} has no address: it is a port of a switch or a hub")
        return self.planned.addresses[0].partition("/")[0]

    @property
    def segment(self) -> str:
        """The collision domain that it is on."""
        return self.planned.segment

    @property
    def peers(self) -> tuple[str, ...]:
        """The nodes at the other ends."""
        return self.planned.peers

    @property
    def shape(self) -> Shape:
        """What was declared for the packets that leave it."""
        return self.planned.shape or Shape()

    def counters(self) -> Counters:
        """What it has counted. Raises CommandError, and KindaError where it is gone."""
        devices, _, queues = self.node.shell(_COUNT, self.name).stdout.partition("\n\n")
        found = parse_counters(devices)
        if self.name not in found:
            raise KindaError(f"{self} is gone; {self.node.name} has {', '.join(found)}")
        return replace(found[self.name], queue_drops=queue_drops(queues))

    def __str__(self) -> str:
        return f"{self.node.name}:{self.name}"

    def __repr__(self) -> str:
        return f"<interface {self}>"
