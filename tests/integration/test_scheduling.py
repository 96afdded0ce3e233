"""Facts in a cluster that stands, what packets say to them, and why pods are where they are."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import time

import pytest

from examples.scheduling import network_overhead as shop
from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.kubelets import LEASES
from pytest_kinda.build.lab_nodes import GROUP
from pytest_kinda.errors import (
    ClusterError,
    LabError,
    PlacementError,
    SchedulerError,
    SchedulerWarning,
    WaitTimeoutError,
)
from pytest_kinda.experiment import Arrival, read_rows, trace
from pytest_kinda.generators import leaf_spine
from pytest_kinda.plugin.experiments import EXPERIMENTS
from pytest_kinda.scheduling import app_group, pod_labels
from pytest_kinda.scheduling.objects import DIKTYO
from pytest_kinda.setup import program, scheduling
from pytest_kinda.testbed import simulated
from pytest_kinda.testbed.publishing import FILE, withdraw_left
from pytest_kinda.testbed.staticpods import FILE as CHANGED
from pytest_kinda.testbed.staticpods import StaticPod, put_back_left
from tests.support.crds import definitions
from tests.support.documents import examples, execute
from tests.support.topologies import on_direct

DELAYS = Topology(
    name="delays",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")],
    links=[
        *(Link("c1", "r1", delay="1ms"), Link("w1", "r1", delay="1ms")),
        *(Link("w2", "r2", delay="1ms"), Link("r1", "r2", delay="8ms", rate="100mbit")),
    ],
)
pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.topology(on_direct(DELAYS))]

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


def test_an_application_gets_from_the_network_what_there_is(kinda):
    near = kinda.app_graph(
        [("shop", "till", {"latency": "8ms"})],
        bandwidth="20mbit",
        nodes={"shop": "w1", "till": "w1"},
        requests={"cpu": "10m"},
    )
    assert (
        near.pods["shop"].read()["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "10m"
    )
    # both cross the link of 100 Mbit/s between w2 and the rest, 20 ms there and back
    far = kinda.app_graph(
        [("web", "store", {"latency": "8ms"}), ("cart", "store")],
        bandwidth="90mbit",
        nodes={"web": "w1", "cart": "c1", "store": "w2"},
    )
    assert near.measure(seconds=1), str(near)
    found = far.measure(seconds=2)
    assert not found
    assert found.satisfied < 1
    assert 60e6 < found.rate < 105e6, str(found)
    assert 20 <= found.edges[0].latency_ms < 60
    assert "web -> store  w1 -> w2" in str(found)


RACKS = leaf_spine(2, 2, 3, links={"leaf": {"delay": "100us"}, "fabric": {"delay": "1ms"}})


def test_simulated_nodes_beside_real_ones(kinda):
    """Placements and facts take them as nodes; nothing is sent there, nothing of them is left."""
    cluster = kinda.cluster
    before = _around(kinda)
    uplink = Link("sim-spine1", "r1", delay="5ms")
    with kinda.simulated_nodes(
        5, topology=RACKS, uplink=uplink, capacity={"cpu": "64"}, labels={"pool": "big"}
    ) as racks:
        assert cluster.nodes_ready() == dict.fromkeys([*before["nodes"], *racks.names], True)
        spec = {"tolerations": racks.tolerations}
        far = cluster.run_pod("far", requests={"cpu": "60"}, spec=spec)
        assert far.node in racks.names
        web = cluster.run_pod("web", node="sim-w4")
        near = cluster.run_pod("near")
        assert near.node in before["nodes"]  # it does not tolerate them
        facts = kinda.network_facts()
        assert facts["w1", "sim-w3"].path[2:] == ("sim-spine1", "sim-leaf2", "sim-w3")
        assert facts.delay("w1", "sim-w3") == 1_000_000 + 5_000_000 + 1_000_000 + 100_000
        assert "5 simulated nodes" in facts.warnings[-1]
        placed = kinda.placements(facts=facts)
        assert placed.cost([("web", "near")]) == facts.cost("sim-w4", near.node)
        assert placed["web"].node == "sim-w4"
        labels = cluster.get("node/sim-w4")["metadata"]["labels"]
        with facts.apply("labels"):
            labels = cluster.get("node/sim-w4")["metadata"]["labels"]
            assert (labels["network.pytest-kinda/level1"], labels["pool"]) == ("sim-leaf2", "big")
        found = facts.check(rates=False, tolerance=BUSY)
        assert {row.where for row in found.rows} == {"c1 w1", "c1 w2", "w1 w2"}, str(found)
        for attempt in (
            lambda: kinda.ping("w1", web),
            lambda: kinda.ping(web, "w1"),
            lambda: kinda.iperf(near, far),
            lambda: kinda.ping("w1", "sim-w4"),
            lambda: kinda.ping("sim-w4", "w1"),
            lambda: kinda.ping(near, "sim-w4"),
            lambda: web.exec("true"),
            lambda: cluster.logs("web"),
            lambda: kinda.exec("sim-w4", "true"),
            lambda: kinda.node("sim-w4").pause(),
            lambda: kinda.capture(web),
        ):
            began = time.monotonic()
            with pytest.raises(LabError, match="only an object: nothing runs there"):
                attempt()
            assert time.monotonic() - began < 5
        # neither kube-proxy nor a service's endpoints are there, and kube-proxy was not restarted
        pods = cluster.api.get("/api/v1/pods")["items"]
        there = [one for one in pods if one["spec"].get("nodeName") in racks.names]
        assert {one["metadata"]["name"] for one in there} == {"far", "web"}
        assert not any("podIP" in one["status"] for one in there)
        assert _around(kinda)["proxies"] == before["proxies"]
        assert kinda.verify().problems == ()

        def missing():
            return ", ".join({*racks.names} - {*_around(kinda)["leases"]})

        wait_until(missing, "a lease of each, without which it would not stay Ready", limit=30)
    assert _around(kinda) == before
    assert not kinda.faults
    assert not (kinda.directory / simulated.FILE).exists()
    assert not [*kinda.directory.glob("simulated*")]


def test_simulated_nodes_that_a_crash_leaves_are_removed(kinda):
    before = _around(kinda)
    nodes = kinda.simulated_nodes(2)
    assert nodes.names == ("sim-c1", "sim-w1")
    kinda.cluster.run_pod("left", node="sim-w1")
    with pytest.raises(ClusterError, match="has nodes sim-c1, sim-w1 already"):
        kinda.simulated_nodes(3)
    (fault,) = kinda.faults
    kinda._ledger.forget(fault)  # as if this process had ended
    nodes._held.end()
    with pytest.raises(ClusterError, match="what plays simulated nodes sim has ended"):
        kinda.cluster.wait_for("node/sim-w1", "Gone", timeout=20)
    kinda.cluster.api.alarms.clear()
    assert simulated.remove_left(kinda.cluster.api, kinda.directory) == ("sim",)
    assert _around(kinda) == before
    assert simulated.remove_left(kinda.cluster.api, kinda.directory) == ()
    nodes._remove()  # what is gone is no error
    assert "sim-w1" not in kinda.simulated


def _around(kinda):
    """What simulated nodes must leave as it was."""
    api = kinda.cluster.api
    listed = api.get("/apis/apps/v1/daemonsets")["items"]
    revisions = api.get("/apis/apps/v1/controllerrevisions")["items"]
    # those of real nodes may come and go: a kubelet makes its own in its own time
    leases = api.get(LEASES, {"labelSelector": GROUP})["items"]
    query = {"labelSelector": "k8s-app=kube-proxy"}
    return {
        "nodes": [one["metadata"]["name"] for one in api.get("/api/v1/nodes")["items"]],
        "leases": [one["metadata"]["name"] for one in leases],
        "daemonsets": [one["spec"] for one in listed],
        "revisions": [one["metadata"]["name"] for one in revisions],
        "proxies": [one["metadata"]["uid"] for one in api.get("/api/v1/pods", query)["items"]],
    }


def test_the_documented_application(kinda):
    (text,) = [one for one in examples().values() if "def test_shop_on_a_cluster" in one]
    execute("experiments.md", text)["test_shop_on_a_cluster"](kinda)


def test_a_trace_arrives_as_pods(kinda):
    some = [
        Arrival(0.0, "first", requests={"cpu": "10m"}, duration=0.3, group="LS"),
        Arrival(0.2, "second", requests={"cpu": "20m"}),
    ]
    found = kinda.replay(trace(some))
    assert [one.arrival.name for one in found] == ["first", "second"]
    kinda.cluster.wait_for("pod/first", "deleted", timeout=30)
    (left,) = kinda.placements("trace=yes", timeout=30.0)
    assert left.pod == "second"
    asked = kinda.cluster.get("pod/second")["spec"]["containers"][0]["resources"]
    assert asked == {"requests": {"cpu": "20m"}}


@pytest.mark.kinda_experiment(
    arms={"default": shop.default, "extender": shop.extender}, repetitions=2, warmup=0
)
def test_an_extender_that_reads_the_facts_places_better(kinda, trial, request):
    """The short form of an example; each trial finds the cluster as the first one found it."""
    listed = kinda.cluster.get("namespaces")["items"]
    ours = [one for one in listed if "pytest-kinda/testbed" in one["metadata"]["labels"]]
    names = {one["metadata"]["name"] for one in ours} - {kinda.cluster.namespace}
    pods = kinda.cluster.api.get("/api/v1/pods")["items"]
    assert [one for one in pods if one["metadata"]["namespace"] in names] == []
    placed, found = shop.run_shop(kinda, trial, store="c1", bandwidth="5mbit", seconds=1)
    near = trial.arm == "extender"
    assert (placed.cost(shop.EDGES) == 3 * 2) is near, str(placed)  # of each at w2 it is 10
    assert bool(placed.crossing("r1--r2", shop.EDGES)) is not near
    rows = read_rows(request.config.stash[EXPERIMENTS].directory)
    (row,) = [one for one in rows if one.metric == "carried"][-1:]
    assert (row.topology, row.scheduler) == ("delays-direct", trial.scheduler)
    assert row.kubernetes.startswith("v1.")
    assert row.topology_hash
    trips = {
        arm: [one.value for one in rows if (one.metric, one.arm) == ("round trip", arm)]
        for arm in ("default", "extender")
    }
    # across the slow link (20 ms) nothing is faster; elsewhere it may be as slow on a busy machine
    assert all(one > 19 for one in trips["default"]), str(found)
    if [*map(len, trips.values())] == [2, 2]:
        assert min(trips["extender"]) < min(trips["default"]), str(trips)
    mine = [one for one in rows if (one.arm, one.repetition) == (trial.arm, trial.repetition)]
    assert {one.workload: one.node for one in mine if one.row == "place"} == {
        one.workload: one.node for one in placed
    }
    loads = {(one.link, one.node): one.value for one in mine if one.row == "load"}
    assert (loads["r1--r2", "r2"] > 100e3) is not near, loads


def _merge(kinda, spec):
    image = kinda.cluster._image()
    return {"containers": [{**one, "image": image} for one in spec["containers"]]}


@pytest.fixture(scope="module")
def kube_scheduler(tmp_path_factory):
    """kube-scheduler as a program: all of a node's are one, which goes by the name it is called."""
    path = tmp_path_factory.mktemp("bin") / "kube-scheduler"
    path.symlink_to(program("kubectl"))
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if not said.stdout.startswith("Kubernetes v1."):
        pytest.skip("kubectl of this machine is no kube-scheduler: it is not the node image's")
    return str(path)


