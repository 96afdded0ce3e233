"""Clusters with IPv6 beside IPv4: networks, addresses, what is loaded, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.errors import PlanError
from pytest_kinda.operations import (
    AddAddress,
    AddRoute,
    AddTunnel,
    Hop,
    LoadNft,
    SetSysctl,
)
from pytest_kinda.plan import (
    HostFacts,
    Plan,
    PlanOptions,
    cni_operations,
    plan,
    start_operations,
    tunnel_operations,
)
from pytest_kinda.testbed.verification import services_of
from tests.support.declared import triangle

DUAL = PlanOptions(ip_family="dual")


def refused(options: PlanOptions, topology: Topology | None = None, **facts: Any) -> str:
    with pytest.raises(PlanError) as caught:
        plan(topology or triangle(), options, HostFacts(**facts))
    return str(caught.value)


def table(made: Plan) -> str:
    (found,) = (
        one.ruleset for one in start_operations(made, made.node("w1")) if isinstance(one, LoadNft)
    )
    return found


def test_each_node_has_a_network_of_either_family_and_the_address_of_its_tunnel() -> None:
    made = plan(triangle(), DUAL)
    w1 = made.node("w1")
    assert w1.pod_cidrs == ("10.244.1.0/24", "fd00:10:244:1::/64")
    assert w1.endpoint6 == "fd00:10:9::2"
    (tunnel,) = tunnel_operations(made, w1)
    assert isinstance(tunnel, AddTunnel)
    assert tunnel.addresses == (
        "fd00:10:9::2/128",
        "10.244.1.254/32",
        "fd00:10:244:1::fffe/128",
    )
    assert tunnel.aggregates == (
        "10.244.0.0/16",
        "fd00:10:244::/56",
        "fd00:10:9::/64",
        "fd00:10:96::/112",
    )
    assert tunnel.mtu == 1476
    behind = {one.pod_cidr: one.endpoint for one in tunnel.peers}
    far = made.node("w2").endpoint
    assert behind["10.244.2.0/24"] == behind["fd00:10:244:2::/64"] == far
    assert behind["fd00:10:9::3/128"] == far
    assert made.node("r1") == plan(triangle()).node("r1")


def test_kubernetes_is_told_of_both_families_and_kind_of_one() -> None:
    made = plan(triangle(), DUAL)
    assert made.cluster is not None
    kind = made.cluster.kind
    assert kind["networking"]["podSubnet"] == "10.244.0.0/16"
    (cluster,) = map(yaml.safe_load, kind["kubeadmConfigPatches"])
    assert cluster["networking"] == {
        "podSubnet": "10.244.0.0/16,fd00:10:244::/56",
        "serviceSubnet": "10.96.0.0/16,fd00:10:96::/112",
    }
    worker = yaml.safe_load(kind["nodes"][1]["kubeadmConfigPatches"][0])
    w1 = made.node("w1")
    assert worker["nodeRegistration"]["kubeletExtraArgs"] == {
        "node-ip": f"{w1.endpoint},{w1.endpoint6}"
    }
    assert services_of(made) == [("10.96.0.1", 443), ("10.96.0.10", 53), ("fd00:10:96::a", 53)]


def test_a_pod_gets_an_address_and_a_way_out_of_either_family() -> None:
    made = plan(triangle(), DUAL)
    (file,) = cni_operations(made, made.node("w1"))
    ipam = json.loads(file.content)["plugins"][0]["ipam"]
    assert ipam["ranges"] == [
        [{"subnet": "10.244.1.0/24", "rangeEnd": "10.244.1.253"}],
        [{"subnet": "fd00:10:244:1::/64", "rangeEnd": "fd00:10:244:1::fffd"}],
    ]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_a_node_has_ipv6_and_its_address_before_its_kubelet_looks() -> None:
    made = plan(triangle(), DUAL)
    found = start_operations(made, made.node("w1"))
    address = AddAddress("w1", "lo", "fd00:10:9::2/128")
    switch = SetSysctl("w1", "net.ipv6.conf.lo.disable_ipv6", "0")
    assert found.index(switch) < found.index(address)
    assert SetSysctl("w1", "net.ipv6.conf.all.forwarding", "1") in found
    single = plan(triangle())
    assert not any(
        isinstance(one, SetSysctl) and "ipv6" in one.key
        for one in start_operations(single, single.node("w1"))
    )


def test_the_guard_knows_members_leaks_and_services_of_ipv6() -> None:
    links = [
        Link("c1", "r1", ipv6="fd00:1::/64"),
        Link("w1", "r1"),
    ]
    text = table(plan(Topology("t", [ControlPlane("c1"), Worker("w1"), Router("r1")], links), DUAL))
    members = "elements = { fd00:1::/64, fd00:10:9::/64, fd00:10:96::/112, fd00:10:244::/56 }"
    assert members in text
    assert text.count("add @leaks6 { ip6 saddr . ip6 daddr . meta l4proto . th dport }") == 2
    assert text.count("\t\tip6 daddr fd00:10:96::/112 reject\n") == 2
    outside = "ip6 daddr != { fd00:10:244::/56, fd00:10:96::/112 } masquerade"
    assert f"ip6 saddr fd00:10:244::/56 {outside}" in text
    assert "fc00::/7" not in text
    assert "ip6 daddr fd00" not in table(plan(triangle()))


def test_nodes_share_a_network_that_is_given() -> None:
    made = plan(triangle(), PlanOptions(ip_family="dual", pod_cidr6="fd12::/100"))
    found = [made.node(name).pod_cidrs[1] for name in ("c1", "w1", "w2")]
    assert found == ["fd12::/102", "fd12::400:0/102", "fd12::800:0/102"]
    (tunnel,) = tunnel_operations(made, made.node("w2"))
    assert isinstance(tunnel, AddTunnel)
    assert tunnel.addresses[-1] == "fd12::800:fffe/128"
    small = PlanOptions(ip_family="dual", pod_cidr6="fd12::/111")
    assert "pod_cidr6: found fd12::/111 for 3 nodes; expected room for a /112" in refused(small)


def test_a_cni_of_the_authors_own_gets_both_networks() -> None:
    made = plan(triangle(), PlanOptions(ip_family="dual", cni="none"))
    assert made.cluster is not None
    (cluster,) = map(yaml.safe_load, made.cluster.kind["kubeadmConfigPatches"])
    assert "," in cluster["networking"]["podSubnet"]
    assert made.node("w1").endpoint6 == ""
    assert made.node("w1").sysctls["net.ipv6.conf.all.forwarding"] == "1"


def test_a_node_without_a_link_has_no_address_of_ours() -> None:
    made = plan(triangle().with_(without=["c1--r1"]), DUAL)
    assert made.node("c1").endpoint6 == ""
    assert not any(isinstance(one, AddAddress) for one in start_operations(made, made.node("c1")))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ip_family": "ipv6"}, "ip_family: found ipv6; expected ipv4 or dual: kind's network and"),
        ({"node_ip": "docker"}, "node_ip: found docker with ip_family='dual'; expected node_ip="),
        ({"pods": "routed"}, "links: found none with IPv6; expected ipv6= on a link of it"),
        ({"pod_cidr6": "10.1.0.0/16"}, "pod_cidr6: found '10.1.0.0/16'; expected an IPv6 network"),
        ({"service_cidr6": "fd01::/64"}, "service_cidr6: found fd01::/64; expected a /108"),
        ({"service_cidr6": "fd00:10:244::/112"}, "which overlaps service_cidr6"),
        ({"node_cidr6": "fd00:10:244::/64"}, "which overlaps node_cidr6"),
        ({"node_cidr6": "fd00:10:9::/127"}, "node_cidr6: found fd00:10:9::/127 for 3 nodes"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(options: dict[str, Any], expected: str) -> None:
    assert expected in refused(PlanOptions(**{"ip_family": "dual", **options}))


def test_links_of_this_machine_and_of_the_topology_are_looked_at() -> None:
    assert "ip_family: found dual, but it is switched off" in refused(DUAL, ipv6=False)
    nodes = [ControlPlane("c1"), Worker("w1"), Router("r1")]
    meets = [Link("c1", "r1", ipv6="fd00:10:244:7::/64"), Link("w1", "r1")]
    found = refused(DUAL, Topology("t", nodes, meets))
    assert "fd00:10:244:7::/64, which overlaps pod_cidr6 fd00:10:244::/56" in found
    narrow = [Link("c1", "r1", mtu=1303), Link("w1", "r1")]
    found = refused(DUAL, Topology("t", nodes, narrow))
    assert "dual with 1279 bytes for pods' packets; expected links with an mtu of 1304" in found
    plan(Topology("t", nodes, [Link("c1", "r1", mtu=1304), Link("w1", "r1")]), DUAL)


def test_plans_of_one_family_are_what_they_were() -> None:
    assert plan(triangle(), PlanOptions(pod_cidr6="fd01::/56")).cluster == plan(triangle()).cluster
    assert plan(triangle()).signature == plan(triangle(), PlanOptions(ip_family="ipv4")).signature
    assert plan(triangle()).signature != plan(triangle(), DUAL).signature


ROUTED = PlanOptions(ip_family="dual", pods="routed")


def six(**settings: Any) -> Topology:
    """Three nodes at two routers, every link with IPv6; w2 is at both."""
    pairs = [("c1", "r1"), ("w1", "r1"), ("w2", "r1"), ("w2", "r2"), ("r1", "r2")]
    return Topology(
        "six",
        [
            ControlPlane("c1"),
            Worker("w1"),
            Worker("w2"),
            Router("r1", **settings),
            Router("r2", **settings),
        ],
        [Link(a, b, ipv6=f"fd00:{number}::/64") for number, (a, b) in enumerate(pairs, 1)],
    )


def ways(made: Plan, name: str) -> dict[str, list[str]]:
    return {one.destination: [hop.gateway for hop in one.hops] for one in made.node(name).routes}


def test_routed_pods_are_reached_by_routes_of_either_family() -> None:
    made = plan(six(), ROUTED)
    assert ways(made, "r1")["fd00:10:244:1::/64"] == ["fd00:2::1"]
    assert ways(made, "r2")["fd00:10:244:2::/64"] == ["fd00:4::1"]
    assert ways(made, "r2")["fd00:10:244:1::/64"] == ["fd00:5::1"]
    assert ways(made, "r1")["fd00:10:9::2/128"] == ["fd00:2::1"]
    assert ways(made, "w1")["fd00:10:9::/64"] == ["fd00:2::2"]
    assert ways(made, "w1")["fd00:10:244::/56"] == ["fd00:2::2"]
    assert ways(made, "w2")["fd00:10:244:1::/64"] == ["fd00:3::2"]
    assert tunnel_operations(made, made.node("w1")) == (
        AddAddress("w1", "lo", "10.244.1.254/32"),
        AddRoute("w1", "10.244.1.0/24", ()),
        AddAddress("w1", "lo", "fd00:10:244:1::fffe/128"),
        AddRoute("w1", "fd00:10:244:1::/64", ()),
        AddRoute("w1", "fd00:10:96::/112", (Hop("", "eth1"),), "fd00:10:9::2"),
    )


@pytest.mark.parametrize(
    ("routing", "told"),
    [
        ("bgp", ["  network fd00:10:244:1::/64"]),
        ("ospf", ["router ospf6", " redistribute static metric-type 1"]),
        ("rip", ["router ripng", " redistribute static"]),
    ],
)
def test_protocols_announce_the_networks_of_either_family(routing: Any, told: list[str]) -> None:
    device = plan(six(routing=routing), ROUTED).node("r1").device
    assert device is not None
    (text,) = (one.text for one in device.files if one.path == "/etc/frr/frr.conf")
    assert "ip route 10.244.1.0/24 10.9." in text
    assert "ipv6 route fd00:10:244:1::/64 fd00:2::1 eth1" in text
    part = text[text.index(told[0]) :]
    assert all(one in part.partition("\nexit")[0] + "\n" for one in told)
    (ready,) = device.ready
    assert {"10.244.2.0/24", "fd00:10:244:2::/64"} < set(ready.argv)


def test_routed_pods_need_a_way_of_ipv6_between_all_nodes() -> None:
    cut = six().with_(links=[Link("c1", "r1")])
    assert "node c1: links: found none with IPv6" in refused(ROUTED, cut)
    nodes = [ControlPlane("c1"), Worker("w1"), Router("r1"), Router("r2")]
    links = [
        Link("c1", "r1", ipv6="fd00:1::/64"),
        Link("w1", "r2", ipv6="fd00:2::/64"),
        Link("r1", "r2"),
    ]
    found = refused(ROUTED, Topology("t", nodes, links))
    assert "no path to w1 by IPv6" in found
    plan(Topology("t", nodes, links), DUAL)
