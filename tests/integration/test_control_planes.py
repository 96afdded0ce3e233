"""Several control planes behind kind's load balancer: a cluster that outlives one of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_kinda import ControlPlane, Link, Router, Testbed, Topology, Worker
from pytest_kinda.build import balancer, on_demand
from pytest_kinda.build.engine_api import containers_of, inspect
from pytest_kinda.build.kind import cluster_name
from pytest_kinda.build.labels import CLUSTER_LABEL
from pytest_kinda.build.nodes import docker_addresses
from pytest_kinda.build.owners import owner_of
from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import ClusterError, KindaError
from pytest_kinda.plan import PlanOptions
from tests.support.builds import await_true
from tests.support.machine import AFTER_A_KILL, await_same, snapshot

pytestmark = pytest.mark.slow

CONTROLS = ("c1", "c2", "c3")
TOPOLOGY = Topology(
    name="three-controls",
    nodes=[*map(ControlPlane, CONTROLS), Worker("w1"), Router("r1")],
    links=[Link(one, "r1") for one in (*CONTROLS, "w1")],
)
SURVIVAL_LIMIT = 30.0
"""Seconds within which the API must answer without one of three: the balancer's health checks give
a server up after 10 s at most, and a busy machine answers late."""
NUMBERS = count(1)


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """It stands for this file's tests; after it the machine is as it was."""
    home = tmp_path_factory.mktemp("home") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home))
        # what is made once is no part of what a testbed leaves
        on_demand.make([balancer.IMAGE], print)
        before = snapshot(home)
        with Testbed(TOPOLOGY, options=PlanOptions(engine="direct")) as made:
            label = f"{CLUSTER_LABEL}={cluster_name(made.id)}"
            assert len(containers_of(label)) == len(TOPOLOGY.kubernetes_nodes) + 1
            yield made
        assert containers_of(label) == []
        await_same(before, home, AFTER_A_KILL)


def system_pods(testbed: Testbed, component: str) -> dict[str, str]:
    """The node of each pod of a component, by name, of those that are Ready."""
    argv = ("get", "pods", "-n", "kube-system", "-l", f"component={component}")
    items = testbed.kubectl(*argv, json=True)["items"]
    return {
        one["metadata"]["name"]: one["spec"]["nodeName"]
        for one in items
        if any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in one["status"].get("conditions", ())
        )
    }


def answers(testbed: Testbed) -> bool:
    """Whether the API answers over a new connection, and writes."""
    argv = ("annotate", "node", "w1", "--overwrite", "tests/asked=yes", "--request-timeout=3s")
    try:
        return testbed.kubectl.run(*argv, check=False, timeout=10).ok
    except ClusterError:  # the namespace of the first command is made by a request, too
        return False


def answers_each_time(testbed: Testbed) -> bool:
    """The balancer takes turns: it has given one up when nobody waits for that one any more."""
    return all(answers(testbed) for _ in range(len(CONTROLS) + 1))


def runs_a_pod(testbed: Testbed) -> bool:
    """Whether a pod is made and runs; the two that are left of etcd may choose a leader anew."""
    name = f"during-{next(NUMBERS)}"
    try:
        pod = testbed.cluster.run_pod(
            name, node="w1", command=["sleep", "600"], namespace="default"
        )
        return pod.exec("hostname").stdout.strip() == name
    except ClusterError as error:
        if "etcd" in str(error) or "does not answer" in str(error):
            return False
        raise


def address_of(testbed: Testbed, name: str) -> dict[str, str]:
    return docker_addresses(testbed.standing.containers[name], cluster_name(testbed.id))


def test_every_control_plane_is_a_node_of_the_network(testbed: Testbed) -> None:
    items = testbed.kubectl("get", "nodes", json=True)["items"]
    found = {
        one["metadata"]["name"]: [
            each["address"] for each in one["status"]["addresses"] if each["type"] == "InternalIP"
        ]
        for one in items
    }
    assert found == {one.name: [one.endpoint] for one in testbed.plan.kubernetes_nodes}
    assert all(testbed.cluster.nodes_ready().values())
    for component in ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager"):
        assert sorted(system_pods(testbed, component).values()) == list(CONTROLS), component


def test_pods_talk_across_the_network_and_nothing_leaks(testbed: Testbed) -> None:
    before = testbed.leaks()
    server = testbed.cluster.run_pod("server", node="c3", command=["sleep", "600"])
    client = testbed.cluster.run_pod("client", node="w1", command=["sleep", "600"])
    with testbed.capture(testbed.link("w1", "r1"), filter="proto gre") as capture:
        client.exec("ping", "-c", "3", "-i", "0.2", server.ip)
    assert capture.count() >= 6
    assert client.exec("curl", "-ks", "https://kubernetes.default.svc/version").ok
    assert not testbed.leaks().since(before), str(testbed.leaks().since(before))
    assert testbed.verify(), str(testbed.verify())


def test_the_balancer_has_a_name_and_a_log(testbed: Testbed, tmp_path: Any) -> None:
    name = balancer.container_name(cluster_name(testbed.id))
    owner = owner_of(name)
    assert (owner.testbed, owner.node) == (testbed.id, "load balancer")
    pieces = {one.name: one.problem for one in testbed.evidence(tmp_path)}
    assert pieces["cluster/load-balancer.txt"] == ""
    assert "is UP" in (tmp_path / "cluster/load-balancer.txt").read_text()
    shown = CliRunner().invoke(kinda, ["logs", "-t", testbed.id]).output
    assert "is UP" in shown.partition("== load balancer\n")[2]


def test_the_api_outlives_one_of_three(testbed: Testbed) -> None:
    before = address_of(testbed, "c1")
    with testbed.node("c1").kill():
        await_true(lambda: answers_each_time(testbed), "the API without c1", 4 * SURVIVAL_LIMIT)
        await_true(lambda: runs_a_pod(testbed), "a pod made without c1", 4 * SURVIVAL_LIMIT)
    await_true(lambda: len(system_pods(testbed, "etcd")) == 3, "etcd on all three", 60)
    assert all(testbed.cluster.nodes_ready().values())
    networks = inspect(testbed.standing.containers["c1"])["NetworkSettings"]["Networks"]
    (joined,) = networks.values()
    assert joined["IPAMConfig"] == before, "a member of etcd must have its address again"


def test_the_api_outlives_one_that_is_frozen(testbed: Testbed) -> None:
    with testbed.node("c3").pause():
        await_true(lambda: answers_each_time(testbed), "the API without c3", 2 * SURVIVAL_LIMIT)
    await_true(lambda: answers(testbed), "the API with c3", SURVIVAL_LIMIT)


def test_a_balancer_that_starts_again_finds_them_all(testbed: Testbed) -> None:
    name = balancer.container_name(cluster_name(testbed.id))
    argv = ["docker", "restart", "-t", "5", name]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    await_true(lambda: answers(testbed), "the API after the balancer's restart", SURVIVAL_LIMIT)


def test_who_asks_for_the_traffic_on_the_network_is_refused_when_it_is_planned() -> None:
    with pytest.raises(KindaError, match="load balancer, which is on Docker's network only"):
        Testbed(TOPOLOGY, options=PlanOptions(control_plane_traffic="network"))
