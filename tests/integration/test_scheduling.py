"""Facts in a cluster that stands, what packets say to them, and why pods are where they are."""

from __future__ import annotations

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.errors import ClusterError, PlacementError
from pytest_kinda.scheduling import app_group
from pytest_kinda.scheduling.objects import DIKTYO
from pytest_kinda.testbed.publishing import FILE, withdraw_left
from tests.support.crds import definitions
from tests.support.topologies import on_direct

DELAYS = Topology(
    name="delays",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")],
    links=[
        *(Link("c1", "r1", delay="1ms"), Link("w1", "r1", delay="1ms")),
        *(Link("w2", "r2", delay="1ms"), Link("r1", "r2", delay="8ms", rate="100mbit")),
    ],
)
pytestmark = [pytest.mark.slow, pytest.mark.topology(on_direct(DELAYS))]

BUSY = (4_000_000, 0.1)  # other tests and builds may share the machine


def labels(kinda, node):
    return kinda.cluster.get(f"node/{node}")["metadata"]["labels"]


def test_facts_are_published_and_taken_back(kinda):
    before = labels(kinda, "w1")
    facts = kinda.network_facts(unit="1ms")
    assert facts["w1", "w2"].path == kinda.trace("w1", "w2").nodes
    assert (facts.cost("w1", "c1"), facts.cost("w1", "w2")) == (2, 10)
    with facts.apply(("labels", {"zone": "level1"}), "topograph") as published:
        found = labels(kinda, "w1")
        assert found["topology.kubernetes.io/zone"] == "r1"
        assert found["fabric.topograph.run/tier-0"] == "r1"
        assert before.items() <= found.items()
        assert published.differences() == ()
        assert kinda.faults
        kinda.kubectl("label", "node", "w1", "network.pytest-kinda/level1=elsewhere", "--overwrite")
        assert "published 'r1', now 'elsewhere'" in published.differences()[0]
        kinda.kubectl("label", "node", "w1", "network.pytest-kinda/level1-")
    assert labels(kinda, "w1") == before
    assert not kinda.faults
    assert not (kinda.directory / FILE).exists()


def test_a_label_of_somebody_else_is_not_taken(kinda):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1"}}
    node["metadata"]["labels"] = {"kubernetes.io/hostname": "w7"}
    with pytest.raises(ClusterError, match="another manager"):
        kinda.publish([node])
    assert labels(kinda, "w1")["kubernetes.io/hostname"] == "w1"
    assert not kinda.faults


def test_custom_resources_of_the_real_definitions(kinda):
    known = definitions(DIKTYO)
    wanted = [
        known["networktopology.diktyo.x-k8s.io", "NetworkTopology"],
        known["appgroup.diktyo.x-k8s.io", "AppGroup"],
    ]
    facts = kinda.network_facts()
    group = app_group("shop", [("web", "cart", {"max_cost": 50})])
    with pytest.raises(ClusterError, match="serves no NetworkTopology"):
        facts.apply(("diktyo", {"zone": "node"}))
    kinda.cluster.apply(wanted)
    try:
        names = [one["metadata"]["name"] for one in wanted]
        crds = [f"crd/{name}" for name in names]
        kinda.kubectl("wait", "--for=condition=Established", *crds, "--timeout=20s")
        with facts.apply(("diktyo", {"zone": "node"}), [group]) as published:
            assert published.differences() == ()
            found = kinda.kubectl("get", "appgroup", "shop", "-n", "default", json=True)
            assert [one["index"] for one in found["status"]["topologyOrder"]] == [1, 2]
            with kinda.link("r1", "r2").impair(delay="20ms"):
                facts.refresh()
            found = kinda.kubectl("get", "networktopology", "-n", "default", json=True)
            zones = found["items"][0]["spec"]["weights"][0]["topologyList"][1]["originList"]
            costs = {one["destination"]: one["networkCost"] for one in zones[1]["costList"]}
            assert costs == {"zone-c1": 2, "zone-w2": 22}
        gone = kinda.kubectl("get", "networktopology,appgroup", "-A").stdout
        assert gone == ""
    finally:
        kinda.cluster.delete(wanted)


