"""Pods without a tunnel: BGP announces their networks, and packets cross the routers as sent."""

from __future__ import annotations

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Topology, Worker

TOPOLOGY = Topology(
    name="routed-pods",
    nodes=[
        ControlPlane("c1"),
        Worker("w1"),
        Worker("w2"),
        *(Router(f"r{n}", routing="bgp") for n in (1, 2, 3)),
        Host("h1"),
    ],
    links=[
        Link("c1", "r1"),
        Link("w1", "r1"),
        Link("r1", "r2"),
        Link("r1", "r3"),
        Link("r2", "r3"),
        Link("w2", "r2"),
        Link("w2", "r3"),
        Link("h1", "r3"),
    ],
)
"""The pods of w2 are reached over two routers."""

WEB = "mkdir /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(TOPOLOGY, engine="direct", pods="routed"),
]


@pytest.fixture(scope="module")
def pods(kinda):
    name = kinda.cluster.create_namespace("routed-pods")
    client = kinda.cluster.run_pod("client", node="w1", namespace=name)
    server = kinda.cluster.run_pod(
        "server", node="w2", namespace=name, command=["sh", "-c", WEB], ports=[80]
    )
    yield client, server
    kinda.cluster.delete_namespace(name)


def test_all_reach_all_and_nothing_leaks(kinda):
    found = kinda.verify(wait=3.0)
    assert found, str(found)
    assert len(found.pods.pairs) == 6


def test_bgp_announces_the_pods_of_a_node_by_both_its_routers(kinda):
    (network,) = kinda.plan.node("w2").pod_cidrs
    (route,) = kinda.device("r1").exec("ip", "-j", "route", "show", network).json()
    assert route["protocol"] == "bgp"
    assert len(route["nexthops"]) == 2


def test_packets_cross_the_routers_as_the_pods_sent_them(kinda, pods):
    client, server = pods
    with kinda.capture([kinda.link("w2", "r2"), kinda.link("w2", "r3")]) as capture:
        assert kinda.ping(client, server, count=5).received == 5
    assert capture.count("proto gre") == 0
    # the same trace that shows packets in GRE shows them without it
    way = kinda.trace(client, server)
    assert way.nodes in (("w1", "r1", "r2", "w2"), ("w1", "r1", "r3", "w2"))
    assert not any(one.tunnelled for one in way.sightings)
    echoes = {(one.ip.source, one.ip.destination) for one in capture.packets if one.icmp}
    assert {(client.ip, server.ip), (server.ip, client.ip)} <= echoes
    # no header is added: what fits a link fits a pod's packet
    assert client.exec("ping", "-nc1", "-W2", "-Mdo", "-s1472", server.ip).ok
    assert not client.exec("ping", "-nc1", "-W2", "-Mdo", "-s1473", server.ip, check=False).ok


def test_services_are_reached_from_pods_nodes_and_hosts(kinda, pods):
    client, server = pods
    service = kinda.cluster.expose(
        "server", port=8008, target_port=80, kind="NodePort", namespace=server.namespace
    )
    port = service["spec"]["ports"][0]["nodePort"]
    assert client.exec("curl", "-sS", "-m5", "http://server:8008/").lines == ["hello"]
    for name in ("c1", "w1", "w2"):
        url = f"http://{kinda.node(name).ip}:{port}/"
        for place in (kinda.device("h1"), kinda.node("c1")):
            assert place.exec("curl", "-sS", "-m5", url).lines == ["hello"], (name, place)
    assert not kinda.leaks(), str(kinda.leaks())


def test_pods_are_reached_around_a_cut_link(kinda, pods):
    client, server = pods
    with kinda.link("r1", "r2").down(), kinda.link("w2", "r2").down():
        assert kinda.ping(client, server, count=100, interval=0.1, wait=1).received
        assert kinda.ping(client, server, count=3, wait=5).received == 3


def test_what_is_for_no_pod_is_refused_at_once(kinda, pods):
    client, server = pods
    nobody = server.ip.rsplit(".", 1)[0] + ".200"
    with kinda.capture([kinda.link("w2", "r2"), kinda.link("w2", "r3")]) as capture:
        answer = client.exec("ping", "-nc1", "-W3", nobody, check=False)
    assert "Unreachable" in answer.stdout
    # it does not go back and forth between the node and its router until its time is over
    assert capture.count(f"dst host {nobody}") == 1
