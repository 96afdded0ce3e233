"""Which cables there are: links become collision domains, interfaces and broadcast domains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_kinda.topology import KubernetesNode, Link, Node, Topology, forwarding


@dataclass
class Port:
    """One interface: the end of a link at a node. ``addresses`` come from addressing.

    ``own`` are the addresses that the node gives itself; None where the plan gives them.
    """

    node: str
    name: str
    link: Link
    direction: str  # "a" or "b": which end of the link it is
    addresses: list[str] = field(default_factory=list)
    own: tuple[str, ...] | None = None


@dataclass
class Segment:
    """A collision domain: the two ends of a cable, or all ends at a hub.

    ``room`` is for what programs on the way add to packets.
    """

    name: str
    ports: list[Port] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    room: int = 0

    @property
    def mtu(self) -> int:
        """What fits through every part of it."""
        return min(one.mtu for one in self.links) + self.room


@dataclass
class Domain:
    """A broadcast domain: the segments that switches join. ``ports`` are those with addresses."""

    segments: list[Segment]
    ports: list[Port]
    subnets: list[str] = field(default_factory=list)

    @property
    def links(self) -> list[Link]:
        """Its links, in declared order."""
        return [link for one in self.segments for link in one.links]


@dataclass
class Layout:
    """The cables of a topology."""

    nodes: dict[str, Node]
    roles: dict[str, str]
    segments: list[Segment]
    domains: list[Domain]
    ports: dict[str, list[Port]]
    segment_of: dict[str, Segment]


class Union:
    """Union-find over names; the smallest index of a set stands for it."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The name that stands for the set of this one."""
        root = name
        while (above := self._parent.get(root, root)) != root:
            root = above
        while name != root:
            above = self._parent.get(name, root)
            self._parent[name], name = root, above
        return root

    def join(self, names: Iterable[str]) -> None:
        """Make one set of the sets of these names."""
        roots = [self.find(one) for one in names]
        for one in roots[1:]:
            self._parent[self.find(one)] = self.find(roots[0])


def lay_out(topology: Topology) -> Layout:
    """The segments, interfaces and broadcast domains of a topology."""
    nodes = {one.name: one for one in topology.nodes}
    roles: dict[str, str] = {name: forwarding(one) for name, one in nodes.items()}
    hubs = Union()
    for link in topology.links:
        if roles[link.a] == roles[link.b] == "hub":
            hubs.join(link.ends)
    segments: dict[str, Segment] = {}
    segment_of: dict[str, Segment] = {}
    ports: dict[str, list[Port]] = {name: [] for name in nodes}
    used: dict[str, set[str]] = {name: set() for name in nodes}
    for link in topology.links:
        for end, interface in zip(link.ends, link.interfaces, strict=True):
            if interface:
                used[end].add(interface)
    counters = {name: int(isinstance(one, KubernetesNode)) for name, one in nodes.items()}
    for link in topology.links:
        at_hub = next((end for end in link.ends if roles[end] == "hub"), None)
        # a link may be named like a hub: the kinds of name are told apart by what they stand for
        key = f"hub {hubs.find(at_hub)}" if at_hub else f"link {link.name}"
        segment = segments.setdefault(key, Segment(hubs.find(at_hub) if at_hub else link.name))
        segment.links.append(link)
        segment_of[link.name] = segment
        for direction, end, interface in zip("ab", link.ends, link.interfaces, strict=True):
            if roles[end] == "hub":
                continue
            while not interface:
                candidate = f"eth{counters[end]}"
                counters[end] += 1
                if candidate not in used[end]:
                    interface = candidate
            own = getattr(nodes[end], "own_addresses", None)
            port = Port(
                end, interface, link, direction, own=own.get(interface) if own is not None else None
            )
            segment.ports.append(port)
            ports[end].append(port)
    return Layout(
        nodes, roles, list(segments.values()), _domains(segments, roles), ports, segment_of
    )


def _domains(segments: dict[str, Segment], roles: dict[str, str]) -> list[Domain]:
    switched = Union()
    for key, segment in segments.items():
        switches = [f"switch {one.node}" for one in segment.ports if roles[one.node] == "switch"]
        switched.join([key, *switches])
    found: dict[str, list[Segment]] = {}
    for key, segment in segments.items():
        found.setdefault(switched.find(key), []).append(segment)
    return [
        Domain(
            members,
            [port for one in members for port in one.ports if roles[port.node] != "switch"],
        )
        for members in found.values()
    ]


def others_at(layout: Layout, name: str) -> Iterator[tuple[Port, Port]]:
    """Each interface of a node with each other end that it is joined to.

    Of a switch those are the ends of its cables, of other nodes those of the broadcast domain.
    """
    switches = layout.roles[name] == "switch"
    for port in layout.ports[name]:
        segment = layout.segment_of[port.link.name]
        joined = segment.ports
        if not switches:
            joined = next(one.ports for one in layout.domains if segment in one.segments)
        for other in joined:
            if other is not port:
                yield port, other
