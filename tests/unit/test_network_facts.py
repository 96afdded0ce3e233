"""The network as schedulers read it: ways of the plan's routes, costs, levels, trees."""

from __future__ import annotations

import json

import pytest

from pytest_kinda import ControlPlane, Host, Hub, Link, Router, Switch, Topology, Worker
from pytest_kinda.errors import FactsError, UnknownNameError
from pytest_kinda.generators import fat_tree, leaf_spine, line, ring, star, tree
from pytest_kinda.plan import plan
from pytest_kinda.plan.paths import Ways
from pytest_kinda.plan.values import HostFacts, Plan, PlanOptions
from pytest_kinda.scheduling import network_facts
from pytest_kinda.scheduling.costs import exact_step
from tests.support.declared import mixed, triangle


def planned(topology: Topology) -> Plan:
    return plan(topology, PlanOptions(engine="direct"), HostFacts(netem=True))


SPINES = Topology(
    name="spines",
    nodes=[
        ControlPlane("c1"),
        *(Worker(f"w{number}") for number in range(1, 6)),
        *(Router(f"leaf{number}") for number in range(1, 4)),
        Router("spine1"),
    ],
    links=[
        *(Link(one, "leaf1", delay="100us", rate="1gbit") for one in ("c1", "w1")),
        *(Link(one, "leaf2", delay="100us", rate="1gbit") for one in ("w2", "w3")),
        *(Link(one, "leaf3", delay="100us", rate="1gbit") for one in ("w4", "w5")),
        *(Link(f"leaf{number}", "spine1", delay="500us", rate="10gbit") for number in (1, 2)),
        Link("leaf3", "spine1", delay="20ms", rate="100mbit"),
    ],
)
"""Three leaves of which the third is far and behind a narrow link."""


@pytest.mark.parametrize(
    "topology",
    [
        triangle(),
        mixed(),
        ring(5),
        line(4),
        star(5),
        tree(2, 3),
        leaf_spine(2, 3, 2),
        leaf_spine(3, 2, 2, links={"fabric": {"delay": "3ms"}}),
        fat_tree(4),
        SPINES,
    ],
    ids=lambda one: one.name,
)
def test_ways_are_those_of_the_plans_routes(topology: Topology) -> None:
    made = planned(topology)
    facts = network_facts(made)
    switches = {
        one.name for one in made.nodes if not any(each.addresses for each in one.interfaces)
    }
    ways = Ways(made)
    assert len(facts.matrix) == len(facts.nodes) * (len(facts.nodes) - 1)
    for (source, target), pair in facts.matrix.items():
        expected = ways.between(source, target)
        assert tuple(one for one in pair.path if one not in switches) in expected
        assert pair.ways == len(expected)
        assert pair.hops == len(pair.links)


def test_delay_rate_and_cost_add_up_along_the_way() -> None:
    facts = network_facts(SPINES)
    far = facts["w1", "w4"]
    assert far.path == ("w1", "leaf1", "spine1", "leaf3", "w4")
    assert far.links == ("w1--leaf1", "leaf1--spine1", "leaf3--spine1", "w4--leaf3")
    assert (far.delay, far.rate, far.hops) == (20_700_000, 100_000_000, 4)
    assert facts["w2", "w3"].delay == 200_000
    # 0.1 ms is the largest power of ten that loses nothing
    assert str(facts.scale) == "cost = delay in 100us"
    assert [facts.cost("w1", one) for one in ("w1", "c1", "w2", "w4")] == [0, 2, 12, 207]
    assert facts.rate("w2", "w3") == 1_000_000_000


def test_each_direction_has_its_own_delay_and_rate() -> None:
    one_way = Topology(
        name="one-way",
        nodes=[ControlPlane("c1"), Worker("w1"), Router("r1")],
        links=[
            Link("c1", "r1"),
            Link("w1", "r1", a_to_b={"delay": "3ms", "rate": "10mbit"}, b_to_a={"delay": "1ms"}),
        ],
    )
    facts = network_facts(one_way)
    assert (facts.delay("w1", "c1"), facts.rate("w1", "c1")) == (3_000_000, 10_000_000)
    assert (facts.delay("c1", "w1"), facts.rate("c1", "w1")) == (1_000_000, None)
    assert any("there and back" in one for one in facts.warnings)


