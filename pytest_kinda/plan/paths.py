"""The ways that a plan's routes lead, read from the plan alone: what a trace must show."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from pytest_kinda.operations import Hop
from pytest_kinda.plan.values import NodePlan, Plan

Path = tuple[str, ...]
_MOST = 64  # a way longer than that goes in a circle


class Ways:
    """Which nodes a packet crosses between two nodes of a plan. Example::

    Ways(plan).between("w1", "w2") == {("w1", "r1", "r2", "w2")}
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = {one.name: one for one in plan.nodes}
        self._owners: dict[str, str] = {}
        for one in plan.nodes:
            for address in _addresses(one):
                self._owners.setdefault(address, one.name)

    def between(self, source: str, target: str, address: str = "") -> frozenset[Path]:
        """All ways to a node's endpoint, or that address of it; several where costs are equal.

        Empty where the plan does not say: a node on the way finds its routes by itself.
        """
        address = address or next(iter(_addresses(self._nodes[target])), "")
        if not address:
            return frozenset()
        found = frozenset(self._follow((source,), address))
        return frozenset() if () in found else found

    def _follow(self, way: Path, address: str) -> Iterator[Path]:
        here = self._nodes[way[-1]]
        if address in _addresses(here):
            yield way
            return
        following = {self._owners.get(hop.gateway or address) for hop in _hops(here, address)}
        if not following or None in following or len(way) > _MOST:
            yield ()
            return
        for name in sorted(one for one in following if one):
            if name in way:
                yield ()
            else:
                yield from self._follow((*way, name), address)


def _addresses(node: NodePlan) -> Mapping[str, None]:
    """Addresses without prefix lengths, the endpoint first.

    None of a sealed device: what its program does with a packet is not in the plan.
    """
    if node.is_sealed:
        return {}
    found = [node.endpoint] if node.endpoint else []
    found += [one.partition("/")[0] for one in node.loopback]
    for interface in node.interfaces:
        found += [one.partition("/")[0] for one in interface.addresses]
    return dict.fromkeys(found)


def _hops(node: NodePlan, address: str) -> tuple[Hop, ...]:
    """The next hops by the longest prefix that holds the address; none if nothing does."""
    wanted = ipaddress.ip_address(address)
    best = -1
    hops: tuple[Hop, ...] = ()
    for interface in node.interfaces:
        for one in interface.addresses:
            network = ipaddress.ip_interface(one).network
            if wanted in network and network.prefixlen > best:
                best, hops = network.prefixlen, (Hop("", interface.name),)
    for route in node.routes:
        network = ipaddress.ip_network(route.destination)
        if wanted in network and network.prefixlen > best:
            best, hops = network.prefixlen, route.hops
    return hops
