"""The path that a packet really takes: seen at every interface, not read from tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_kinda.testbed.layers import Packet

# A ping's payload that nobody else sends: -p repeats these bytes (16 at most).
PATTERN = "6b696e64612d7472616365"


@dataclass(frozen=True)
class Sighting:
    """The packet at one interface: ``time`` in nanoseconds, ``direction`` as seen from it."""

    time: int
    node: str
    interface: str
    direction: str
    tunnelled: bool

    def __str__(self) -> str:
        way = {"in": "->", "out": "<-"}.get(self.direction, "--")
        return f"{way} {self.node}:{self.interface}{' (GRE)' if self.tunnelled else ''}"


@dataclass(frozen=True)
class Trace:
    """Where one packet was seen, in the order of time. Truthy when it arrived.

    ``nodes`` are the nodes that it crossed, the first and the last included. Example::

        assert kinda.trace("w1", "w2").nodes == ("w1", "r1", "r2", "w2")
    """

    sightings: tuple[Sighting, ...]
    arrived: bool

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes, each once for each time that it was entered or left in a row."""
        found: list[str] = []
        for one in self.sightings:
            if not found or found[-1] != one.node:
                found.append(one.node)
        return tuple(found)

    @property
    def seconds(self) -> float:
        """From the first to the last sighting."""
        if not self.sightings:
            return 0.0
        return (self.sightings[-1].time - self.sightings[0].time) / 1e9

    def __bool__(self) -> bool:
        return self.arrived

    def __str__(self) -> str:
        if not self.sightings:
            return "seen nowhere"
        first = self.sightings[0].time
        lines = [f"{(one.time - first) / 1e3:9.1f} us {one}" for one in self.sightings]
        return "\n".join([*lines, "arrived" if self.arrived else "did not come back"])


def is_ours(packet: Packet) -> bool:
    """Whether it is the first echo request of a ping with our pattern."""
    echo = packet.icmp
    if echo is None or (echo.type, echo.sequence) not in ((8, 1), (128, 1)):
        return False
    return bytes.fromhex(PATTERN) in packet.data


def trace_of(
    packets: Iterable[Packet],
    macs: Mapping[str, str],
    *,
    arrived: bool,
    ours: Callable[[Packet], bool] = is_ours,
) -> Trace:
    """The trace of the packet that ``ours`` tells, among packets seen everywhere.

    ``macs`` are the MAC addresses of ``node:interface``: on a hub a frame reaches every member,
    and one for another MAC was only overheard. An interface that is not in it (a switch's port)
    takes all.
    """
    wanted = [one for one in packets if ours(one)]
    seen = []
    for packet in sorted(wanted, key=lambda one: one.time):
        mac = macs.get(packet.interface)
        if packet.direction == "in" and mac and packet.ethernet:
            target = packet.ethernet.destination
            if target != mac and not int(target[:2], 16) & 1:
                continue
        node, _, interface = packet.interface.partition(":")
        tunnelled = packet.gre is not None
        seen.append(Sighting(packet.time, node, interface, packet.direction, tunnelled))
    return Trace(tuple(seen), arrived)
