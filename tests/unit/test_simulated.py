"""Nodes that are only declared, beside a plan; DaemonSets that are kept off them; their API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Link, Router, Switch, Topology, Worker
from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.build.lab_nodes import MARK, STAYS, node_object, pod_status
from pytest_kinda.errors import DeclarationError
from pytest_kinda.generators import leaf_spine, star
from pytest_kinda.plan import plan
from pytest_kinda.plan.beside import joined, plan_beside, routers
from pytest_kinda.plan.values import USUAL, PlanOptions
from pytest_kinda.scheduling.facts import NetworkFacts
from pytest_kinda.testbed.daemonsets import keeps_off, kept_off, tolerates

PAIR = Topology(
    name="pair",
    nodes=[ControlPlane("c1"), Worker("w1"), Router("r1"), Router("r2")],
    links=[
        Link("c1", "r1", delay="1ms"),
        Link("w1", "r2", delay="1ms"),
        Link("r1", "r2", delay="8ms", rate="100mbit"),
    ],
)
RACKS = leaf_spine(2, 2, 3, links={"leaf": {"delay": "100us"}, "fabric": {"delay": "1ms"}})


def beside(count=6, uplink=None):
    real = plan(PAIR, PlanOptions(), USUAL)
    other = plan_beside(RACKS, real, prefix="sim-", count=count)
    return real, other, joined(real, other, uplink or Link("sim-spine1", "r1", delay="5ms"))


def test_facts_know_both_networks_and_the_link_between():
    real, _, both = beside()
    facts = NetworkFacts(both)
    assert facts.nodes == ("c1", "w1", "sim-c1", *(f"sim-w{number}" for number in range(1, 6)))
    far = facts["w1", "sim-w3"]
    assert far.path == ("w1", "r2", "r1", "sim-spine1", "sim-leaf2", "sim-w3")
    assert far.links[1:4] == ("r1--r2", "sim-spine1--r1", "sim-leaf2--sim-spine1")
    assert (far.delay, far.rate, far.ways) == (15_100_000, 100_000_000, 1)
    assert facts["sim-w3", "w1"].path == far.path[::-1]
    # within, over both spines; and what was there before is as it was
    assert (facts["sim-c1", "sim-w4"].ways, facts.delay("sim-c1", "sim-w4")) == (2, 2_200_000)
    assert facts["c1", "w1"]._replace(cost=0) == NetworkFacts(real)["c1", "w1"]._replace(cost=0)
    racks = facts.levels()[0].domains
    assert racks["sim-leaf1"] == ("sim-c1", "sim-w1", "sim-w2")
    assert {one.role for one in both.nodes if one.name.startswith("sim-w")} == {"worker"}
    assert both.node("sim-c1").role == "worker"


def test_fewer_nodes_than_the_topology_has_and_a_second_group():
    real, other, both = beside(count=4)
    assert [one.name for one in other.kubernetes_nodes] == ["sim-c1", "sim-w1", "sim-w2", "sim-w3"]
    assert len(other.links) == 4 + 4
    second = plan_beside(star(2), both, prefix="rack-", count=2)
    facts = NetworkFacts(joined(both, second, Link("rack-r1", "r1")))
    assert facts.path("rack-w1", "sim-w3")[1:-1] == ("rack-r1", "r1", "sim-spine1", "sim-leaf2")
    assert routers(real) == ("r1", "r2")


@pytest.mark.parametrize(
    ("uplink", "told"),
    [
        (Link("sim-w1", "r1"), "found 'sim-w1'"),
        (Link("spine1", "r1"), "sim-spine1, sim-spine2"),
        (Link("sim-spine1", "w1"), "r1, r2"),
    ],
)
def test_an_uplink_joins_routers(uplink, told):
    with pytest.raises(DeclarationError, match=told):
        beside(uplink=uplink)


def test_what_cannot_be_beside_is_told():
    real = plan(PAIR, PlanOptions(), USUAL)
    with pytest.raises(DeclarationError, match=r"6 nodes of a cluster.*7 at least"):
        plan_beside(RACKS, real, prefix="sim-", count=7)
    nodes = [ControlPlane("c1"), Worker("w1"), Switch("s1")]
    switched = Topology("switched", nodes, [Link("c1", "s1"), Link("w1", "s1")])
    with pytest.raises(DeclarationError, match="a network with a router"):
        joined(
            plan(switched, facts=USUAL),
            plan_beside(RACKS, real, prefix="", count=2),
            Link("spine1", "s1"),
        )


def test_addresses_in_use_are_left_alone():
    taken = plan(PAIR, PlanOptions(pool="100.64.0.0/16"), USUAL)
    other = plan_beside(RACKS, taken, prefix="sim-", count=6)
    assert other.options.pool == "100.66.0.0/16"
    assert NetworkFacts(joined(taken, other, Link("sim-spine1", "r1"))).nodes


def test_nodes_need_nothing_more_of_the_controllers():
    made = node_object(beside()[1].node("sim-w1"))
    labels = made["metadata"]["labels"]
    assert labels[MARK] == "yes"
    assert labels["kubernetes.io/os"] == labels["beta.kubernetes.io/os"] == "linux"
    assert "addresses" not in made["status"]


def test_a_daemonset_is_kept_off_whatever_its_affinity():
    assert tolerates([{"operator": "Exists"}], MARK)
    assert tolerates([{"key": MARK, "operator": "Exists"}], MARK)
    assert not tolerates([{"key": "other", "operator": "Exists"}, {"key": "", "value": "x"}], MARK)
    off = {"key": MARK, "operator": "DoesNotExist"}
    terms = [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, {"matchFields": []}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    before = {"nodeAffinity": required, "podAffinity": {"a": 1}}
    for affinity in (None, before):
        assert not keeps_off(affinity, MARK)
        made = kept_off(affinity, MARK)
        assert keeps_off(made, MARK)
        (each,) = made["nodeAffinity"].values()
        assert all(off in one["matchExpressions"] for one in each["nodeSelectorTerms"])
    assert made["podAffinity"] == {"a": 1}
    assert len(each["nodeSelectorTerms"]) == 2
    assert not keeps_off(before, MARK)  # it was not changed itself


def test_a_kubeconfig_of_kind_is_read(tmp_path: Path):
    text = "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:6443', "
    text += "certificate-authority-data: YQ==}}]\nusers: [{name: b, user: {token: t}}]\n"
    (tmp_path / "yaml").write_text(text)
    (tmp_path / "json").write_text(
        json.dumps(
            {
                "clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}],
                "users": [{"user": {"client-certificate-data": base64.b64encode(b"x").decode()}}],
            }
        )
    )
    assert LabApi(tmp_path / "yaml")._token == "t"
    assert LabApi(tmp_path / "json")._where == "127.0.0.1:6443"


def test_pods_of_jobs_have_ended_unless_they_are_to_stay():
    pod = {"metadata": {"ownerReferences": [{"kind": "Job"}]}, "spec": {"containers": []}}
    assert pod_status(pod, "now")["phase"] == "Succeeded"
    pod["metadata"]["annotations"] = {STAYS: "yes"}
    assert pod_status(pod, "now")["phase"] == "Running"
