"""What the peer, kinda-p4, shows in its README and its examples, on one cluster.

A tree with a root outside of the cluster, an address at each end of every link, and no route
beyond a router but those that its startup commands make.
"""

from __future__ import annotations

import urllib.request

import networkx
import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Topology, Worker
from tests.support.topologies import DIRECT

pytestmark = [pytest.mark.slow, pytest.mark.beside]

WEB = "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"


def by_hand(name: str, *routes: str) -> Router:
    """A router whose routes are these and no others."""
    return Router(name, routing=None, startup_commands=[f"ip route add {one}" for one in routes])


TREE = Topology(
    name="rooted-tree",
    nodes=[
        Host("internet"),
        by_hand("gateway", "10.0.4.0/23 via 10.0.2.2", "10.0.6.0/23 via 10.0.3.2"),
        by_hand("r1", "default via 10.0.2.1"),
        by_hand("r2", "default via 10.0.3.1"),
        Worker("w1", labels={"hosting": "app"}),
        Worker("w2"),
        Worker("w3", labels={"hosting": "store"}),
        ControlPlane("c1"),
    ],
    links=[
        Link("internet", "gateway", ipv4=("10.0.1.1/24", "10.0.1.2/24")),
        Link("gateway", "r1", ipv4=("10.0.2.1/24", "10.0.2.2/24")),
        Link("gateway", "r2", ipv4=("10.0.3.1/24", "10.0.3.2/24")),
        Link("r1", "w1", ipv4=("10.0.4.1/24", "10.0.4.2/24")),
        Link("r1", "w2", ipv4=("10.0.5.1/24", "10.0.5.2/24")),
        Link("r2", "w3", ipv4=("10.0.6.1/24", "10.0.6.2/24")),
        Link("r2", "c1", ipv4=("10.0.7.1/24", "10.0.7.2/24")),
    ],
)
"""Two routers below a gateway, workers below those; what the peer's README builds."""

UNROUTED = Topology(
    name="rooted-tree-unrouted" + DIRECT,
    nodes=[
        *(Router(name, routing=None) for name in ("gateway", "r1", "r2")),
        *(Host(name) for name in ("internet", "w1", "w2", "w3", "c1")),
    ],
    links=TREE.links,
)
"""The same tree of devices only, whose routers are told nothing."""


# The README's program


@pytest.mark.topology(UNROUTED)
def test_nothing_is_routed_unless_startup_commands_do_it(kinda):
    reached = kinda.reachability(every_address=True).pairs
    # the next router answers at the address on the shared link only
    assert kinda.node("w1").exec("ping", "-nc1", "-W1", "10.0.4.1", check=False).ok
    assert not reached["w1", "internet"]
    assert not reached["internet", "w3"]
    assert not reached["r1", "r2"]


@pytest.mark.topology(TREE)
def test_the_tree_stands_at_the_addresses_of_its_ends(kinda):
    assert networkx.is_tree(networkx.Graph(TREE.to_networkx()))
    addresses = {
        address
        for node in kinda.nodes
        for interface in node.interfaces
        for address in interface.addresses
    }
    assert addresses == {one for link in TREE.links for one in link.ipv4}
    found = kinda.verify(wait=3.0)
    assert found, str(found)
    # every way to the root goes up the tree
    for leaf, router in {"w1": "r1", "w2": "r1", "w3": "r2", "c1": "r2"}.items():
        assert kinda.trace(leaf, "internet").nodes == (leaf, router, "gateway", "internet")


# Its examples