def test_switches_and_hubs_are_crossed() -> None:
    layers = Topology(
        name="layers",
        nodes=[
            *(ControlPlane("c1"), Worker("w1"), Worker("w2"), Worker("w3")),
            *(Router("r1"), Switch("s1"), Switch("s2"), Hub("lan")),
        ],
        links=[
            Link("c1", "s1", delay="1ms"),
            Link("w1", "s2", delay="2ms"),
            Link("s1", "s2", delay="4ms"),
            Link("s1", "r1", delay="8ms"),
            Link("w2", "lan", delay="16ms"),
            Link("w3", "lan", delay="32ms"),
            Link("r1", "lan", delay="64ms"),
        ],
    )
    facts = network_facts(layers)
    assert facts.path("c1", "w1") == ("c1", "s1", "s2", "w1")
    assert facts.delay("c1", "w1") == 7_000_000
    assert facts.path("w1", "w3") == ("w1", "s2", "s1", "r1", "w3")
    # what a hub sends is as its senders' links make it: w3's own link adds nothing on the way there
    assert facts.delay("w1", "w3") == (2 + 4 + 8 + 64) * 1_000_000
    assert facts.delay("w3", "w1") == (32 + 8 + 4 + 2) * 1_000_000
    assert facts["w2", "w3"].links == ("w2--lan", "w3--lan")
    assert facts.delay("w2", "w3") == 16_000_000


def test_members_of_one_class_on_different_wires_are_told_apart() -> None:
    """Two LANs of one router: a node's neighbour is on its wire, the others are behind r1."""
    lans = Topology(
        name="lans",
        nodes=[
            *(ControlPlane("c1"), Worker("w1"), Worker("w2"), Worker("w3")),
            *(Router("r1"), Router("r2"), Switch("s1"), Switch("s2")),
        ],
        links=[
            *(Link(one, "s1", delay="1ms") for one in ("c1", "w1", "r1")),
            *(Link(one, "s2", delay="1ms") for one in ("w2", "w3", "r1")),
            Link("r1", "r2"),
        ],
    )
    facts = network_facts(lans)
    assert facts.path("c1", "w1") == ("c1", "s1", "w1")
    assert facts.path("c1", "w2") == ("c1", "s1", "r1", "s2", "w2")
    assert facts.path("w3", "w2") == ("w3", "s2", "w2")
    assert facts.path("w3", "c1") == ("w3", "s2", "r1", "s1", "c1")


def test_the_slowest_of_equal_cost_ways_is_told() -> None:
    square = Topology(
        name="square",
        nodes=[
            *(ControlPlane("c1"), Worker("w1")),
            *(Router(name) for name in ("r1", "r2", "r3", "r4")),
        ],
        links=[
            *(Link("c1", "r1"), Link("w1", "r4")),
            *(Link("r1", "r2", delay="1ms"), Link("r2", "r4", rate="10mbit")),
            *(Link("r1", "r3", delay="5ms"), Link("r3", "r4")),
        ],
    )
    facts = network_facts(square)
    pair = facts["c1", "w1"]
    assert (pair.ways, pair.delay, pair.quickest) == (2, 5_000_000, 1_000_000)
    assert pair.path == ("c1", "r1", "r3", "r4", "w1")
    assert pair.rate == 10_000_000
    assert any("1ms to 5ms" in one for one in facts.warnings)


def test_ways_that_the_plan_does_not_say_are_refused_or_assumed() -> None:
    ospf = Topology(
        name="ospf",
        nodes=[
            *(ControlPlane("c1"), Worker("w1"), Worker("w2")),
            *(Router(name, routing="ospf") for name in ("r1", "r2", "r3", "r4")),
        ],
        links=[
            *(Link("c1", "r1"), Link("w1", "r2"), Link("w2", "r3")),
            *(Link("r1", "r2", delay="1ms"), Link("r2", "r3"), Link("r3", "r4"), Link("r4", "r1")),
        ],
    )
    with pytest.raises(FactsError, match=r"r1 \(router\) finds its routes by itself"):
        network_facts(ospf)
    facts = network_facts(ospf, assume="fewest-hops")
    assert facts.path("c1", "w1") == ("c1", "r1", "r2", "w1")
    assert facts["c1", "w2"].ways == 2
    assert facts.delay("c1", "w2") == 1_000_000
    assert any("assumed" in one for one in facts.warnings)
    with pytest.raises(FactsError, match="expected 'fewest-hops'"):
        network_facts(ospf, assume="luck")


def test_different_delays_never_become_one_cost_unseen() -> None:
    with pytest.raises(FactsError) as caught:
        network_facts(SPINES, unit="10ms")
    assert "200us, 1200us would all cost 1" in str(caught.value)
    assert network_facts(SPINES, unit="500us").cost("w1", "w4") == 41
    # no delay is 1, so the least other delay must be more than 1
    links = [*triangle().links[:3], Link("r1", "r2", delay="5ms")]
    bare = network_facts(triangle().with_(links=links))
    assert bare.cost("c1", "w1") == 1
    assert bare.cost("w1", "w2") == 5
    assert exact_step([0, 1_000_000]) == 100_000
    assert exact_step([1_000_000]) == 1_000_000
    assert exact_step([0]) == exact_step([]) == 1


