"""Placements judged by facts, and what a scheduler's words say: from recorded objects and logs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pytest_kinda.errors import FactsError, PlacementError
from pytest_kinda.scheduling import network_facts
from pytest_kinda.scheduling.explaining import explain_pod, refusals_of, scores_of
from pytest_kinda.scheduling.placements import Placements, placement_of
from tests.unit.test_network_facts import SPINES

FACTS = network_facts(SPINES)


def pod(
    name: str, node: str = "", *, app: str = "", message: str = "", scheduler: str = "default"
) -> dict[str, Any]:
    condition = (
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}
        if node
        else {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
    )
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "lab",
            "labels": {"app": app} if app else {},
            "creationTimestamp": "2026-01-01T00:00:01Z",
        },
        "spec": {"schedulerName": scheduler, **({"nodeName": node} if node else {})},
        "status": {
            "phase": "Running" if node else "Pending",
            "conditions": [condition],
            "containerStatuses": [running] if node else [],
        },
    }


def placed(**where: str) -> Placements:
    items = [pod(name, node, app=name.rstrip("0123456789")) for name, node in where.items()]
    return Placements(map(placement_of, items), FACTS)


def test_a_placement_has_what_the_api_says() -> None:
    one = placement_of(pod("web1", "w1", app="web", scheduler="net"))
    assert (one.pod, one.workload, one.node, one.scheduler) == ("web1", "web", "w1", "net")
    assert one.scheduled is not None
    assert one.started is not None
    assert (one.scheduled - one.created).total_seconds() == 1
    assert (one.started - one.created).total_seconds() == 2
    waiting = placement_of(pod("web2", message="0/3 nodes are available: 3 Insufficient cpu."))
    assert (waiting.node, waiting.scheduled) == ("", None)
    assert "Insufficient cpu" in waiting.reason
    rows = Placements([one, waiting], FACTS).rows()
    assert rows[0]["created"] == "2026-01-01T00:00:01+00:00"
    assert rows[1]["started"] is None


def test_together_at_each_level() -> None:
    near = placed(web1="w2", web2="w3")
    assert near.together("level1")
    assert not near.together()
    far = placed(web1="w2", web2="w4")
    assert far.together("level2")
    judged = far.together("level1")
    assert not judged
    assert "not together at level1: leaf2, leaf3" in repr(judged)
    assert "web2  web       w4" in repr(judged)
    assert not placed(web1="w2", web2="").together()
    with pytest.raises(FactsError, match="expected level1, level2"):
        near.together("rack")


def test_cost_of_edges_and_the_optimum() -> None:
    edges = [("web", "cart"), ("cart", "store")]
    bad = placed(web1="w1", cart1="w4", store1="w2")
    assert bad.cost(edges) == 207 + 207
    free = bad.optimum(edges)
    assert (free.cost, free.exact) == (0, True)
    one_each = bad.optimum(edges, slots=1)
    assert (one_each.cost, one_each.exact) == (2 + 12, True)
    assert sorted({*one_each.nodes.values()}) == sorted(one_each.nodes.values())
    pinned = bad.optimum(edges, slots=1, fixed=["store1"])
    assert pinned.nodes["store1"] == "w2"
    assert pinned.cost == 14
    assert bad.optimum(edges, slots=1, nodes=["w1", "w2", "w4"]).cost == 12 + 207
    with pytest.raises(PlacementError, match="do not fit"):
        bad.optimum(edges, slots=1, nodes=["w1", "w2"])
    with pytest.raises(PlacementError, match="'shop' has no pod here; there are cart, store, web"):
        bad.cost([("shop", "web")])
    with pytest.raises(PlacementError, match="is on no node"):
        placed(web1="w1", cart1="").cost([("web", "cart")])


@pytest.mark.parametrize("slots", [1, 2, None])
def test_the_optimum_is_that_of_trying_everything(slots: int | None) -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("b", "d")]
    four = placed(a1="w1", b1="w1", c1="w1", d1="w1")
    best = min(
        sum(FACTS.cost(where[x], where[y]) for x, y in edges)
        for nodes in itertools.product(FACTS.nodes, repeat=4)
        if slots is None or all(nodes.count(one) <= slots for one in nodes)
        for where in [dict(zip("abcd", nodes, strict=True))]
    )
    found = four.optimum(edges, slots=slots)
    assert (found.cost, found.exact) == (best, True)


def test_a_large_optimum_is_a_bound_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_kinda.scheduling.optimum.MOST_STEPS", 5)
    edges = [("a", "b"), ("b", "c")]
    found = placed(a1="w1", b1="w2", c1="w4").optimum(edges, slots=1)
    assert (found.cost, found.exact, found.nodes) == (4, False, {})


def test_pairs_that_cross_a_link() -> None:
    three = placed(web1="w1", cart1="w3", store1="w4")
    assert three.crossing("leaf3--spine1", [("web", "cart"), ("cart", "store")]) == (
        ("cart1", "store1"),
    )
    assert len(three.crossing("leaf3--spine1")) == 4
    with pytest.raises(FactsError, match="expected one of"):
        three.crossing("leaf9--spine1")


def test_never_on_a_node() -> None:
    two = placed(web1="w1", web2="w4")
    two.assert_never("w2", "w3")
    with pytest.raises(PlacementError, match="web2 on w4"):
        two.assert_never("w3", "w4")
    assert two.of("web").nodes == ("w1", "w4")
    with pytest.raises(PlacementError, match="no pod 'cart'"):
        two["cart"]


MESSAGE = (
    "0/6 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 2 node(s) "
    "didn't match Pod's node affinity/selector, 1 node(s) didn't satisfy plugin(s) "
    "[NodeResourceTopologyMatch], 1 something of another plugin. no new claims to deallocate, "
    "preemption: 0/6 nodes are available: 6 Preemption is not helpful for scheduling."
)


def test_refusals_are_counted_and_only_known_texts_name_a_plugin() -> None:
    found = [(one.count, one.plugin) for one in refusals_of(MESSAGE)]
    assert found == [
        (1, "NodeResourcesFit"),
        (1, "TaintToleration"),
        (2, "NodeAffinity"),
        (1, "NodeResourceTopologyMatch"),
        (1, ""),
    ]
    assert refusals_of("running PreFilter plugin failed") == ()


def line(text: str) -> str:
    return f"I0101 00:00:00.000000       1 schedule_one.go:800] {text}"


def score(node: str, plugin: str, value: int, name: str = "lab/web1") -> str:
    return line(
        f'"Plugin scored node for pod" pod="{name}" plugin="{plugin}" node="{node}" score={value}'
    )


def final(node: str, value: int, name: str = "lab/web1") -> str:
    return line(
        f'"Calculated node\'s final score for pod" pod="{name}" node="{node}" score={value}'
    )


LOG = [
    score("w1", "NodeResourcesFit", 90),
    score("w1", "ImageLocality", 5),
    score("w2", "NodeResourcesFit", 80),
    score("w2", "ImageLocality", 0),
    score("w9", "ImageLocality", 1, "lab/other"),
    final("w1", 95),
    final("w2", 80),
    final("w9", 7, "lab/other"),
]


def test_scores_are_those_of_the_pod() -> None:
    why = explain_pod(pod("web1", "w1"), LOG)
    assert why.totals == {"w1": 95, "w2": 80}
    assert why.scores["w2"] == {"NodeResourcesFit": 80, "ImageLocality": 0}
    assert (why.margin, why.tie, why.runner_up) == (15, False, "w2")
    assert "w1              5                90     95" in str(why)
    tied = explain_pod(pod("web1", "w1"), [final("w1", 5), final("w2", 5)])
    assert tied.tie
    assert tied.winners == ("w1", "w2")
    assert "drawn at random" in str(tied)


def test_the_last_attempt_counts() -> None:
    again = [*LOG, score("w1", "NodeResourcesFit", 10), final("w1", 10)]
    assert scores_of("lab/web1", again) == ({"w1": {"NodeResourcesFit": 10}}, {"w1": 10})


def test_plugins_that_refused_are_those_of_the_log() -> None:
    told = line(
        '"Pod moved to an internal scheduling queue" pod="lab/web1" event="ScheduleAttemptFailure" '
        'queue="Unschedulable" hint=0 unschedulable plugins={"NetworkOverhead":{},"NodePorts":{}}'
    )
    assert explain_pod(pod("web1", message=MESSAGE), [told]).plugins == (
        "NetworkOverhead",
        "NodePorts",
    )


def test_nothing_is_invented() -> None:
    silent = explain_pod(pod("web1", "w1"), None)
    assert (silent.totals, silent.tie, silent.margin, silent.runner_up) == ({}, None, None, "")
    assert "explaining()" in silent.note
    assert silent.sources == ("the pod's condition",)
    alone = explain_pod(pod("web1", "w1"), [])
    assert "one alone was left" in alone.note
    nobody = pod("web1", scheduler="nobody")
    nobody["status"]["conditions"] = []
    assert "is there one named 'nobody'?" in explain_pod(nobody, None).note
    refused = explain_pod(pod("web1", message=MESSAGE), None)
    assert refused.plugins[0] == "NodeResourcesFit"
    assert "2 nodes: node(s) didn't match Pod's node affinity/selector [NodeAffinity]" in str(
        refused
    )
