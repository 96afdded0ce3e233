"""``internet_via``: what is outside is reached through one router, and through nothing else.

The cluster has two control planes behind a balancer, and both families of addresses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Testbed, Topology, Worker
from pytest_kinda.build import balancer, on_demand
from pytest_kinda.errors import CommandError
from pytest_kinda.plan import PlanOptions
from pytest_kinda.plan.naming import uplink_bridge
from tests.support.builds import await_true
from tests.support.machine import AFTER_A_KILL, await_same, snapshot
from tests.support.outside import ADDRESS, PAGE, REGISTRY_PORT, Outside, outside

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

CLUSTER = Topology(
    name="way-out",
    nodes=[
        *(ControlPlane(name) for name in ("c1", "c2")),
        Worker("w1"),
        Host("h1"),
        *(Router(name) for name in ("r1", "r2")),
    ],
    links=[*(Link(name, "r2") for name in ("c1", "c2", "w1", "h1")), Link("r1", "r2")],
)
"""A cluster behind r2; what is outside is behind r1."""


def hosts(routing: str) -> Topology:
    """A host at one router, another one at two; the way outside is two routers away."""
    return Topology(
        name=f"way-out-{routing}",
        nodes=[Host("h1"), Host("h2"), *(Router(f"r{n}", routing=routing) for n in (1, 2, 3))],
        links=[
            Link("h1", "r3"),
            Link("h2", "r3"),
            Link("h2", "r2"),
            Link("r3", "r2"),
            Link("r2", "r1"),
        ],
    )


def rules_and_links(bridge: str) -> list[str]:
    """What the machine has of an uplink's bridge, whoever else builds testbeds at the time."""
    argvs = (["iptables-save"], ["nft", "list", "ruleset"], ["ip", "-o", "link"], ["ip", "route"])
    lines = [
        line
        for argv in argvs
        if shutil.which(argv[0])
        for line in subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=20
        ).stdout.splitlines()
    ]
    return [line for line in lines if bridge in line]


@contextmanager
def standing(topology: Topology, home: Path, engine: str) -> Iterator[Testbed]:
    """A testbed with its way outside through r1; the machine is as before when it is gone."""
    options = PlanOptions(
        engine=engine,
        internet_via="r1",
        internet_dns=ADDRESS,
        ip_family="dual" if topology.kubernetes_nodes else "ipv4",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home))
        if topology is CLUSTER:
            # what is made once is no part of what a testbed leaves
            on_demand.make([balancer.IMAGE], print)
        before = snapshot(home)
        testbed = Testbed(topology, options=options)
        bridge = uplink_bridge(testbed.id)
        try:
            seen = rules_and_links(bridge)
            assert any("MASQUERADE" in one or "masquerade" in one for one in seen), seen
            yield testbed
        finally:
            testbed.close()
        assert rules_and_links(bridge) == []
        await_same(before, home, AFTER_A_KILL)