def asking(name, **more):
    return {"schedulerName": name, **more}


def on(node):
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def test_an_extender_of_a_few_lines_decides(kinda, kube_scheduler):
    link = kinda.link("w1", "r1")

    def refuse(pod, nodes):
        busy = link.counters().packets_a_to_b > before
        return {"w1": "its link is busy"} if busy else {}

    def prefer(pod, nodes):
        return {"w1": 10}

    before = 10**12
    options = {"mode": "process", "command": kube_scheduler, "filter": refuse, "score": prefer}
    with kinda.scheduler("quiet", verbosity=10, **options) as quiet:
        first = kinda.cluster.run_pod("first", spec=asking(quiet.name))
        assert first.node == "w1"
        why = kinda.explain(first)
        assert why.winners == ("w1",), str(why)
        before = 0
        assert kinda.cluster.run_pod("second", spec=asking(quiet.name)).node == "w2"
        kinda.cluster.run_pod("third", wait=False, spec=asking(quiet.name, **on("w1")))
        kinda.assert_unschedulable("third", reason="its link is busy", hold=0.1)
        assert quiet.extender.asked >= 4
    assert not kinda.faults
    assert kinda.cluster.api.alarms == []


def test_an_extender_that_fails_ends_a_wait(kinda, kube_scheduler):
    def refuse(pod, nodes):
        raise ZeroDivisionError("no load")

    with (
        pytest.raises(SchedulerError, match=r"(?s)filter failed for pod web.*no load"),
        kinda.scheduler("odd", mode="process", command=kube_scheduler, filter=refuse),
    ):
        kinda.cluster.run_pod("web", spec=asking("odd"))
    assert not kinda.faults


