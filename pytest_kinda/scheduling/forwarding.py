"""Where a plan's routes lead, hop by hop, and what the links on the way do to a packet.

Every pair of a fabric's nodes is asked for. Destinations that every table on the way treats alike
are followed once, and only the wire to the last of them is added for each: a fat tree's thousand
nodes are a hundred destinations. What is followed are the routes that the plan puts into the nodes,
by longest prefix, so that a way here is the way that ``kinda.trace`` sees.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_kinda.operations import Hop
from pytest_kinda.plan.values import NodePlan, Plan
from pytest_kinda.scheduling.wires import FREE, Leg, Wires


class Way(NamedTuple):
    """What the rest of a way costs: the slowest of ``ways`` equal-cost ones, the narrowest rate.

    ``quick`` is the delay of the fastest of them, ``links`` how many the slowest has.
    """

    delay: int
    quick: int
    rate: int
    links: int
    ways: int
    leg: Leg | None
    following: str


class Unknown(NamedTuple):
    """No way is known from ``node``, and why."""

    node: str
    reason: str


_NOWHERE = Leg(0, FREE, (), ())
_HERE = Way(0, 0, FREE, 0, 1, None, "")
_Parsed = tuple[int, int, int]  # IP version, prefix length, network as a number


class Forwarding:
    """The ways of a plan.

    With ``assume`` a router whose routes the plan does not make (OSPF and the like) is taken to
    send to the neighbours that are the fewest routers from the destination.
    """

    def __init__(self, plan: Plan, *, assume: bool = False) -> None:
        self.assume = assume
        self._nodes = {one.name: one for one in plan.nodes}
        self._parsed: dict[str, _Parsed] = {}
        self._wiring = Wires(plan)
        self._owners: dict[tuple[int, int], tuple[str, str]] = {}
        self._wires: dict[str, list[_Parsed]] = {}
        self._attached: dict[_Parsed, list[str]] = {}
        self._tables: dict[str, dict[_Parsed, str | tuple[Hop, ...]]] = {}
        self._prefixes: set[_Parsed] = set()
        for node in plan.nodes:
            self._learn(node)
        # by IP version, the longest first
        self._lengths = {
            name: _lengths(table) for name, table in (*self._tables.items(), ("", self._prefixes))
        }
        self._near: dict[str, list[tuple[str, Hop]]] | None = None
        self._targets: dict[str, tuple[Class, int]] = {}
        self._classes: dict[object, Class] = {}
        self._hops: dict[tuple[str, str], list[tuple[Leg, str]]] = {}

    def _learn(self, node: NodePlan) -> None:
        name = node.name
        if node.endpoint:
            self._owners.setdefault(self._address(node.endpoint), (name, ""))
        for text in node.loopback:
            self._owners.setdefault(self._address(text.partition("/")[0]), (name, ""))
        table = self._tables.setdefault(name, {})
        for one in node.routes:
            parsed = self._parse(one.destination)
            table[parsed] = one.hops
            self._prefixes.add(parsed)
        wires = self._wires.setdefault(name, [])
        for interface in node.interfaces:
            for text in interface.addresses:
                # an endpoint is the address of an interface where the node has a single one
                self._owners[self._address(text.partition("/")[0])] = (name, interface.name)
                parsed = self._parse(text)
                table[parsed] = interface.name  # on its own wire: better than a route
                wires.append(parsed)
                self._attached.setdefault(parsed, []).append(name)

    def _address(self, text: str) -> tuple[int, int]:
        version, _, number = self._parse(text)
        return version, number

    def _parse(self, text: str) -> _Parsed:
        known = self._parsed.get(text)
        if known is None:
            known = self._parsed[text] = _parsed(text)
        return known

    # One destination

    def target(self, name: str) -> tuple[Class, int]:
        """The destinations that are reached as this node is, and its number among them."""
        if name not in self._targets:
            address = self._address(self._nodes[name].endpoint)
            version = address[0]
            covering = frozenset(
                parsed
                for length in self._lengths[""][version]
                if (parsed := (version, length, _masked(address, length))) in self._prefixes
            )
            routers = tuple(sorted(self._on_wire(name, address)))
            # shared where one router alone has it on its wire; else followed to the node itself
            key = (covering, routers) if len(routers) == 1 else (name, address)
            if key not in self._classes:
                last = routers[0] if len(routers) == 1 else ""
                self._classes[key] = Class(address, last)
            found = self._classes[key]
            found.members.append((name, address))
            self._targets[name] = (found, len(found.members) - 1)
        return self._targets[name]

    def _on_wire(self, name: str, address: tuple[int, int]) -> set[str]:
        """The devices that have an address in the same subnet and no better route."""
        return {
            other
            for other in self.neighbours(name)
            if self._nodes[other].role == "device" and isinstance(self._lookup(other, address), str)
        }

    def neighbours(self, name: str) -> set[str]:
        """The nodes that have an address in a subnet of this one."""
        return {other for parsed in self._wires[name] for other in self._attached[parsed]} - {name}

    def exit(self, name: str) -> tuple[Leg, str, tuple[_Parsed, ...]] | None:
        """The one router that an end sends everything to, and the prefixes that it does so with."""
        routes = {
            parsed: hops for parsed, hops in self._tables[name].items() if not isinstance(hops, str)
        }
        if len({*routes.values()}) != 1:
            return None
        hops = next(iter(routes.values()))
        if len(hops) != 1 or not hops[0].gateway:
            return None
        address = self._address(hops[0].gateway)
        leg = self._across(name, hops[0].interface, address)
        return (leg, self._owners[address][0], tuple(sorted(routes))) if leg else None

    def covers(self, prefixes: Iterable[_Parsed], name: str) -> bool:
        """Whether one of these prefixes holds a node's endpoint."""
        address = self._address(self._nodes[name].endpoint)
        for version, length, number in prefixes:
            if version == address[0] and _masked(address, length) == number:
                return True
        return False

    def _lookup(self, name: str, address: tuple[int, int]) -> str | tuple[Hop, ...]:
        """The interface whose wire has that address, or the next hops of the best route."""
        version = address[0]
        table = self._tables[name]
        for length in self._lengths[name][version]:
            found = table.get((version, length, _masked(address, length)))
            if found is not None:
                return found
        return ()

    def last(self, name: str) -> Leg | None:
        """The wire from the last router of a node's class to the node; None where there is none."""
        known, number = self.target(name)
        if not known.last:
            return _NOWHERE
        address = known.members[number][1]
        interface = self._lookup(known.last, address)
        return self._across(known.last, str(interface), address) if interface else None

    def way(self, source: str, target: str) -> Way | Unknown:
        """From a node to the last router of the target's class, or to the target itself."""
        known, number = self.target(target)
        if self._nodes[source].role == "device":
            return self._known_way(source, known)
        # an end's own wires may tell members of a class apart: it is asked for the very target
        if source == (known.last or target):
            return _HERE
        steps = self._steps(source, known, known.members[number][1])
        if isinstance(steps, Unknown):
            return steps
        for _, other in steps:
            self._known_way(other, known)
        return _slowest(steps, known.ways)

    def _known_way(self, name: str, known: Class) -> Way | Unknown:
        if name not in known.ways:
            self._follow(name, known)
        return known.ways[name]

    def direct(self, source: str, target: str) -> Leg | None:
        """The wire between two nodes that are in one subnet, None where they are not."""
        known, number = self.target(target)
        address = known.members[number][1]
        interface = self._lookup(source, address)
        return self._across(source, interface, address) if isinstance(interface, str) else None

    def nodes_and_links(self, source: str, target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The slowest way's nodes with both ends, and its links."""
        legs: list[Leg] = []
        direct = self.direct(source, target)
        if direct is not None:
            legs.append(direct)
        else:
            known, _ = self.target(target)
            at = source
            while isinstance(way := self.way(at, target), Way) and way.leg is not None:
                legs.append(way.leg)
                at = way.following
            if known.last and (end := self.last(target)):
                legs.append(end)
        nodes = (source, *(name for leg in legs for name in leg.nodes))
        return nodes, tuple(name for leg in legs for name in leg.links)

    # Following

    def _follow(self, source: str, known: Class) -> None:
        """Fill in ``known.ways`` for a node and all that its packets come by, without recursion."""
        pending = [source]
        open_: dict[str, list[tuple[Leg, str]]] = {}
        goal = known.last or known.members[0][0]
        while pending:
            name = pending[-1]
            if name in known.ways:
                pending.pop()
                continue
            if name == goal:
                known.ways[name] = _HERE
                continue
            found = open_.get(name) or self._steps(name, known, known.address)
            if isinstance(found, Unknown):
                known.ways[name] = found
                continue
            missing = [other for _, other in found if other not in known.ways]
            if not missing:
                known.ways[name] = _slowest(found, known.ways)
            elif name in open_:
                # seen before: what is still missing leads back here
                known.ways[name] = Unknown(name, f"the routes of {name} lead in a circle")
            else:
                open_[name] = found
                pending += [other for other in missing if other not in open_]

    def _steps(
        self, name: str, known: Class, target: tuple[int, int]
    ) -> list[tuple[Leg, str]] | Unknown:
        """The next legs of a node and whom they lead to."""
        hops = self._lookup(name, target)
        if isinstance(hops, str):
            leg = self._across(name, hops, target)
            owner = self._owners[target][0]
            return [(leg, owner)] if leg else Unknown(name, f"{owner} is not on {name}'s wire")
        if not hops and self.assume:
            hops = self._assumed(name, known)
        if not hops:
            node = self._nodes[name]
            return Unknown(
                name,
                f"{name} ({node.kind}) finds its routes by itself: the plan does not say them"
                if node.role == "device"
                else f"{name} has no route",
            )
        # the same few sets of next hops lead to all destinations of a fabric; as text, because
        # hashing them costs as much as following them
        key = (name, " ".join([f"{hop.gateway} {hop.interface}" for hop in hops]))
        same = self._hops.get(key)
        if same is not None:
            return same
        steps: list[tuple[Leg, str]] = []
        for hop in hops:
            address = self._address(hop.gateway) if hop.gateway else target
            leg = self._across(name, hop.interface, address)
            if leg is None:
                return Unknown(name, f"nobody on {name}:{hop.interface} has {hop.gateway}")
            steps.append((leg, self._owners[address][0]))
        if all(hop.gateway for hop in hops):
            self._hops[key] = steps
        return steps

    def _assumed(self, name: str, known: Class) -> tuple[Hop, ...]:
        """Next hops over the fewest routers, for a node whose routes the plan does not make."""
        if known.distance is None:
            goal = known.last or known.members[0][0]
            known.distance = {goal: 0}
            waiting = deque([goal])
            while waiting:
                at = waiting.popleft()
                for other, _ in self._adjacent().get(at, ()):
                    if other not in known.distance:
                        known.distance[other] = known.distance[at] + 1
                        if _routes_packets(self._nodes[other]):
                            waiting.append(other)
        near = known.distance.get(name)
        if near is None:
            return ()
        return tuple(
            hop
            for other, hop in self._adjacent().get(name, ())
            if known.distance.get(other, near) == near - 1
            if near == 1 or _routes_packets(self._nodes[other])
        )

    def _adjacent(self) -> dict[str, list[tuple[str, Hop]]]:
        """For each node who is in one of its subnets, and the hop that leads there."""
        if self._near is None:
            inside: dict[_Parsed, list[tuple[str, str, str]]] = {}
            for node in self._nodes.values():
                for interface in node.interfaces:
                    for text in interface.addresses:
                        place = (node.name, interface.name, text.partition("/")[0])
                        inside.setdefault(self._parse(text), []).append(place)
            self._near = {}
            for places in inside.values():
                for name, interface_name, _ in places:
                    self._near.setdefault(name, []).extend(
                        (other, Hop(address, interface_name))
                        for other, _, address in places
                        if other != name
                    )
        return self._near

    def _across(self, name: str, interface: str, address: tuple[int, int]) -> Leg | None:
        owner = self._owners.get(address)
        return self._wiring.leg(name, interface, *owner) if owner else None


class Class:
    """Destinations that are reached alike until their ``last`` router."""

    def __init__(self, address: tuple[int, int], last: str) -> None:
        self.address = address
        self.last = last
        self.members: list[tuple[str, tuple[int, int]]] = []
        self.ways: dict[str, Way | Unknown] = {}
        self.distance: dict[str, int] | None = None


def _parsed(text: str) -> _Parsed:
    """An address or network; of the thousands in a fabric all are IPv4, and ``ipaddress`` slow."""
    if ":" in text:
        network = ipaddress.ip_interface(text).network
        return network.version, network.prefixlen, int(network.network_address)
    plain, _, length = text.partition("/")
    number = int.from_bytes(socket.inet_aton(plain), "big")
    bits = int(length) if length else 32
    return 4, bits, number >> 32 - bits << 32 - bits


def _masked(address: tuple[int, int], length: int) -> int:
    shift = (32 if address[0] == 4 else 128) - length
    return address[1] >> shift << shift


def _slowest(steps: Sequence[tuple[Leg, str]], ways: dict[str, Way | Unknown]) -> Way | Unknown:
    """The slowest of equal-cost ways, with the narrowest rate of any."""
    rate, count, quick, slow, links = FREE, 0, FREE, -1, 0
    chosen, following = steps[0]
    for leg, name in steps:
        rest = ways[name]
        if isinstance(rest, Unknown):
            return rest
        count += rest.ways
        if rest.rate < rate:
            rate = rest.rate
        if leg.rate < rate:
            rate = leg.rate
        if leg.delay + rest.quick < quick:
            quick = leg.delay + rest.quick
        if leg.delay + rest.delay > slow:
            slow = leg.delay + rest.delay
            links = len(leg.links) + rest.links
            chosen, following = leg, name
    return Way(slow, quick, rate, links, count, chosen, following)


def _routes_packets(node: NodePlan) -> bool:
    return node.role == "device" and node.sysctls.get("net.ipv4.ip_forward") == "1"


def _lengths(prefixes: Iterable[_Parsed]) -> dict[int, list[int]]:
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for version, length, _ in prefixes:
        found[version].add(length)
    return {version: sorted(each, reverse=True) for version, each in found.items()}
