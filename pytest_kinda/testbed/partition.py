"""Which links to cut so that no path is left between two groups of nodes."""

from __future__ import annotations

from collections.abc import Iterable

import networkx

from pytest_kinda.errors import KindaError
from pytest_kinda.plan.values import LinkPlan

_LEFT, _RIGHT = "<left", "right>"


def cut_between(links: Iterable[LinkPlan], left: Iterable[str], right: Iterable[str]) -> list[str]:
    """The names of the fewest links whose loss separates two groups of nodes.

    Raises KindaError where a node is in both groups, or one group is empty.
    """
    groups = frozenset(left), frozenset(right)
    if both := groups[0] & groups[1]:
        raise KindaError(f"a partition needs groups without a common node; {min(both)} is in both")
    if not groups[0] or not groups[1]:
        raise KindaError("a partition needs two groups of nodes; one is empty")
    graph = networkx.Graph()
    links = tuple(links)
    for link in links:
        ends = link.a.node, link.b.node
        many = graph.get_edge_data(*ends, {"capacity": 0})["capacity"]
        graph.add_edge(*ends, capacity=many + 1)
    for mark, group in ((_LEFT, groups[0]), (_RIGHT, groups[1])):
        for node in group:
            graph.add_edge(mark, node)  # without a capacity: never worth cutting
    _, (near, _) = networkx.minimum_cut(graph, _LEFT, _RIGHT)
    return [link.name for link in links if (link.a.node in near) != (link.b.node in near)]
