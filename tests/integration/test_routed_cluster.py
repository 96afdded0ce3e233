"""Clusters whose network is routed by a protocol: pods, nodes with two links, the fat tree."""

from __future__ import annotations

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.generators import fat_tree

pytestmark = [pytest.mark.slow, pytest.mark.beside]

TWO_WAYS = Topology(
    name="two-ways-ospf",
    nodes=[
        ControlPlane("c1"),
        Worker("w1"),
        *(Router(f"r{n}", routing="ospf") for n in (1, 2, 3)),
    ],
    links=[
        Link("c1", "r1"),
        Link("r1", "r2"),
        Link("r1", "r3"),
        Link("r2", "r3"),
        Link("w1", "r2"),
        Link("w1", "r3"),
    ],
)
"""The worker's address is on its loopback; two routers announce it."""


def bgp(name: str) -> Router:
    """A router of a fat tree, each level of which is one autonomous system."""
    return Router(name, routing="bgp")


FAT_TREE = fat_tree(4, leaves="hosts", router=bgp, name="fat-tree-bgp")
FAT_TREE_CLUSTER = fat_tree(
    4,
    leaves=("control-plane", *["worker"] * 8, "host"),
    router=bgp,
    name="fat-tree-bgp-cluster",
)


@pytest.mark.topology(TWO_WAYS)
def test_a_worker_with_two_links_is_announced_by_both_its_routers(kinda):
    assert kinda.verify(), str(kinda.verify())
    (loopback,) = kinda.plan.node("w1").loopback
    far = kinda.device("r1").exec("ip", "-j", "route", "show", loopback).json()[0]
    assert far["protocol"] == "ospf"
    assert len(far["nexthops"]) == 2
    pod = kinda.cluster.run_pod("far", node="w1", command=["sleep", "infinity"])
    assert kinda.ping("c1", pod.ip, count=3).received == 3
    with kinda.link("r1", "r2").down():
        assert kinda.ping("c1", "w1", count=100, interval=0.1, wait=1).received
        assert kinda.ping("c1", pod.ip, count=1, wait=5).received


@pytest.mark.topology(FAT_TREE)
def test_a_fat_tree_of_hosts_spreads_flows_and_survives_a_cut(kinda):
    table = kinda.reachability(wait=3.0)
    assert table, str(table)
    # a host of another pod is reached over both aggregation routers
    edge = kinda.device("e1-1")
    (subnet,) = kinda.plan.segment("h16--e4-2").subnets
    (route,) = edge.exec("ip", "-j", "route", "show", subnet).json()
    assert len(route["nexthops"]) == 2
    summary = edge.exec("vtysh", "-c", "show bgp summary json").json()
    peers = summary["ipv4Unicast"]["peers"].values()
    assert [one["state"] for one in peers] == ["Established", "Established"]
    assert {one["remoteAs"] for one in peers} == {64513}
    with kinda.link("e1-1", "a1-1").down(), kinda.link("a4-1", "core1").down():
        assert kinda.ping("h1", "h16", count=100, interval=0.1, wait=1).received
        assert kinda.ping("h1", "h16", count=3, wait=5).received == 3


@pytest.mark.topology(FAT_TREE_CLUSTER)
def test_eight_workers_in_a_fat_tree_with_bgp(kinda):
    verification = kinda.verify(wait=3.0)
    assert verification, str(verification)
    server = kinda.cluster.run_pod("server", node="w8", command=["sleep", "infinity"])
    client = kinda.cluster.run_pod("client", node="w1", command=["sleep", "infinity"])
    # flows of one pair of nodes keep to one way: either of the edge router's uplinks
    uplinks = [kinda.link("e1-1", "a1-1"), kinda.link("e1-1", "a1-2")]
    with kinda.capture(uplinks, filter="proto gre") as capture:
        assert kinda.ping(client, server, count=5).received == 5
    assert capture.count() >= 5