def test_a_scheduler_that_dies_ends_every_wait(kinda, kube_scheduler, tmp_path):
    wrong = {"profiles": [{"plugins": {"filter": {"enabled": [{"name": "Nonsense"}]}}}]}
    with pytest.raises(SchedulerError, match=r"(?s)exit status 1.*Nonsense"):
        kinda.scheduler("dying", mode="process", command=kube_scheduler, config=wrong)
    note = tmp_path / "pid"
    argv = ["sh", "-c", f"echo $$ > {note}; exec {kube_scheduler} --config={{config}}"]
    dying = kinda.scheduler("dying", mode="process", command=argv)
    os.kill(int(note.read_text()), signal.SIGABRT)
    began = time.monotonic()
    with pytest.raises(SchedulerError, match="scheduler dying has died: exit status 2"):
        kinda.cluster.run_pod("web", spec=asking("dying"))
    assert time.monotonic() - began < 10
    dying.stop()
    assert not kinda.faults


def test_a_scheduler_that_nobody_runs_is_told(kinda):
    with pytest.raises(WaitTimeoutError, match="nobody runs one named 'nobody'"):
        kinda.cluster.run_pod("web", spec=asking("nobody"), timeout=1.0)


RULE = {"apiGroups": ["example.com"], "resources": ["networks"], "verbs": ["get"]}


