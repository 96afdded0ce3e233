"""A cluster of both families: pods, nodes and services, inside GRE over links of both."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Topology, Worker
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed
from pytest_kinda.topology import Node
from tests.support.documents import examples, execute

TOPOLOGY = Topology(
    name="dual",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Host("h1")],
    links=[
        Link(one, "r1", ipv6=f"fd00:{number}::/64")
        for number, one in enumerate(("c1", "w1", "w2", "h1"), start=1)
    ],
)
WEB = "mkdir /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
ROUTE_PROTOCOLS = {
    "static": ("66", "66"),  # our mark on routes
    "ospf": ("ospf", "ospf"),
    "bgp": ("bgp", "bgp"),
    "rip": ("rip", "ripng"),
}
"""By each kind of routing, what the kernel says has made a route of IPv4 and of IPv6."""
MTU = 1476  # 1500 less an outer IPv4 header and GRE
FORWARDING = [Path(f"/proc/sys/net/ipv6/conf/{one}/forwarding") for one in ("all", "default")]

pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.xdist_group("dual_stack")]


@pytest.fixture(scope="module")
def dual() -> Iterator[Testbed]:
    options = PlanOptions(ip_family="dual", engine="direct")
    before = [one.read_text() for one in FORWARDING]
    with Testbed(TOPOLOGY, options=options) as made:
        yield made
    # Docker would make the whole machine an IPv6 router for a network with IPv6
    assert [one.read_text() for one in FORWARDING] == before
    assert not left_of(made.id)


@pytest.fixture(scope="module")
def pods(dual):
    run = dual.cluster.run_pod
    client = run("client", node="w1", namespace="default", wait=False)
    server = run("server", node="w2", namespace="default", command=["sh", "-c", WEB], ports=[80])
    return client.wait_for("Ready"), server


@pytest.fixture(scope="module")
def service(dual, pods):
    return dual.cluster.expose(
        "server", port=8008, target_port=80, kind="NodePort", namespace="default"
    )


def left_of(identity: str) -> list[str]:
    """What Docker and the machine's links still have of a testbed."""
    found: list[str] = []
    for argv in (
        ["docker", "ps", "-aq", "--filter", f"name={identity}"],
        ["docker", "network", "ls", "-q", "--filter", f"name={identity}"],
    ):
        found += subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return found


def by_ipv6(node):
    """The IPv6 address of a node's first link."""
    (found,) = (one for one in node.planned.interfaces[0].addresses if ":" in one)
    return found.partition("/")[0]


def fetch(place, address, port):
    url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
    return place.exec("curl", "-sS", "-m5", url).lines


def test_kubernetes_knows_both_addresses_of_nodes_pods_and_dns(dual, pods):
    for one in dual.kubectl("get", "nodes", json=True)["items"]:
        node = dual.node(one["metadata"]["name"])
        internal = [a["address"] for a in one["status"]["addresses"] if a["type"] == "InternalIP"]
        assert internal == [node.ip, node.ip6]
    client, server = pods
    assert len(client.ips) == len(server.ips) == 2
    assert server.ip6.startswith("fd00:10:244:2::")
    dns = dual.cluster.get("service/kube-dns", namespace="kube-system")["spec"]
    assert dns["clusterIPs"] == ["10.96.0.10", "fd00:10:96::a"]


def test_all_reach_all_by_both_families_and_nothing_leaks(dual):
    found = dual.verify(wait=3.0)
    assert found, str(found)
    assert len(found.pods.pairs) == len(found.pods6.pairs) == 6
    assert len(found.services) == 9
    assert dual.reachability(every_address=True, wait=3.0)


def test_both_families_cross_the_link_inside_gre(dual, pods):
    client, server = pods
    w1, w2 = dual.node("w1"), dual.node("w2")
    with dual.capture(dual.link("w2", "r1"), filter="proto gre") as capture:
        for address in server.ips:
            assert dual.ping(client, address, count=3).received == 3
    seen = set()
    for packet in capture.packets:
        assert {packet.ip.source, packet.ip.destination} == {w1.ip, w2.ip}
        seen.add((packet.inner.source, packet.inner.destination))
    assert {(client.ip, server.ip), (client.ip6, server.ip6)} <= seen
    assert {(server.ip, client.ip), (server.ip6, client.ip6)} <= seen
    assert dual.trace(client, server.ip6).nodes == ("w1", "r1", "w2")


@pytest.mark.parametrize(("family", "head"), [(4, 20), (6, 40)], ids=["IPv4", "IPv6"])
def test_packets_of_exactly_the_mtu_pass_and_tcp_fills_them(dual, pods, family, head):
    client, server = pods
    address = server.ips[family == 6]
    fits = MTU - head - 8
    assert dual.ping(client, address, size=fits, dont_fragment=True, count=1)
    larger = ("ping", "-nc1", "-W1", "-Mdo", f"-s{fits + 1}", address)
    assert not client.exec(*larger, check=False).ok
    found = dual.iperf(client, server, target=address, seconds=1)
    assert found.raw["start"]["tcp_mss_default"] in (MTU - head - 20, MTU - head - 32)
    assert found.received_bits_per_second > 100e6


def test_a_service_answers_on_both_its_addresses(dual, pods, service):
    client, _ = pods
    addresses = service["spec"]["clusterIPs"]
    assert [":" in one for one in addresses] == [False, True]
    for address in addresses:
        for place in (client, dual.node("w1"), dual.node("w2")):
            assert fetch(place, address, 8008) == ["hello"], (address, place)


