"""Routing protocols: who talks to whom, what each router announces and what it must learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pytest_kinda.errors import Problem
from pytest_kinda.operations import Hop
from pytest_kinda.plan.addressing import Addresses
from pytest_kinda.plan.context import RoutingContext, RoutingPeer
from pytest_kinda.plan.layout import Domain, Layout, Port, Union
from pytest_kinda.plan.routing import DEFAULT
from pytest_kinda.plan.values import RoutePlan
from pytest_kinda.topology import has_static_routes, routing_protocol

_TWO_BYTES = range(64512, 65535)
_FOUR_BYTES = 4_200_000_000


def routing_contexts(layout: Layout, addresses: Addresses) -> dict[str, RoutingContext]:
    """What each router that runs a routing protocol must know, by its name."""
    protocols = _protocols(layout)
    if not protocols:
        return {}
    numbers = _numbers(layout, protocols)
    islands = _islands(layout, protocols)
    peers: dict[str, list[RoutingPeer]] = {name: [] for name in protocols}
    attached: dict[str, dict[str, list[Hop]]] = {name: {} for name in protocols}
    wanted: dict[str, dict[str, None]] = {}
    for domain in layout.domains:
        for port in domain.ports:
            if port.node not in protocols:
                continue
            wanted.setdefault(islands.find(port.node), {}).update(dict.fromkeys(domain.subnets))
            for other in domain.ports:
                if other.node == port.node:
                    continue
                if layout.roles[other.node] == "router":
                    asn = numbers.get(other.node, 0)
                    generated = other.node in protocols
                    peers[port.node].append(
                        RoutingPeer(other.node, port.name, _plain(other), asn, generated)
                    )
                for prefix in addresses.behind(other.node):
                    hops = attached[port.node].setdefault(prefix, [])
                    six = ":" in prefix
                    hops += [Hop(one, port.name) for one in _plain(other) if (":" in one) == six]
    gateway = next((one.routers[0] for one in addresses.groups if one.outside), "")
    if gateway in protocols:
        wanted.setdefault(islands.find(gateway), {})[DEFAULT[4]] = None
    for name, prefixes in attached.items():
        wanted.setdefault(islands.find(name), {}).update(dict.fromkeys(prefixes))
    sharing = Counter((islands.find(name), numbers[name]) for name in protocols)
    # one tuple for all of an island: large fabrics have a million pairs of router and prefix
    shared = {name: tuple(each) for name, each in wanted.items()}
    return {
        name: RoutingContext(
            protocol=protocol,
            asn=numbers[name],
            peers=tuple(peers[name]),
            attached=tuple(RoutePlan(one, tuple(hops)) for one, hops in attached[name].items()),
            wanted=shared[islands.find(name)],
            leads_outside=name == gateway,
            shares_asn=sharing[islands.find(name), numbers[name]] > 1,
        )
        for name, protocol in protocols.items()
    }


def routing_problems(layout: Layout) -> list[Problem]:
    """Neighbours that cannot understand each other."""
    protocols = _protocols(layout)
    found: list[Problem] = []
    for domain, one, other in _neighbours(layout) if protocols else ():
        ways = [
            protocols.get(name) or ("static" if has_static_routes(layout.nodes[name]) else None)
            for name in (one, other)
        ]
        where = f"link {domain.links[0].name}"
        if ways[0] != ways[1] and None not in ways:
            found.append(
                Problem(
                    where,
                    "routing",
                    f"{one} with {ways[0]!r}, {other} with {ways[1]!r}",
                    "one kind of routing on neighbouring routers; where two meet, a router with "
                    "routing=None and a configuration of your own",
                )
            )
        elif ways == ["bgp", "bgp"]:
            number = getattr(layout.nodes[one], "asn", None)
            if number is not None and number == getattr(layout.nodes[other], "asn", None):
                found.append(
                    Problem(
                        where,
                        "asn",
                        f"{number} at both {one} and {other}",
                        "different numbers: sessions between autonomous systems (eBGP) only",
                    )
                )
    return found


def _protocols(layout: Layout) -> dict[str, str]:
    found = {name: routing_protocol(node) for name, node in layout.nodes.items()}
    return {name: protocol for name, protocol in found.items() if protocol}


def _numbers(layout: Layout, protocols: dict[str, str]) -> dict[str, int]:
    """The autonomous system of every router that has one: given, or a private one of its own."""
    found: dict[str, int] = {}
    for name, node in layout.nodes.items():
        number = getattr(node, "asn", None)
        if number is not None:
            found[name] = number
    taken = set(found.values())
    span = _TWO_BYTES if len(protocols) + len(taken) <= len(_TWO_BYTES) else None
    following = span.start if span else _FOUR_BYTES
    for name in protocols:
        if name in found:
            continue
        while following in taken:
            following += 1
        found[name] = following
        following += 1
    return found


def _islands(layout: Layout, protocols: dict[str, str]) -> Union:
    """Routers that hear of each other's networks: neighbours with the same protocol."""
    islands = Union()
    for _, one, other in _neighbours(layout):
        if one in protocols and protocols.get(other) == protocols[one]:
            islands.join((one, other))
    return islands


def _neighbours(layout: Layout) -> Iterator[tuple[Domain, str, str]]:
    """Every two routers in one broadcast domain."""
    for domain in layout.domains:
        routers = list(
            dict.fromkeys(one.node for one in domain.ports if layout.roles[one.node] == "router")
        )
        for index, one in enumerate(routers):
            for other in routers[index + 1 :]:
                yield domain, one, other


def _plain(port: Port) -> tuple[str, ...]:
    return tuple(one.partition("/")[0] for one in port.addresses)