@pytest.mark.kinda_scheduler("beside", mode="second", rules=[RULE])
def test_a_second_scheduler_beside_the_clusters_own(kinda, kinda_scheduler):
    beside = kinda_scheduler
    assert kinda.cluster.run_pod("web", spec=asking(beside.name, **on("w1"))).node == "w1"
    kinda.cluster.run_pod("cart", spec=on("w1"))
    assert beside.logs()
    assert (kinda.directory / FILE).exists()
    told = "beside and default-scheduler have both placed pods on w1"
    with pytest.warns(SchedulerWarning, match=told):
        beside.stop()
    assert not (kinda.directory / FILE).exists()
    left = kinda.kubectl("get", "pods,sa,cm", "-n", "kube-system", "-o", "name").stdout
    assert "kinda-beside" not in left
    assert "kinda-beside" not in kinda.kubectl("get", "clusterrolebindings", "-o", "name").stdout


def test_the_clusters_own_scheduler_is_what_it_was_also_after_a_crash(kinda):
    own = StaticPod(kinda.cluster.api, kinda.node("c1"), "kube-scheduler", kinda.directory)
    manifest, pod = own.manifest(), own.pod()
    packing = {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}
    fit = {"name": "NodeResourcesFit", "args": {"scoringStrategy": packing}}
    config = {"profiles": [{}, {"schedulerName": "packing", "pluginConfig": [fit]}]}
    kinda.scheduler("packing", mode="replace", command="kube-scheduler", config=config)
    half = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}]}
    half = _merge(kinda, half)
    names = [f"web{number}" for number in range(3)]
    pods = [kinda.cluster.run_pod(one, spec=asking("packing", **half)) for one in names]
    assert len({one.node for one in pods}) == 1
    assert (kinda.directory / CHANGED).exists()
    (fault,) = kinda.faults
    kinda._ledger.forget(fault)  # as if this process had ended
    kinda.cluster.api.alarms.clear()
    assert put_back_left(kinda.cluster.api, kinda.directory, kinda.node) == (own.name,)
    assert own.manifest() == manifest
    key = "kubernetes.io/config.hash"
    assert own.pod()["metadata"]["annotations"][key] == pod["metadata"]["annotations"][key]
    assert not kinda.node("c1").exists("/etc/kubernetes/kinda-scheduler.json")
    assert not (kinda.directory / CHANGED).exists()
    kinda.cluster.run_pod("after")