@pytest.mark.topology(TREE)
def test_several_services_and_a_node_port_from_an_external_host(kinda):
    """An app that asks a store for its data, reached by a machine outside of the cluster."""
    cluster = kinda.cluster
    store = WEB.replace("hello", "42").replace("-p 80", "-p 6379")
    (stored,) = cluster.deploy(
        "store",
        command=["sh", "-c", store],
        ports=[6379],
        spec={"nodeSelector": {"hosting": "store"}},
    )
    cluster.expose("store", port=6400, target_port=6379)
    (config,) = cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "app", "namespace": cluster.namespace},
            "data": {"store": f"http://store.{cluster.namespace}.svc.cluster.local:6400"},
        }
    )
    answer = r'#!/bin/sh\nprintf "\r\n"; echo "$(hostname): $(curl -sS -m 5 "$STORE")"\n'
    serve = (
        f"mkdir -p /tmp/app/cgi-bin; printf '{answer}' > /tmp/app/cgi-bin/value;"
        " chmod +x /tmp/app/cgi-bin/value; exec httpd -f -p 3002 -h /tmp/app"
    )
    (app,) = cluster.deploy(
        "app",
        command=["sh", "-c", serve],
        env={"STORE": config["data"]["store"]},
        ports=[3002],
        spec={"nodeSelector": {"hosting": "app"}},
    )
    (port,) = cluster.expose("app", port=8081, target_port=3002, kind="NodePort")["spec"]["ports"]
    assert (app.node, stored.node) == ("w1", "w3")
    client = kinda.device("internet")
    for node in ("w1", "w2", "w3", "c1"):
        url = f"http://{kinda.node(node).ip}:{port['nodePort']}/cgi-bin/value"
        # what the app asks of the store crosses the tree as GRE
        with kinda.capture(kinda.link("r2", "w3"), filter="proto gre") as capture:
            assert client.exec("curl", "-sS", "-m", "9", url).lines == [f"{app.name}: 42"], node
        assert capture.count() > 4
    assert not kinda.leaks(), str(kinda.leaks())


@pytest.mark.topology(TREE)
def test_one_service_of_five_replicas_through_a_forwarded_port(kinda):
    serve = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
    pods = kinda.cluster.deploy("web", replicas=5, command=["sh", "-c", serve], ports=[80])
    assert {pod.node for pod in pods} <= {"w1", "w2", "w3"}
    (port,) = kinda.cluster.expose("web", port=8008, target_port=80, kind="NodePort")["spec"][
        "ports"
    ]
    url = f"http://10.0.4.2:{port['nodePort']}/"
    names = {pod.name for pod in pods}
    ask = f"for i in $(seq 40); do curl -sS -m 5 {url}; done"
    # 40 connections that miss one of five replicas are once in 1,500 runs
    assert set(kinda.device("internet").shell(ask, timeout=60).lines) == names
    with (
        kinda.cluster.port_forward("service/web", 8008) as forward,
        urllib.request.urlopen(forward.url, timeout=5) as answer,
    ):
        assert answer.read().decode().strip() in names


@pytest.mark.parametrize(("protocol", "options"), [("TCP", "-dlk"), ("UDP", "-dluk")])
@pytest.mark.topology(TREE)
def test_a_job_sends_and_a_pod_on_another_node_receives(kinda, protocol, options):
    cluster = kinda.cluster
    receiver = cluster.run_pod("receiver", node="w3", command=["nc", options, "8959"])
    cluster.expose("receiver", port=8959, protocol=protocol)
    name = f"receiver.{cluster.namespace}.svc.cluster.local"
    udp = "-u" if protocol == "UDP" else ""
    send = f"echo from $(hostname) | nc -N {udp} -w 2 {name} 8959; echo sent"
    with kinda.capture(kinda.link("gateway", "r2"), filter="proto gre") as capture:
        (log,) = cluster.run_job("sender", node="w1", command=["bash", "-c", send])
    assert log.split()[-1] == "sent"
    assert "from sender-" in receiver.logs()
    assert any(one.gre and b"from sender-" in one.data for one in capture.packets)


@pytest.mark.topology(TREE)
def test_a_machine_outside_sends_to_a_pod(kinda):
    cluster = kinda.cluster
    receiver = cluster.run_pod("receiver", node="w2", command=["nc", "-dlk", "8959"])
    (port,) = cluster.expose("receiver", port=8959, kind="NodePort")["spec"]["ports"]
    send = f"printf '%50s\\n' outside | nc -N -w 5 10.0.4.2 {port['nodePort']}"
    kinda.device("internet").shell(send, timeout=20)
    assert "outside" in receiver.logs()


@pytest.mark.topology(TREE)
def test_a_job_reaches_the_outside(kinda):
    """The root is no part of the cluster: what is there is reached through the whole tree."""
    fetch = "curl -sS -m 5 --retry 9 --retry-delay 1 --retry-connrefused http://10.0.1.1/"
    serve = WEB.replace("hello", "outside").replace("httpd", "busybox httpd")
    with (
        kinda.device("internet").start("sh", "-c", serve),
        kinda.capture(kinda.link("internet", "gateway"), filter="tcp port 80") as capture,
    ):
        assert kinda.cluster.run_job("fetch", node="w3", command=fetch.split()) == ("outside\n",)
    # the outside knows nodes, not pods
    assert {one.ip.source for one in capture.packets} == {"10.0.6.2", "10.0.1.1"}