def test_a_node_port_answers_on_addresses_of_both_families(dual, pods, service):
    client, _ = pods
    port = service["spec"]["ports"][0]["nodePort"]
    w1 = dual.node("w1")
    # w1 has no pod of the service: the answers of w2's must come back by way of the asked node
    for name in ("c1", "w1", "w2"):
        node = dual.node(name)
        for address in (node.ip, by_ipv6(node)):
            for place in (client, dual.node("c1"), w1):
                assert fetch(place, address, port) == ["hello"], (name, address, place)
    assert fetch(client, dual.node("w2").ip6, port) == ["hello"]
    assert fetch(dual.node("h1"), by_ipv6(w1), port) == ["hello"]


def test_pods_reach_devices_by_the_address_of_their_node(dual, pods):
    client, _ = pods
    six = by_ipv6(dual.node("h1"))
    with dual.capture(dual.link("h1", "r1"), filter="icmp6[icmp6type] = icmp6-echo") as capture:
        assert dual.ping(client, six, count=1)
    assert {one.ip.source for one in capture.packets} == {"fd00:2::1"}


def test_a_service_that_is_not_there_is_refused_at_once(dual, pods):
    client, _ = pods
    with dual.capture([dual.link("w1", "r1"), "w1:eth0"]) as capture:
        url = "http://[fd00:10:96::dead]:80/"
        answer = client.exec("curl", "-sS", "-m5", url, check=False)
    assert answer.rc == 7, answer  # could not connect; 28 would be "nobody answered"
    assert capture.count("ip6 and dst net fd00:10:96::/112") == 0


LEAK = """
echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
ip -6 route add fd00:10:9::77/128 dev eth0 src {own}
ip -6 neigh add fd00:10:9::77 lladdr 02:00:00:00:00:77 dev eth0
bash -c 'echo lost > /dev/udp/fd00:10:9::77/9'
ip -6 route del fd00:10:9::77/128 dev eth0
echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
"""


def test_the_guard_counts_what_leaks_by_ipv6(dual):
    before = dual.leaks()
    dual.node("w2").shell(LEAK.format(own=dual.node("w2").ip6))
    leaks = dual.leaks().since(before)
    assert leaks.packets == 1, str(leaks)
    assert f"{dual.node('w2').ip6} > fd00:10:9::77 udp 9" in str(leaks)


def test_a_node_that_starts_again_has_both_families_again(dual, pods):
    _, server = pods
    before = dual.leaks()
    dual.node("w1").restart()
    found = dual.verify(wait=3.0)
    found = dataclasses.replace(found, leaks=found.leaks.since(before))
    assert found, str(found)
    again = dual.cluster.run_pod("again", node="w1", namespace="default")
    for address in server.ips:
        assert dual.ping(again, address, count=2)


def test_the_example_of_the_documentation(dual, pods):
    (example,) = (
        names["test_both_families"]
        for place, text in examples().items()
        if "test_both_families" in text
        for names in [execute(place, text)]
    )
    dual.cluster.begin_namespace("example")
    try:
        example(dual)
    finally:
        dual.cluster.end_namespace()


def four_ways() -> Topology:
    """Three nodes and, for each way to make routes, two routers between the first and the last."""
    nodes: list[Node] = [ControlPlane("c1"), Worker("w1"), Worker("w2")]
    links = []
    for number, way in enumerate(ROUTE_PROTOCOLS):
        first, second = f"{way}1", f"{way}2"
        nodes += [Router(first, routing=way), Router(second, routing=way)]
        pairs = [("c1", first), ("w1", first), ("w2", second), (first, second)]
        links += [
            Link(a, b, ipv6=f"fd00:{number}:{at}::/64") for at, (a, b) in enumerate(pairs, start=1)
        ]
    return Topology("four-ways", nodes, links)


def test_routes_of_every_kind_carry_both_families_without_a_tunnel():
    options = PlanOptions(ip_family="dual", pods="routed", engine="direct")
    with Testbed(four_ways(), options=options) as routed:
        server = routed.cluster.run_pod("server", node="w2", namespace="default")
        client = routed.cluster.run_pod("client", node="w1", namespace="default")
        for way, protocols in ROUTE_PROTOCOLS.items():
            first, second = f"{way}1", f"{way}2"
            made_by = []
            for version, network in zip("46", routed.plan.node("w2").pod_cidrs, strict=True):
                argv = ("ip", f"-{version}", "-j", "route", "show", network)
                (route,) = routed.device(first).exec(*argv).json()
                made_by.append(route["protocol"])
            assert tuple(made_by) == protocols, way
            for near, far, pod in ((first, second, server), (second, first, client)):
                for address in pod.ips:
                    assert routed.trace(near, address).nodes == (near, far, pod.node), way
        ways = [routed.link("w2", f"{way}2") for way in ROUTE_PROTOCOLS]
        with routed.capture(ways, filter="icmp or icmp6 or proto gre") as capture:
            for address, head in zip(server.ips, (28, 48), strict=True):
                assert routed.ping(client, address, count=2, size=1500 - head, dont_fragment=True)
        assert capture.count("proto gre") == 0
        echoes = {(one.ip.source, one.ip.destination) for one in capture.packets if one.icmp}
        assert {(client.ip6, server.ip6), (server.ip6, client.ip6)} <= echoes
        leaks = routed.leaks()
        assert not leaks, str(leaks)
