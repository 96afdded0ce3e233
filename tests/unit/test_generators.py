from __future__ import annotations

import pytest

from pytest_kinda import Host, Link, Router, Worker
from pytest_kinda.generators import (
    Builder,
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
from pytest_kinda.plan import plan
from pytest_kinda.topology import Topology

SIZES = [
    (line(1), 2, 1),
    (line(4), 8, 7),
    (ring(3), 6, 6),
    (ring(5), 10, 10),
    (star(1), 2, 1),
    (star(6), 7, 6),
    (grid(2, 2), 8, 8),
    (grid(3, 4), 24, 29),
    (tree(1, 3), 4, 3),
    (tree(3, 2), 15, 14),
    (leaf_spine(1, 2), 5, 4),
    (leaf_spine(2, 4, workers_per_leaf=3), 18, 20),
    (fat_tree(2), 7, 6),
    (fat_tree(4, leaves="hosts"), 36, 48),
    (random_graph(1), 12, 15),
    (random_graph(2, routers=3, extra_links=1, nodes=2), 5, 5),
]


@pytest.mark.parametrize(("topology", "nodes", "links"), SIZES, ids=str)
def test_sizes(topology: Topology, nodes: int, links: int) -> None:
    assert (len(topology.nodes), len(topology.links)) == (nodes, links)
    assert len(plan(topology).segments) == links


def test_fat_tree_by_formula() -> None:
    for k in (2, 4, 6, 8):
        found = fat_tree(k, leaves="hosts")
        switches = [one for one in found.nodes if isinstance(one, Router)]
        assert len(switches) == 5 * k * k // 4
        assert len(found.nodes) - len(switches) == k**3 // 4
        assert len(found.links) == 3 * k**3 // 4
        assert all(len(found.links_of(one.name)) == k for one in switches)


def test_leaves_and_levels() -> None:
    found = tree(2, 2, leaves=["control-plane", "worker", "host"], links={"level1": {"mtu": 9000}})
    assert [one.name for one in found.nodes if not isinstance(one, Router)] == [
        "c1",
        "w1",
        "h1",
        "h2",
    ]
    assert [one.mtu for one in found.links] == [9000, 9000, 1500, 1500, 1500, 1500]
    made = star(2, leaves=lambda name: Host(name, image="x"), links={"all": {"rate": "1mbit"}})
    assert [one.name for one in made.nodes] == ["r1", "n1", "n2"]
    assert {one.rate for one in made.links} == {10**6}


def test_equal_seeds_give_equal_topologies() -> None:
    assert random_graph(7) == random_graph(7)
    assert random_graph(7).links != random_graph(8).links


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fat_tree(3), "even"),
        (lambda: ring(2), "at least 3"),
        (lambda: star(2, leaves="printer"), "printer"),
        (lambda: star(2, links={"core": {}}), "core"),
        (lambda: random_graph(1, routers=3, extra_links=5), "0 to 1"),
    ],
)
def test_what_makes_no_topology_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


def test_builder() -> None:
    builder = Builder("mine", links={"slow": {"rate": "1mbit"}})
    builder.add(Host("h1"), Router("r1"))
    builder.link("h1", "r1", level="slow", delay="1ms")
    assert builder.build().links == (Link("h1", "r1", rate="1mbit", delay="1ms"),)


def test_graphs_of_others() -> None:
    import networkx

    graph = networkx.MultiGraph()
    graph.add_edge("a", "b", rate="5mbit", weight=3)
    graph.add_edge("a", "b")
    found = from_networkx(graph, name="g", node=lambda name, _: Host(name))
    assert [one.name for one in found.links] == ["a--b", "a--b-2"]
    assert found.links[0].rate == 5_000_000
    assert not any(isinstance(one, Worker) for one in found.nodes)


def test_graphs_of_others_with_a_leaf_at_each_router() -> None:
    import networkx

    graph = networkx.cycle_graph(4)
    graph.edges[0, 1]["rate"] = "5mbit"
    levels = {"core": {"rate": "1gbit"}, "leaf": {"mtu": 9000}}
    found = from_networkx(
        networkx.relabel_nodes(graph, lambda number: f"r{number}"), leaves="workers", links=levels
    )
    assert [one.name for one in found.nodes][4:] == ["c1", "w1", "w2", "w3"]
    assert len(found.links) == 8
    assert found.link("r0", "r1").rate == 5_000_000
    assert found.link("r1", "r2").rate == 10**9
    assert found.link("w3", "r3").mtu == 9000
    with pytest.raises(ValueError, match="leaf"):
        from_networkx(graph, node=lambda name, _: Router(f"r{name}"), links={"leaf": {}})