def test_what_was_told_is_what_packets_feel(kinda):
    facts = kinda.network_facts()
    found = facts.check(tolerance=BUSY)
    assert found, str(found)
    assert [row.what for row in found.rows] == ["round trip"] * 3 + ["rate"]
    with kinda.link("r1", "r2").impair(delay="20ms"):
        changed = facts.check(rates=False, tolerance=BUSY)
        assert [row.where for row in changed.rows if not row.well] == ["c1 w2", "w1 w2"]
        assert facts.cost("w1", "w2") == 10
        assert facts.refresh().check(rates=False, tolerance=BUSY)
        assert facts.cost("w1", "w2") == 22
    with kinda.link("w2", "r2").down():
        assert "w2--r2 cut" in facts.refresh().warnings[-1]
    assert facts.refresh().cost("w1", "w2") == 10


def test_what_a_crash_leaves_published_is_taken_back(kinda):
    before = labels(kinda, "w2")
    published = kinda.publish(kinda.network_facts().render("labels"))
    (fault,) = kinda.faults
    kinda._ledger.forget(fault)  # as if this process had ended
    assert labels(kinda, "w2") != before
    assert len(withdraw_left(kinda.cluster.api, kinda.directory)) == 3
    assert labels(kinda, "w2") == before
    assert published.differences()
    assert withdraw_left(kinda.cluster.api, kinda.directory) == ()


def test_bandwidth_is_a_resource_of_the_node(kinda):
    rate = {"resource": "example.com/mbit"}
    links = [kinda.link(one, "r1") for one in ("c1", "w1")]
    facts = kinda.network_facts()
    with links[0].impair(rate="20mbit"), links[1].impair(rate="50mbit"):
        facts.refresh()
    with facts.apply(("bandwidth", rate)):
        status = kinda.cluster.get("node/w1")["status"]
        assert status["capacity"]["example.com/mbit"] == "50"
        assert status["capacity"]["cpu"]
        assert "example.com/mbit" not in kinda.cluster.get("node/w2")["status"]["capacity"]
        with pytest.raises(ClusterError, match="has a capacity of example"):
            facts.apply(("bandwidth", rate))
    capacity = kinda.cluster.get("node/w1")["status"]["capacity"]
    assert "example.com/mbit" not in capacity
    assert capacity["cpu"]


def test_placements_are_judged_and_explained(kinda):
    busy = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "900"}}}]}
    with kinda.explaining():
        web = kinda.cluster.run_pod("web", spec={"nodeSelector": {"kubernetes.io/hostname": "w2"}})
        shop = kinda.cluster.run_pod("shop", wait=False)
        kinda.cluster.run_pod("big", wait=False, spec=_merge(kinda, busy))
        placed = kinda.placements("app in (web, shop)", timeout=20.0)
        why = kinda.explain(shop)
        alone = kinda.explain(web)
        refused = kinda.assert_unschedulable("big", plugin="NodeResourcesFit", reason="cpu")
    assert placed["web"].node == "w2"
    assert placed["web"].scheduled >= placed["web"].created
    assert {*why.totals} == {"w1", "w2"}, str(why)
    assert why.node in why.winners
    assert "NodeResourcesFit" in why.scores["w1"]
    assert alone.totals == {}
    assert "one alone was left" in alone.note
    assert refused.rejectors[0] in ("NodeResourcesFit", "TaintToleration")
    assert placed.cost([("web", "shop")]) == (0 if placed["shop"].node == "w2" else 10)
    assert placed.optimum([("web", "shop")], slots=1, nodes=["w1", "w2"]).cost == 10
    assert bool(placed.together("level1")) == (placed["shop"].node == "w2")
    placed.assert_never("c1")
    with pytest.raises(PlacementError, match="was placed: it is on w2"):
        kinda.assert_unschedulable(web)
    later = kinda.cluster.run_pod("later", wait=False)
    kinda.placements("app=later", timeout=20.0)
    assert "explaining()" in kinda.explain(later).note


def _merge(kinda, spec):
    image = kinda.cluster._image()
    return {"containers": [{**one, "image": image} for one in spec["containers"]]}
