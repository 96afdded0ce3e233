"""Static routes: shortest paths from every node to every destination, equal-cost ones included."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_kinda.errors import Problem
from pytest_kinda.operations import Hop
from pytest_kinda.plan.addressing import Addresses, Group
from pytest_kinda.plan.layout import Layout, Union
from pytest_kinda.plan.values import RoutePlan
from pytest_kinda.topology import KubernetesNode, has_static_routes

DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass
class _Graph:
    """Who reaches whom over one wire, for one IP version.

    ``hops[u][v]`` are the ways from ``u`` to its neighbour ``v``; only routers, and ends that
    something is behind (their loopback, routed pods), are neighbours: nobody routes through or to
    any other.
    """

    version: int
    hops: dict[str, dict[str, list[Hop]]] = field(default_factory=dict)
    routers: dict[str, list[str]] = field(default_factory=dict)


def routes(
    layout: Layout, addresses: Addresses, wide: list[str]
) -> dict[str, tuple[RoutePlan, ...]]:
    """The routes of every node whose routes the plan computes, by node.

    ``wide`` are the networks that planned destinations are in (the pool, the pods' networks).
    """
    found: dict[str, list[RoutePlan]] = {name: [] for name in layout.nodes}
    # with several interfaces the kernel would send from the one that a packet leaves by
    sources = {
        name: endpoint
        for name, endpoint in addresses.endpoints.items()
        if len(layout.ports[name]) > 1
    }
    versions = [4] + ([6] if any(one.prefixes[6] for one in addresses.groups) else [])
    for version in versions:
        graph = _graph(layout, addresses, version)
        connected = _connected(layout)
        simple = _simple_ends(layout, sources, graph)
        others = [
            name
            for name, one in layout.nodes.items()
            if layout.roles[name] in ("end", "router") and name not in simple
            if has_static_routes(one) and name in graph.hops
        ]
        given = _given_prefixes(addresses, version, wide)
        for name in simple:
            found[name] += _end_routes(layout, graph, name, given, connected[name], version)
        # a device that has one router sends everything there in any case
        cluster = [name for name in simple if isinstance(layout.nodes[name], KubernetesNode)]
        for group in addresses.groups:
            senders = [*others, *cluster] if group.outside else others
            _group_routes(group, graph, senders, connected, sources, found)
    return {name: tuple(each) for name, each in found.items()}


def _graph(layout: Layout, addresses: Addresses, version: int) -> _Graph:
    graph = _Graph(version)
    wanted = {
        name for name, role in layout.roles.items() if role == "router" or addresses.behind(name)
    }
    for domain in layout.domains:
        members = [
            (port, _address(port.addresses, version))
            for port in domain.ports
            if _address(port.addresses, version)
        ]
        targets = [(port, address) for port, address in members if port.node in wanted]
        for port, _ in members:
            ways = graph.hops.setdefault(port.node, {})
            for other, address in targets:
                if other.node != port.node:
                    if other.own is not None:
                        address = _near(port.addresses, other.addresses, version) or address
                    ways.setdefault(other.node, []).append(Hop(address, port.name))
    for name, ways in graph.hops.items():
        graph.routers[name] = [one for one in ways if layout.roles[one] == "router"]
    return graph


def _address(addresses: Iterable[str], version: int) -> str:
    for one in addresses:
        if (":" in one) == (version == 6):
            return one.partition("/")[0]
    return ""


def _near(mine: list[str], theirs: list[str], version: int) -> str:
    """Their address that is in a subnet of mine: a device of a lab may have several."""
    subnets = {ipaddress.ip_interface(one).network for one in mine}
    near = [one for one in theirs if ipaddress.ip_interface(one).network in subnets]
    return _address(near, version)


def _connected(layout: Layout) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in layout.nodes}
    for domain in layout.domains:
        for port in domain.ports:
            found[port.node].update(domain.subnets)
    return found


def _simple_ends(layout: Layout, sources: dict[str, str], graph: _Graph) -> list[str]:
    """Ends with one neighbour to send everything to: they need no route per destination."""
    return [
        name
        for name, ways in graph.hops.items()
        if layout.roles[name] == "end" and len(ways) == 1 and len(graph.routers[name]) == 1
        if name not in sources and has_static_routes(layout.nodes[name])
    ]


def _given_prefixes(addresses: Addresses, version: int, wide: list[str]) -> list[str]:
    given = [str(one) for one in addresses.given if one.version == version]
    return [one for one in wide if (":" in one) == (version == 6)] + given


def _end_routes(
    layout: Layout,
    graph: _Graph,
    name: str,
    given: list[str],
    connected: set[str],
    version: int,
) -> list[RoutePlan]:
    (ways,) = graph.hops[name].values()
    if isinstance(layout.nodes[name], KubernetesNode):
        # its default route stays Docker's: images are pulled that way
        destinations = [one for one in given if one not in connected]
    else:
        destinations = [DEFAULT[version]]
    return [RoutePlan(one, tuple(ways)) for one in destinations]


def _nearer(group: Group, graph: _Graph) -> tuple[dict[str, int], dict[str, list[str]]]:
    """How many hops each router is from the destination, and which neighbours are one nearer."""
    starts = (group.node,) if group.node else group.routers
    frontier = [one for one in starts if one in graph.hops]
    distance = dict.fromkeys(frontier, 0)
    nearer: dict[str, list[str]] = {}
    far = 0
    neighbours = graph.routers
    while frontier:
        far += 1
        following: list[str] = []
        for one in frontier:
            for other in neighbours.get(one, ()):
                known = distance.get(other)
                if known is None:
                    distance[other] = far
                    nearer[other] = [one]
                    following.append(other)
                elif known == far:
                    nearer[other].append(one)
        frontier = following
    return distance, nearer


def _group_routes(
    group: Group,
    graph: _Graph,
    others: list[str],
    connected: dict[str, set[str]],
    sources: dict[str, str],
    found: dict[str, list[RoutePlan]],
) -> None:
    prefixes = group.prefixes[graph.version]
    if not prefixes:
        return
    distance, nearer = _nearer(group, graph)
    for name in others:
        ways = graph.hops[name]
        if name in distance:
            through = nearer.get(name)
        else:
            reached = [one for one in ways if one in distance]
            nearest = min((distance[one] for one in reached), default=0)
            through = [one for one in reached if distance[one] == nearest]
        if not through:
            continue
        mine = connected[name]
        source = sources.get(name, "") if graph.version == 4 else ""
        if len(through) == 1:
            chosen = tuple(ways[through[0]])
        else:
            chosen = tuple(hop for one in through for hop in ways[one])
        found[name] += [RoutePlan(one, chosen, source) for one in prefixes if one not in mine]


def path_problems(layout: Layout, version: int = 0) -> list[Problem]:
    """Pairs of Kubernetes nodes that no path joins; a node that is not a router ends a path.

    With ``version`` only interfaces with an address of it count.
    """
    islands = Union()
    touched: dict[str, set[str]] = {}
    for index, domain in enumerate(layout.domains):
        own = f"domain {index}"
        for port in domain.ports:
            if version and not _address(port.addresses, version):
                continue
            if layout.roles[port.node] == "router":
                islands.join((own, port.node))
            else:
                touched.setdefault(port.node, set()).add(own)
    reach = {
        name: frozenset(islands.find(one) for one in touched[name])
        for name, node in layout.nodes.items()
        if isinstance(node, KubernetesNode) and name in touched
    }
    kinds: dict[frozenset[str], str] = {}
    for name, each in reach.items():
        kinds.setdefault(each, name)
    problems: list[Problem] = []
    entries = list(kinds.items())
    for index, (one, name) in enumerate(entries):
        for other, second in entries[index + 1 :]:
            if not one & other:
                found = f"no path to {second}" + (" by IPv6" if version == 6 else "")
                expected = "a path over routers and switches: other nodes do not forward"
                problems.append(Problem(f"node {name}", "links", found, expected))
    return problems
