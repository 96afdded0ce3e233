"""What our plugin's records and pinned probes say of each node, and what they leave open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_kinda.scheduling import explained
from pytest_kinda.scheduling.explaining import explain_pod
from pytest_kinda.scheduling.probing import probe, refusal_of, unprobable
from pytest_kinda.scheduling.records import ANNOTATION, Refusal, record_of
from pytest_kinda.setup import scheduling
from tests.unit.test_placements import LOG, pod

UID = "5f0c"
SCORED = [
    {"node": "w1", "total": 95, "scores": {"NodeResourcesFit": 90, "ImageLocality": 5}},
    {"node": "w2", "total": 80, "scores": {"NodeResourcesFit": 80}},
]
REFUSED = [
    {"node": "c1", "plugin": "TaintToleration", "reasons": ["node(s) had untolerated taint(s)"]},
    {"node": "w3", "plugin": "NodeResourcesFit", "reasons": ["Insufficient cpu", "Too many pods"]},
]
COUNTS = [{"count": 1, "plugin": one["plugin"], "reason": "full"} for one in REFUSED]


def line(**said: Any) -> str:
    """A line of the log as klog writes a text in it."""
    text = json.dumps(json.dumps({"pod": "lab/web1", "uid": UID, "took_us": 250, **said}))
    return f'I0101 00:00:00.000000 1 explain.go:280] "Explained pod" pod="lab/web1" record={text}'


def marked(name: str, node: str = "", **more: Any) -> dict[str, Any]:
    item = pod(name, node, **more)
    item["metadata"] |= {"uid": UID, "annotations": explained()}
    return item


def test_a_record_tells_of_every_node() -> None:
    told = line(node="w1", scored=SCORED, refused=REFUSED, refusals=COUNTS)
    why = explain_pod(marked("web1", "w1"), None, records=[told])
    assert why.totals == {"w1": 95, "w2": 80}
    assert (why.margin, why.tie, why.runner_up, why.note) == (15, False, "w2", "")
    assert why.refused["w3"] == Refusal(1, "Insufficient cpu, Too many pods", "NodeResourcesFit")
    assert why.sources == ("the pod's condition", "a record of our Explain plugin")
    assert why.plugins == ("TaintToleration", "NodeResourcesFit")
    shown = str(why).splitlines()
    assert shown[1:] == [
        "  node  ImageLocality  NodeResourcesFit  total",
        "    w1              5                90     95",
        "    w2                               80     80",  # skipped, which is not a score of 0
        "    c1  refused: node(s) had untolerated taint(s) [TaintToleration]",
        "    w3  refused: Insufficient cpu, Too many pods [NodeResourcesFit]",
        "  ahead of w2 by 15",
        "  from the pod's condition, a record of our Explain plugin",
    ]


def test_a_tie_is_told() -> None:
    scored = [{**one, "total": 7} for one in SCORED]
    why = explain_pod(marked("web1", "w1"), None, records=[line(node="w1", scored=scored)])
    assert (why.tie, why.winners) == (True, ("w1", "w2"))
    assert "  a tie: the winner was drawn at random" in str(why).splitlines()


def test_what_a_record_does_not_know_is_said() -> None:
    item = marked("web1", "w1")
    alone = explain_pod(item, None, records=[line(node="w1", unseen=["w2"], left=7)])
    assert (alone.totals, alone.tie, alone.left) == ({}, None, 7)
    assert alone.note.startswith("no node was scored: one alone was left; no plugin refuses w2")
    assert "7 more nodes" in str(alone)
    told = line(node="w1", scored=SCORED, extenders=["http://127.0.0.1:1"], error="no snapshot")
    extended = explain_pod(item, None, records=[told])
    assert extended.scores["w1"]["ImageLocality"] == 5
    assert (extended.totals, extended.tie, extended.margin) == ({}, None, None)
    assert "no totals: http://127.0.0.1:1 adds" in extended.note
    assert "not complete: no snapshot" in extended.note
    # the scheduler's own sums have it
    assert explain_pod(item, LOG, records=[told]).totals == {"w1": 95, "w2": 80}


def test_a_record_of_something_else_is_none() -> None:
    item = marked("web1", "w1")
    assert record_of("", [line(node="w1")]) is None
    for other in (line(node="w2"), line(uid="another", node="w1"), line(), "I0101 nothing"):
        why = explain_pod(item, None, records=[other])
        assert (why.refused, why.sources) == ({}, ("the pod's condition",))
        assert "is Explain in its scheduler, and in the profile?" in why.note
    again = [line(node="w1", scored=SCORED[:1]), line(node="w1", scored=SCORED)]
    assert len(explain_pod(item, None, records=again).scores) == 2
    assert record_of(UID, again).seconds == 250e-6  # type: ignore[union-attr]


def test_plugin_and_package_agree_about_the_annotation() -> None:
    source = (scheduling.explain_source() / "explain.go").read_text()
    assert f'Annotation = "{ANNOTATION}"' in source
    assert explained(most=20) == {ANNOTATION: "20"}
    main = (scheduling.explain_source().parent / "main.go").read_text()
    assert "app.WithPlugin(explain.Name, explain.New)" in main


def refused(message: str = "0/3 nodes are available: 3 Insufficient cpu.") -> dict[str, Any]:
    item = pod("lost", app="shop", message=message)
    item["metadata"] |= {"uid": UID, "annotations": {**explained(), "mine": "yes"}}
    item["spec"] |= {
        "priority": 0,
        "containers": [
            {
                "name": "main",
                "image": "shop:1",
                "command": ["sell"],
                "env": [{"name": "A", "value": "b"}],
                "resources": {"requests": {"cpu": "900"}},
            }
        ],
    }
    return item


def test_a_probe_asks_for_the_same_and_runs_nothing() -> None:
    item = refused()
    made = probe(item, "probe-1", "run", "w2", "tools:1")
    (container,) = made["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "900"}}
    assert (container["image"], container["command"]) == ("tools:1", ["sleep", "infinity"])
    assert "env" not in container
    assert made["metadata"]["labels"]["app"] == "shop"
    assert made["metadata"]["annotations"] == {"mine": "yes"}  # it asks for no record of its own
    assert made["metadata"]["ownerReferences"][0]["controller"]  # so that nobody adopts it
    assert "priority" not in made["spec"]
    assert item == refused()


@pytest.mark.parametrize("terms", [1, 2])
def test_a_probe_is_pinned_within_each_alternative(terms: int) -> None:
    item = refused()
    disk = [{"key": "disk", "operator": "Exists"}]
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    alternatives = [{"matchExpressions": disk}] * terms
    item["spec"]["affinity"] = {"nodeAffinity": {key: {"nodeSelectorTerms": alternatives}}}
    found = probe(item, "probe-1", "run", "w2", "tools:1")["spec"]["affinity"]["nodeAffinity"]
    pin = {"key": "metadata.name", "operator": "In", "values": ["w2"]}
    expected = [{"matchExpressions": disk, "matchFields": [pin]}] * terms
    assert found[key]["nodeSelectorTerms"] == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity]. no new claims to deallocate, preemption: 0/4 nodes are available: ...",
            Refusal(1, "Insufficient cpu", "NodeResourcesFit"),
        ),
        (
            "0/4 nodes are available: 1 Insufficient cpu, 1 Too many pods, 3 node(s) didn't "
            "satisfy plugin(s) [NodeAffinity].",
            Refusal(1, "Insufficient cpu, Too many pods", "NodeResourcesFit"),
        ),
        (
            "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "3 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            Refusal(1, "node(s) didn't match Pod's node affinity/selector", "NodeAffinity"),
        ),
        (
            "0/4 nodes are available: 1 too far away, 3 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity].",
            Refusal(1, "too far away"),
        ),
        ("0/4 nodes are available: a volume is missing.", Refusal(1, "a volume is missing.")),
    ],
)
def test_what_one_node_said_to_a_probe(message: str, expected: Refusal) -> None:
    assert refusal_of(refused(message)) == expected


def test_the_log_names_a_plugin_that_the_reason_does_not() -> None:
    message = "0/2 nodes are available: 1 too far away, 1 node(s) didn't satisfy plugin(s) "
    told = (
        '"Pod moved" pod="lab/lost" event="ScheduleAttemptFailure" queue="Unschedulable" hint=0 '
        'unschedulable plugins={"NodeAffinity":{},"NetworkOverhead":{}}'
    )
    found = refusal_of(refused(message + "[NodeAffinity]."), [told])
    assert found == Refusal(1, "too far away", "NetworkOverhead")


def test_pods_whose_probes_could_change_something_are_not_probed() -> None:
    assert unprobable(refused()) == ""
    assert unprobable(pod("web1", "w1")) == "it is on w1"
    waiting = refused()
    waiting["status"]["nominatedNodeName"] = "w3"
    assert unprobable(waiting) == "room is being made for it on w3"
    unseen = refused()
    unseen["status"]["conditions"] = []
    assert unprobable(unseen) == "no scheduler has refused it (not looked at yet)"
    gang = refused()
    gang["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] = "both"
    assert unprobable(gang).startswith("its probes would be counted with it")
    claim = refused()
    claim["spec"]["volumes"] = [{"name": "a", "persistentVolumeClaim": {"claimName": "a"}}]
    assert unprobable(claim) == "a probe that fits would bind its claims"