def test_costs_of_rates_hops_and_functions() -> None:
    rates = network_facts(SPINES, metric="rate")
    assert (rates.cost("w1", "w2"), rates.cost("w1", "w4")) == (1, 10)
    assert str(rates.scale) == "cost = 1gbit / rate"
    with pytest.raises(FactsError, match="100mbit, 1gbit would all cost 1"):
        network_facts(SPINES, metric="rate", unit="100mbit")
    assert network_facts(SPINES, metric="hops").cost("w1", "w4") == 4
    own = network_facts(SPINES, metric=lambda pair: pair.hops * 1.5)
    assert (own.cost("w1", "c1"), own.cost("w1", "w4")) == (3, 6)
    with pytest.raises(FactsError, match="would all cost"):
        network_facts(SPINES, metric=lambda pair: pair.hops / 100)
    with pytest.raises(FactsError, match="at least 0"):
        network_facts(SPINES, metric=lambda pair: -1.0)
    with pytest.raises(FactsError, match="delay, rate, hops"):
        network_facts(SPINES, metric="distance")
    with pytest.raises(FactsError, match="hops have none"):
        network_facts(SPINES, metric="hops", unit="2")


def test_what_to_beware_of_is_told() -> None:
    bare = network_facts(star(3))
    assert any(one.startswith("every cost is 1:") for one in bare.warnings)
    assert any("cross no link with a declared delay or rate" in one for one in bare.warnings)
    assert network_facts(SPINES).warnings == ()
    links = [one for one in SPINES.links if one.a != "c1"]
    apart = network_facts(Topology("apart", SPINES.nodes, links))
    assert "c1: no link, so no part of the facts" in apart.warnings
    with pytest.raises(UnknownNameError, match="no node 'c1'"):
        apart["w1", "c1"]


def test_a_network_of_one_node_has_no_facts() -> None:
    alone = Topology("alone", [ControlPlane("c1"), Host("h1")], [Link("c1", "h1")])
    with pytest.raises(FactsError, match="expected at least two"):
        network_facts(alone)


def test_levels_are_found() -> None:
    leaves, fabric = network_facts(SPINES).levels(["leaf", "fabric"])
    assert leaves.domains == {"leaf1": ("c1", "w1"), "leaf2": ("w2", "w3"), "leaf3": ("w4", "w5")}
    assert (leaves.hops, fabric.hops, fabric.number) == (2, 4, 2)
    assert fabric.domains == {"spine1": ("c1", "w1", "w2", "w3", "w4", "w5")}
    assert leaves.of("w3") == "leaf2"
    edges, pods, all_ = network_facts(fat_tree(4)).levels()
    assert [len(one.domains) for one in (edges, pods, all_)] == [8, 4, 1]
    assert [one.name for one in (edges, pods, all_)] == ["level1", "level2", "level3"]
    assert [*pods.domains] == ["a1-1", "a2-1", "a3-1", "a4-1"]


def test_a_ring_has_no_level_but_the_whole() -> None:
    levels = network_facts(ring(6)).levels()
    assert [len(one.domains) for one in levels] == [1]


def test_names_of_levels_must_fit() -> None:
    facts = network_facts(SPINES)
    with pytest.raises(FactsError, match="3 of up to 2 nodes, 2 links apart; 1 of up to 6"):
        facts.levels(["rack"])
    with pytest.raises(FactsError, match="small letters"):
        facts.levels(["Rack", "all"])


def test_a_tree_hangs_from_its_middle_and_a_cycle_is_named() -> None:
    found = network_facts(SPINES).tree()
    assert found.root == "spine1"
    assert found.children("spine1") == ("leaf1", "leaf2", "leaf3")
    assert found.above("w4") == ("leaf3", "spine1")
    assert network_facts(SPINES).tree("leaf1").above("w2") == ("leaf2", "spine1", "leaf1")
    with pytest.raises(FactsError) as caught:
        network_facts(ring(4)).tree()
    assert "link r3--r4 closes the cycle" in str(caught.value)
    assert "r1" in str(caught.value)
    double = Topology(
        name="double",
        nodes=[ControlPlane("c1"), Worker("w1"), Router("r1")],
        links=[Link("c1", "r1"), Link("w1", "r1"), Link("w1", "r1", name="again")],
    )
    with pytest.raises(FactsError, match=r"link again closes the cycle w1 - r1 - w1"):
        network_facts(double).tree()
    with pytest.raises(UnknownNameError, match="w77"):
        network_facts(SPINES).tree("w77")


def test_the_text_of_facts_is_a_square_of_costs() -> None:
    text = str(network_facts(SPINES))
    assert "w1    2    0   12   12  207  207" in text
    assert "level1 (2 links): leaf1: c1 w1; leaf2: w2 w3; leaf3: w4 w5" in text
    assert json.loads(network_facts(SPINES).render("json"))["unit"] == "100us"
