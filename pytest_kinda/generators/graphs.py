"""Topologies from graphs: random ones, and those of networkx."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from pytest_kinda.devices import Router
from pytest_kinda.generators.leaves import Builder, Leaf, Leaves, Levels, MakeNode, at_least
from pytest_kinda.topology import Link, Node, Topology, forwarding


def random_graph(
    seed: int,
    *,
    routers: int = 8,
    extra_links: int = 4,
    nodes: int = 4,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "",
) -> Topology:
    """A connected random network: a random tree of routers, more links, nodes at random routers.

    Equal arguments give an equal topology. ``extra_links`` join pairs that are not linked yet.
    Levels of ``links``: ``core``, ``leaf``, ``all``.
    """
    at_least("routers", routers, 1)
    at_least("nodes", nodes, 0)
    free = routers * (routers - 1) // 2 - (routers - 1)
    if not 0 <= extra_links <= free:
        raise ValueError(f"extra_links: found {extra_links}; expected 0 to {free}")
    # not for secrets: the same seed must give the same network everywhere
    chance = random.Random(seed)
    builder = Builder(name or f"random-{seed}", links)
    each = Leaves(leaves)
    builder.add(*(router(f"r{index}") for index in range(1, routers + 1)))
    pairs = {(chance.randint(1, index - 1), index) for index in range(2, routers + 1)}
    others = [(a, b) for b in range(2, routers + 1) for a in range(1, b) if (a, b) not in pairs]
    pairs.update(chance.sample(others, extra_links))
    for a, b in sorted(pairs):
        builder.link(f"r{a}", f"r{b}", level="core")
    for _ in range(nodes):
        node = each.make()
        builder.add(node)
        builder.link(node, f"r{chance.randint(1, routers)}", level="leaf")
    return builder.build()


def from_networkx(
    graph: Any,
    *,
    name: str = "",
    leaves: Leaf | None = None,
    links: Levels | None = None,
    node: Callable[[str, dict[str, Any]], Node] | None = None,
    link: Callable[[str, str, dict[str, Any]], Link] | None = None,
) -> Topology:
    """A topology of a networkx graph; the inverse of ``Topology.to_networkx``.

    A node that carries ``node`` becomes that node; else ``node(name, attributes)`` makes it, by
    default a router. An edge that carries ``link`` becomes that link; else ``link(a, b,
    attributes)`` makes it, by default with those attributes that are settings of a link.

    With ``leaves`` each node that forwards gets one. Levels of ``links``: ``core`` (links that are
    made by default, under their edges' attributes), ``leaf``, ``all``.
    """
    builder = Builder(name or str(graph.graph.get("name") or "graph"), links)
    make_node = node or (lambda label, attributes: Router(label))
    for label, data in graph.nodes(data=True):
        given = data.get("node")
        builder.add(given if isinstance(given, Node) else make_node(str(label), dict(data)))
    seen: dict[str, int] = {}
    for a, b, data in graph.edges(data=True):
        if isinstance(data.get("link"), Link):
            builder.links.append(data["link"])
            continue
        if link is not None:
            builder.links.append(link(str(a), str(b), dict(data)))
        else:
            settings = {key: value for key, value in data.items() if key in _SETTINGS}
            builder.link(str(a), str(b), level="core", **settings)
        made = builder.links[-1]
        count = seen[made.name] = seen.get(made.name, 0) + 1
        if count > 1:
            # parallel edges of a multigraph become links with names of their own
            builder.links[-1] = made.with_(name=f"{made.name}-{count}")
    if leaves is not None:
        each = Leaves(leaves)
        for inner in [one for one in builder.nodes if forwarding(one) != "end"]:
            leaf = each.make()
            builder.add(leaf)
            builder.link(leaf, inner, level="leaf")
    return builder.build()


_SETTINGS = frozenset(Link.__init__.__kwdefaults__ or {})
