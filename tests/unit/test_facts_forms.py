"""Facts as the objects of schedulers, and `kinda facts`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.cli.telling import FORMS as OFFERED
from pytest_kinda.errors import FactsError
from pytest_kinda.generators import fat_tree, ring, star
from pytest_kinda.readers import to_yaml
from pytest_kinda.scheduling import FORMS, app_group, network_facts, pod_labels
from pytest_kinda.scheduling.objects import CHECKED, joined
from tests.unit.test_network_facts import SPINES

FACTS = network_facts(SPINES)


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def labels(objects: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {one["metadata"]["name"]: one["metadata"]["labels"] for one in of_kind(objects, "Node")}


def test_labels_say_levels_and_only_the_zone_that_was_asked_for() -> None:
    plain = labels(FACTS.render("labels"))
    assert plain["w3"] == {
        "network.pytest-kinda/topology": "spines",
        "network.pytest-kinda/level1": "leaf2",
        "network.pytest-kinda/level2": "spine1",
    }
    zoned = labels(FACTS.render("labels", zone="leaf", levels=["leaf", "fabric"], region="lab"))
    assert zoned["w4"]["topology.kubernetes.io/zone"] == "leaf3"
    assert zoned["w4"]["topology.kubernetes.io/region"] == "lab"
    assert (
        labels(FACTS.render("labels", zone="node"))["w4"]["topology.kubernetes.io/zone"]
        == "zone-w4"
    )
    with pytest.raises(FactsError, match="expected 'node', or a level: level1, level2"):
        FACTS.render("labels", zone="rack")


def test_diktyo_has_the_cost_of_every_pair_in_order() -> None:
    objects = FACTS.render("diktyo", zone="node", namespace="lab")
    (topology,) = of_kind(objects, "NetworkTopology")
    assert topology["metadata"]["namespace"] == "lab"
    assert topology["metadata"]["annotations"][CHECKED].startswith("sigs.k8s.io/scheduler-plugins@")
    region, zone = topology["spec"]["weights"][0]["topologyList"]
    assert [one["origin"] for one in region["originList"]] == ["region-spines"]
    origins = {one["origin"]: one["costList"] for one in zone["originList"]}
    assert [*origins] == sorted(origins)
    costs = {one["destination"]: one["networkCost"] for one in origins["zone-w1"]}
    assert [*costs] == sorted(costs)
    assert (costs["zone-c1"], costs["zone-w2"], costs["zone-w4"]) == (2, 12, 207)
    assert origins["zone-w1"][-1]["bandwidthCapacity"] == "100000000"
    assert labels(objects)["w1"]["topology.kubernetes.io/zone"] == "zone-w1"
    with pytest.raises(FactsError, match="what a zone is must be said"):
        FACTS.render("diktyo")


def test_zones_whose_nodes_cost_differently_are_told() -> None:
    links = [one.with_(delay="7ms") if one.a == "w5" else one for one in SPINES.links]
    uneven = network_facts(SPINES.with_(links=links))
    with pytest.raises(FactsError, match="from leaf1 to leaf3 costs differ"):
        uneven.render("diktyo", zone="level1")
    (made,) = of_kind(uneven.render("diktyo", zone="level1", merge="max"), "NetworkTopology")
    origins = {
        one["origin"]: {each["destination"]: each["networkCost"] for each in one["costList"]}
        for one in made["spec"]["weights"][0]["topologyList"][1]["originList"]
    }
    assert origins["leaf1"]["leaf3"] == uneven.cost("w1", "w5") == 276
    assert len(of_kind(FACTS.render("diktyo", zone="level1"), "NetworkTopology")) == 1


def test_an_app_group_is_ordered_and_sorted_by_selector() -> None:
    edges = [("web", "cart"), ("cart", "store", {"max_cost": 50, "bandwidth": "10M"})]
    group = app_group("shop", edges)
    order = {one["workload"]["selector"]: one["index"] for one in group["status"]["topologyOrder"]}
    assert order == {"cart": 2, "store": 1, "web": 3}
    assert [*order] == sorted(order)
    assert group["spec"]["numMembers"] == 3
    (needs,) = group["spec"]["workloads"][1]["dependencies"]
    assert (needs["maxNetworkCost"], needs["minBandwidth"]) == (50, "10M")
    (any_cost,) = group["spec"]["workloads"][0]["dependencies"]
    assert any_cost["maxNetworkCost"] == 10_000  # left out, the plugin takes it as 0
    kahn = app_group("shop", edges, algorithm="KahnSort")["status"]["topologyOrder"]
    assert {one["workload"]["selector"]: one["index"] for one in kahn}["web"] == 1
    assert pod_labels("shop", "web")["appgroup.diktyo.x-k8s.io"] == "shop"
    with pytest.raises(FactsError, match="a, b are a circle"):
        app_group("circle", [("a", "b"), ("b", "a")])
    with pytest.raises(FactsError, match="expected 0 to 10000"):
        app_group("dear", [("a", "b", {"max_cost": 10_001})])


def test_hypernodes_are_nested() -> None:
    objects = FACTS.render("volcano", levels=["leaf", "fabric"])
    found = {one["metadata"]["name"]: one["spec"] for one in objects}
    assert [*found] == ["leaf-leaf1", "leaf-leaf2", "leaf-leaf3", "fabric-spine1"]
    assert found["leaf-leaf2"]["tier"] == 1
    assert found["leaf-leaf2"]["members"][0] == {
        "type": "Node",
        "selector": {"exactMatch": {"name": "w2"}},
    }
    assert [one["selector"]["exactMatch"]["name"] for one in found["fabric-spine1"]["members"]] == [
        "leaf-leaf1",
        "leaf-leaf2",
        "leaf-leaf3",
    ]
    assert "tierName" not in found["leaf-leaf1"]
    named = FACTS.render("volcano", tier_names=True)
    assert named[0]["spec"]["tierName"] == "level1"


@pytest.mark.parametrize("form", ["kueue", "kai"])
def test_levels_by_label_are_widest_first_and_end_at_the_node(form: str) -> None:
    objects = FACTS.render(form, levels=["leaf", "fabric"])
    (topology,) = of_kind(objects, "Topology")
    keys = [one["nodeLabel"] for one in topology["spec"]["levels"]]
    assert keys == [
        "network.pytest-kinda/fabric",
        "network.pytest-kinda/leaf",
        "kubernetes.io/hostname",
    ]
    for given in labels(objects).values():
        assert {*keys[:-1]} <= {*given}


def test_domains_are_never_named_like_nodes() -> None:
    """Kueue leaves out, without a word, a node whose name is a value of a higher level."""
    for topology in (SPINES, fat_tree(4), star(4)):
        facts = network_facts(topology)
        values = {name for level in facts.levels() for name in level.domains}
        assert not values & {*facts.nodes}


def test_kueues_flavor_chooses_the_nodes_of_the_facts() -> None:
    objects = FACTS.render("kueue")
    (flavor,) = of_kind(objects, "ResourceFlavor")
    for given in labels(objects).values():
        assert flavor["spec"]["nodeLabels"].items() <= given.items()
    assert flavor["spec"]["topologyName"] == "spines"


def test_koordinators_layers_lead_to_the_node() -> None:
    (one,) = of_kind(
        FACTS.render("koordinator", levels=["leaf", "fabric"]), "ClusterNetworkTopology"
    )
    assert one["spec"]["networkTopologySpec"] == [
        {"topologyLayer": "FabricLayer", "labelKey": ["network.pytest-kinda/fabric"]},
        {
            "topologyLayer": "LeafLayer",
            "labelKey": ["network.pytest-kinda/leaf"],
            "parentTopologyLayer": "FabricLayer",
        },
        {"topologyLayer": "NodeTopologyLayer", "parentTopologyLayer": "LeafLayer"},
    ]


def test_topographs_tiers_begin_at_the_node() -> None:
    assert labels(FACTS.render("topograph"))["w2"] == {
        "fabric.topograph.run/tier-0": "leaf2",
        "fabric.topograph.run/tier-1": "spine1",
    }


def test_k8s_inc_is_told_a_tree_and_says_that_nothing_checked_it() -> None:
    (made,) = FACTS.render("k8s-inc", switches=["leaf1"])
    graph = {one["name"]: one for one in made["spec"]["graph"]}
    assert graph["leaf1"]["type"] == "inc-switch"
    assert graph["leaf2"]["type"] == "net"
    assert graph["w1"] == {"type": "node", "name": "w1", "links": [{"peerName": "leaf1"}]}
    assert made["metadata"]["annotations"][CHECKED].startswith("unvalidated")
    with pytest.raises(FactsError, match="closes the cycle"):
        network_facts(ring(4)).render("k8s-inc")


def test_bandwidth_is_what_a_nodes_links_can_send() -> None:
    found = {one["metadata"]["name"]: one["status"] for one in FACTS.render("bandwidth")}
    assert found["w1"] == {"capacity": {"network.pytest-kinda/bandwidth-mbit": "1000"}}
    with pytest.raises(FactsError, match="none has a bandwidth"):
        network_facts(star(3)).render("bandwidth")


def test_tables_have_a_line_for_each_pair() -> None:
    lines = list(csv.DictReader(io.StringIO(FACTS.render("csv"))))
    assert len(lines) == 30
    (far,) = [one for one in lines if (one["source"], one["target"]) == ("w1", "w4")]
    assert (far["delay_ns"], far["cost"], far["path"]) == (
        "20700000",
        "207",
        "w1 leaf1 spine1 leaf3 w4",
    )
    assert len(json.loads(FACTS.render("json"))["pairs"]) == 30


def test_forms_are_put_together_unless_they_disagree() -> None:
    together = joined([*FACTS.render("kueue"), *FACTS.render("topograph")])
    assert len(of_kind(together, "Node")) == 6
    assert len(labels(together)["w1"]) == 5
    with pytest.raises(FactsError, match=r"topology.kubernetes.io/zone is to be"):
        joined([*FACTS.render("diktyo", zone="node"), *FACTS.render("labels", zone="level1")])


def test_an_unknown_form_or_option_is_told() -> None:
    with pytest.raises(FactsError, match="expected labels, diktyo"):
        FACTS.render("slurm")
    with pytest.raises(FactsError, match=r"found the option 'zone'; expected levels, tier_names"):
        FACTS.render("volcano", zone="node")
    assert {*OFFERED} == {*FORMS}


@pytest.fixture
def lab(tmp_path: Path) -> str:
    path = tmp_path / "lab.yaml"
    path.write_text(to_yaml(SPINES))
    return str(path)


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(kinda, ["facts", *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_the_command_prints_each_form(lab: str) -> None:
    assert "cost = delay in 100us" in run(lab).stdout
    objects = list(yaml.safe_load_all(run(lab, "--for", "diktyo", "--zone", "node").stdout))
    assert objects == FACTS.render("diktyo", zone="node")
    named = json.loads(run(lab, "--for", "volcano", "--levels", "rack,all", "--json").stdout)
    assert named[0]["metadata"]["name"] == "rack-leaf1"
    assert run(lab, "--for", "csv", "--metric", "hops").stdout.startswith("source,target,")


def test_the_command_tells_what_is_wrong(lab: str) -> None:
    done = CliRunner().invoke(kinda, ["facts", lab, "--for", "diktyo"])
    assert done.exit_code == 1
    assert "zone is missing" in done.output
    done = CliRunner().invoke(kinda, ["facts", lab, "--unit", "10ms"])
    assert "would all cost 1" in done.output
    done = CliRunner().invoke(kinda, ["facts", lab, "--zone", "node"])
    assert "add --for FORM" in done.output


def test_facts_of_a_declaration_need_no_cluster_software() -> None:
    code = (
        "import sys; from pytest_kinda.scheduling import network_facts; "
        "from pytest_kinda.generators import star; network_facts(star(3)).render('labels'); "
        "print([one for one in ('docker', 'kubernetes', 'Kathara', 'pyroute2', 'pytest')"
        " if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
