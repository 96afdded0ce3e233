"""Topologies made from topologies: variants, sums and graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_kinda.errors import Problem, TopologyError
from pytest_kinda.topology.link import Link
from pytest_kinda.topology.node import Node
from pytest_kinda.topology.topology import Topology


def vary(
    base: Topology,
    *,
    name: str | None = None,
    nodes: Iterable[Node] = (),
    links: Iterable[Link] = (),
    without: Iterable[str] = (),
) -> Topology:
    """A variant of a topology; see ``Topology.with_``. Raises TopologyError."""
    gone = set(without)
    known = {one.name for one in base.nodes} | {one.name for one in base.links}
    problems = [
        Problem(f"topology {base.name!r}", "without", repr(one), "a node or link of it")
        for one in sorted(gone - known)
    ]
    if problems:
        raise TopologyError(f"variant of {base.name!r}", problems)
    all_nodes = {one.name: one for one in base.nodes if one.name not in gone}
    all_nodes |= {one.name: one for one in nodes}
    all_links = {
        one.name: one
        for one in base.links
        if one.name not in gone and not gone.intersection(one.ends)
    }
    all_links |= {one.name: one for one in links}
    return Topology(name or base.name, all_nodes.values(), all_links.values())


def join(*parts: Topology, links: Iterable[Link] = (), name: str | None = None) -> Topology:
    """Several topologies as one, with links between them. ``a + b`` is ``join(a, b)``.

    Their nodes' names must differ. Raises TopologyError.
    """
    return Topology(
        name or "-".join(one.name for one in parts),
        [node for one in parts for node in one.nodes],
        [link for one in parts for link in one.links] + list(links),
    )


def to_networkx(topology: Topology) -> Any:
    """A ``networkx.MultiGraph`` of the topology; ``generators.from_networkx`` is the way back."""
    import networkx

    graph = networkx.MultiGraph(name=topology.name)
    for node in topology.nodes:
        graph.add_node(node.name, node=node, kind=node.kind)
    for link in topology.links:
        graph.add_edge(link.a, link.b, key=link.name, link=link)
    return graph