@pytest.fixture(scope="module")
def beyond() -> Iterator[Outside]:
    with outside() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(beyond: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    with standing(CLUSTER, tmp_path_factory.mktemp("state"), "direct") as found:
        yield found


FETCH = ("curl", "-sS", "-m", "10", "http://web.example/")
IN_VAIN = ("curl", "-sS", "-m", "3", f"http://{ADDRESS}/")


@pytest.mark.parametrize(("routing", "engine"), [("static", "kathara"), ("ospf", "direct")])
def test_hosts_reach_the_outside_through_the_router_alone(beyond, tmp_path, routing, engine):
    with standing(hosts(routing), tmp_path / "state", engine) as kinda:
        with kinda.capture(kinda.link("r2", "r1"), filter="port 80 or port 53") as capture:
            for name in ("h1", "h2", "r3"):
                assert kinda.node(name).exec(*FETCH).stdout.encode() == PAGE
        assert capture.count("tcp dst port 80") >= 9
        assert capture.count("udp dst port 53") >= 3
        seen = len(beyond.paths)
        with kinda.link("r2", "r1").down():
            for name in ("h1", "h2"):
                assert not kinda.node(name).exec(*IN_VAIN, check=False).ok
        assert len(beyond.paths) == seen
        await_true(
            lambda: kinda.node("h1").exec(*FETCH, check=False).ok, "the way outside", limit=30
        )
        if routing == "static":
            # a router that starts again gets its uplink back
            kinda.device("r1").restart()
            await_true(
                lambda: kinda.node("h2").exec(*FETCH, check=False).ok, "the way outside", limit=30
            )


def test_a_node_and_a_pod_fetch_a_page_by_name_through_the_router(cluster, beyond):
    before = cluster.leaks()
    asked = len(beyond.names)
    pod = cluster.cluster.run_pod("reader", node="w1")
    with cluster.capture(cluster.link("r1", "r2"), filter="port 80 or port 53") as capture:
        assert cluster.node("w1").exec(*FETCH).stdout.encode() == PAGE
        assert cluster.node("c1").exec(*FETCH).stdout.encode() == PAGE
        assert pod.exec(*FETCH).stdout.encode() == PAGE
    assert capture.count("tcp dst port 80") >= 9
    # CoreDNS, and the nodes themselves, ask the server outside: across the same link
    assert capture.count("udp dst port 53") >= 3
    assert beyond.names[asked:].count("web.example") >= 3
    # it sees this machine and nobody of the testbed
    assert beyond.peers == {"198.51.100.1"}
    since = cluster.leaks().since(before)
    assert not since, str(since)
    assert {one.others["pulls"].packets for one in since.nodes} == {0}
    assert cluster.verify(), str(cluster.verify())


def test_two_control_planes_have_both_families_and_their_pods_too(cluster):
    for one in cluster.kubectl("get", "nodes", json=True)["items"]:
        node = cluster.node(one["metadata"]["name"])
        internal = [a["address"] for a in one["status"]["addresses"] if a["type"] == "InternalIP"]
        assert internal == [node.ip, node.ip6]
    members = cluster.kubectl(
        *("get", "pods", "-n", "kube-system", "-l", "component=etcd"), json=True
    )["items"]
    assert sorted(one["spec"]["nodeName"] for one in members) == ["c1", "c2"]
    client, server = (cluster.cluster.run_pod(f"at-{one}", node=one) for one in ("w1", "c2"))
    with cluster.capture(cluster.link("c2", "r2"), filter="proto gre") as capture:
        for address in server.ips:
            assert cluster.ping(client, address, count=2).received == 2
    seen = {(one.inner.source, one.inner.destination) for one in capture.packets}
    assert {(client.ip, server.ip), (client.ip6, server.ip6)} <= seen


def test_there_is_no_way_outside_by_ipv6(cluster):
    before = cluster.leaks()
    pod = cluster.cluster.run_pod("of-both", node="w1")
    for one in (pod, cluster.node("w1"), cluster.node("c2")):
        answer = one.exec("curl", "-sS", "-m", "5", "http://[2001:db8::1]/", check=False)
        assert answer.rc == 7, answer  # refused, not waited for
    assert not cluster.leaks().since(before), str(cluster.leaks().since(before))


def test_a_job_reaches_the_outside(cluster):
    fetch = (*FETCH[:-1], "--retry", "3", "--retry-all-errors", FETCH[-1])
    assert cluster.cluster.run_job("fetch", node="w1", command=fetch) == (PAGE.decode(),)


def test_without_the_router_nothing_gets_out_and_images_are_pulled_all_the_same(cluster, beyond):
    pod = cluster.cluster.run_pod("cut-off", node="w1")
    before, seen, pulls = cluster.leaks(), len(beyond.paths), beyond.pulls
    with cluster.link("r1", "r2").down():
        for one in (cluster.node("w1"), cluster.node("c1"), pod):
            with pytest.raises(CommandError):
                one.exec(*IN_VAIN)
        # its name is asked for by containerd, directly as well
        image = f"registry.example:{REGISTRY_PORT}/nothing:1"
        cluster.cluster.run_pod("puller", node="w1", image=image, wait=False)
        await_true(lambda: beyond.pulls > pulls, "a pull", limit=30)
    since = cluster.leaks().since(before)
    assert not since, str(since)
    (w1,) = (one for one in since.nodes if one.node == "w1")
    assert w1.others["pulls"].packets >= 2
    assert len(beyond.paths) == seen
    for one in (cluster.node("w1"), pod):
        await_true(lambda one=one: one.exec(*FETCH, check=False).ok, "the way back", limit=20)


def test_without_its_own_link_a_node_is_refused_at_once(cluster, beyond):
    seen, before = len(beyond.paths), cluster.leaks()
    with cluster.link("w1", "r2").down():
        failed = cluster.node("w1").exec(*IN_VAIN, check=False)
    assert failed.rc == 7, failed  # refused, not waited for
    since = cluster.leaks().since(before)
    (w1,) = (one for one in since.nodes if one.node == "w1")
    assert w1.others["refused"].packets >= 1
    assert not since, str(since)
    assert len(beyond.paths) == seen
    await_true(lambda: cluster.node("w1").exec(*FETCH, check=False).ok, "the way back", limit=20)


def test_a_node_that_starts_again_reaches_the_outside_in_the_same_way(cluster):
    cluster.node("c1").restart()
    with cluster.capture(cluster.link("r1", "r2"), filter="port 80 or port 53") as capture:
        await_true(
            lambda: cluster.node("c1").exec(*FETCH, check=False).ok, "the way outside", limit=40
        )
    assert capture.count("tcp dst port 80") >= 3
    assert capture.count("udp dst port 53") >= 1
    assert not cluster.leaks(), str(cluster.leaks())
