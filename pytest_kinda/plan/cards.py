"""Network cards with a program: a node's link becomes two, with a device of the card between.

The device has a network namespace of its own, so that the node's kernel cannot answer around the
program. The outer link keeps the name, settings and place of the declared one.
"""

from __future__ import annotations

from pytest_kinda.topology import Link, Node, Topology
from pytest_kinda.topology.node import card_of


def with_cards(topology: Topology) -> Topology:
    """The topology with a device for each link of a node that has a card.

    Raises TopologyError where the device's name is taken.
    """
    cards = {one.name: card for one in topology.nodes if (card := card_of(one)) is not None}
    if not cards:
        return topology
    nodes: list[Node] = list(topology.nodes)
    links: list[Link] = []
    for link in topology.links:
        outer, inner = link, []
        for end in ("a", "b"):
            name = getattr(link, end)
            if name not in cards:
                continue
            several = len(topology.links_of(name)) > 1
            device = f"{name}-nic-{link.name}" if several else f"{name}-nic"
            nodes.append(cards[name].device(device, network=link.name, node=name))
            outer, near = _split(outer, end, device)
            inner.append(near)
        links += [outer, *inner]
    return Topology(topology.name, nodes, links)


def _split(link: Link, end: str, device: str) -> tuple[Link, Link]:
    """The link up to the card, and the one from there to the node at that end."""
    at = "ab".index(end)
    outside: dict[str, object] = {end: device, "name": link.name}
    within: dict[str, object] = {}
    for family in ("ipv4", "ipv6"):
        given = getattr(link, family)
        if isinstance(given, tuple):
            ends = list(given)
            within[family] = (given[at], None) if given[at] else None
            ends[at] = None
            outside[family] = tuple(ends) if any(ends) else None
    outside["interfaces"] = [
        None if n == at else one or None for n, one in enumerate(link.interfaces)
    ]
    within["interfaces"] = [link.interfaces[at] or None, None]
    name = getattr(link, end)
    return link.with_(**outside), Link(name, device, mtu=link.mtu, **within)  # type: ignore[arg-type]