DOCUMENTED = {
    name: value
    for place, text in examples().items()
    if place.startswith("scheduling.md")
    for name, value in execute(place, text).items()
    if name.startswith("test_") and [*inspect.signature(value).parameters] == ["kinda"]
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documentations_examples(kinda, name):
    DOCUMENTED[name](kinda)


NETWORK = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles:
- schedulerName: network
  plugins:
    queueSort:
      disabled: [{name: "*"}]
      enabled: [{name: TopologicalSort}]
    multiPoint:
      enabled: [{name: NetworkOverhead, weight: 10}, {name: Coscheduling}]
    score:
      disabled: [{name: Coscheduling}]
  pluginConfig:
  - {name: NetworkOverhead, args: {namespaces: [default]}}
  - {name: TopologicalSort, args: {namespaces: [default]}}
"""


def test_schedulers_plugins_place_by_what_the_facts_say(kinda):
    if not scheduling.scheduler_plugins().exists():
        pytest.skip("scheduler-plugins are not built here")
    known = definitions(DIKTYO)
    groups = {"networktopology.diktyo.x-k8s.io", "appgroup.diktyo.x-k8s.io", "scheduling.x-k8s.io"}
    crds = [one for (group, _), one in known.items() if group in groups]
    options = {"mode": "process", "binary": "@scheduler-plugins", "config": NETWORK}
    with pytest.raises(SchedulerError, match="NetworkOverhead needs the kind AppGroup"):
        kinda.scheduler(**options)
    group = app_group("shop", [("web", "store")])
    facts = kinda.network_facts()
    with (
        kinda.scheduler(crds=crds, **options) as network,
        facts.apply(("diktyo", {"zone": "node", "name": "nt-default"}), [group]),
    ):
        kinda.cluster.run_pod("store", node="c1", labels=pod_labels("shop", "store"))
        for number in range(3):
            web = f"web{number}"
            labels = pod_labels("shop", "web")
            pod = kinda.cluster.run_pod(web, labels=labels, spec=asking(network.name))
            assert pod.node == "w1", str(kinda.explain(pod))  # cost 2, of w2 it is 10
        gang = {"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup"}
        metadata = {"name": "both", "namespace": kinda.cluster.namespace}
        gang = kinda.publish([{**gang, "metadata": metadata, "spec": {"minMember": 2}}])
        together = {"scheduling.x-k8s.io/pod-group": "both"}
        more = {"labels": together, "spec": asking(network.name), "wait": False}
        one = kinda.cluster.run_pod("one", **more)
        kinda.assert_unschedulable(one, hold=0.1)
        two = kinda.cluster.run_pod("two", **more)
        for pod in (one, two):
            pod.wait_for("Ready")
        gang.withdraw()
    assert not kinda.faults


def test_a_pod_that_would_crash_the_scheduler_is_told(kinda):
    if not scheduling.scheduler_plugins().exists():
        pytest.skip("scheduler-plugins are not built here")
    known = definitions(DIKTYO)
    crds = [one for (group, _), one in known.items() if "x-k8s.io" in group]
    options = {"mode": "process", "binary": "@scheduler-plugins", "config": NETWORK}
    with kinda.scheduler(crds=crds, **options) as network:
        labels = pod_labels("nowhere", "web")
        with pytest.raises(SchedulerError, match="pod lost names AppGroup nowhere, which is not"):
            kinda.cluster.run_pod("lost", labels=labels, spec=asking(network.name))
