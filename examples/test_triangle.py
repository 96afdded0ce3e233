"""The experiment of the README: three Kubernetes nodes, two routers, one slow link between them.

Pods on two workers talk across both routers. What crosses the slow link is looked at packet by
packet, what the link carries is measured, and nothing of it may take another way.
"""

from __future__ import annotations

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker

TRIANGLE = Topology(
    name="triangle",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")],
    links=[
        Link("c1", "r1"),
        Link("w1", "r1"),
        Link("w2", "r2"),
        Link("r1", "r2", rate="100mbit"),
    ],
)

pytestmark = pytest.mark.topology(TRIANGLE)


def test_every_node_reaches_every_other(kinda):
    verification = kinda.verify()
    print(verification)
    assert verification, str(verification)


def test_pod_traffic_crosses_the_slow_link(kinda):
    server = kinda.cluster.run_pod("server", node="w2", command=["iperf3", "-s"], ports=[5201])
    client = kinda.cluster.run_pod("client", node="w1", command=["sleep", "infinity"])
    leaked = kinda.leaks()

    with kinda.capture(kinda.link("r1", "r2"), filter="proto gre") as capture:
        result = client.exec("iperf3", "-c", server.ip, "-t", "3", "-J")

    rate = result.json()["end"]["sum_received"]["bits_per_second"]
    print(f"{capture.count()} packets in GRE, {rate / 1e6:.1f} Mbit/s")
    assert 80e6 < rate < 105e6

    data = [packet for packet in capture.packets if packet.inner and packet.inner.protocol == 6]
    to_server = [packet for packet in data if packet.inner.destination == server.ip]
    assert to_server
    outside = {(packet.ip.source, packet.ip.destination) for packet in to_server}
    inside = {packet.inner.source for packet in to_server}
    assert outside == {(kinda.node("w1").endpoint, kinda.node("w2").endpoint)}
    assert inside == {client.ip}

    assert not kinda.leaks().since(leaked), str(kinda.leaks())


def test_a_full_packet_passes_and_one_byte_more_does_not(kinda):
    server = kinda.cluster.run_pod("server", node="w2")
    client = kinda.cluster.run_pod("client", node="w1")
    # 1500 bytes of the links, less 24 for GRE and its IP header, less 28 for IP and ICMP.
    assert client.exec("ping", "-c", "1", "-M", "do", "-s", "1448", server.ip).ok
    assert not client.exec("ping", "-c", "1", "-M", "do", "-s", "1449", server.ip, check=False).ok
