"""Every generator at two sizes, standing: its nodes, its links, and who reaches whom.

The smaller is carried by Kathara, the larger by the direct engine.
"""

from __future__ import annotations

import networkx
import pytest

from pytest_kinda import Host, Router, Topology
from pytest_kinda.generators import (
    fat_tree,
    from_networkx,
    grid,
    leaf_spine,
    line,
    random_graph,
    ring,
    star,
    tree,
)
from tests.support.topologies import on_direct


def graph(routers: int, chords: int) -> Topology:
    """A circle with chords, from networkx, with a host at every router."""
    found = networkx.Graph(networkx.circulant_graph(routers, range(1, chords + 1)))
    found = networkx.relabel_nodes(found, lambda number: f"r{number}")
    for number in range(routers):
        found.add_edge(f"r{number}", f"h{number}")
    return from_networkx(
        found,
        name=f"networkx-{routers}",
        node=lambda name, _: Host(name) if name.startswith("h") else Router(name),
    )


SMALLER = [
    line(2, leaves="hosts", name="line-2"),
    ring(3, leaves="hosts", name="ring-3"),
    star(3, leaves="hosts", name="star-3"),
    grid(2, 2, leaves="hosts", name="grid-2x2"),
    tree(2, 2, leaves="hosts", name="tree-2-2"),
    leaf_spine(2, 2, at_leaves="hosts", name="leaf-spine-2-2"),
    fat_tree(2, leaves="hosts", name="fat-tree-2"),
    random_graph(1, routers=4, extra_links=2, nodes=3, leaves="hosts", name="random-4"),
    graph(4, 1),
]
LARGER = [
    line(6, leaves="hosts", name="line-6"),
    ring(7, leaves="hosts", name="ring-7"),
    star(20, leaves="hosts", name="star-20"),
    grid(3, 4, leaves="hosts", name="grid-3x4"),
    tree(3, 2, leaves="hosts", name="tree-3-2"),
    leaf_spine(3, 4, 2, at_leaves="hosts", name="leaf-spine-3-4"),
    fat_tree(4, leaves="hosts", name="fat-tree-4"),
    random_graph(7, routers=10, extra_links=6, nodes=8, leaves="hosts", name="random-10"),
    graph(8, 2),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(*SMALLER, *(on_direct(one) for one in LARGER)),
]
DECLARED = {one.name: one for one in (*SMALLER, *map(on_direct, LARGER))}


def test_every_pair_is_reached_by_a_shortest_way(kinda):
    declared = DECLARED[kinda.plan.topology]
    assert {one.name for one in kinda.nodes} == {one.name for one in declared.nodes}
    table = kinda.reachability(wait=3.0, every_address=True)
    assert table, str(table)
    assert len(table.pairs) == len(declared.nodes) * (len(declared.nodes) - 1)
    # hosts that are far from each other: the first, and the one at the end of the longest way
    hosts = [one.name for one in declared.nodes if isinstance(one, Host)]
    distances = networkx.single_source_shortest_path_length(declared.to_networkx(), hosts[0])
    farthest = max(hosts, key=lambda name: distances[name])
    way = kinda.trace(hosts[0], farthest)
    assert way, str(way)
    # nodes and links alternate on it: one more node than links
    assert len(way.nodes) == distances[farthest] + 1, str(way)


def test_a_cut_link_is_the_one_between_its_ends(kinda):
    """The first and the last link: both its ends lose their carrier, and no other interface."""
    declared = DECLARED[kinda.plan.topology]
    for name in (declared.links[0].name, declared.links[-1].name):
        link = kinda.link(name)
        assert without_carrier(kinda, declared.link(name).ends) == set()
        with link.down():
            found = without_carrier(kinda, declared.link(name).ends)
        assert found == {str(one) for one in link.interfaces}
    assert kinda.reachability(wait=3.0)


def without_carrier(kinda, nodes) -> set[str]:
    return {
        f"{node}:{one['ifname']}"
        for node in nodes
        for one in kinda.node(node).exec("ip", "-j", "link").json()
        if "LOWER_UP" not in one["flags"]
    }
