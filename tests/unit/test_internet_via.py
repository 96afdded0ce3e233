"""What a plan says of ``internet_via``, and what is refused."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import ControlPlane, Device, Host, Link, Router, Switch, Topology, Worker
from pytest_kinda.build.facts import machine_nameservers
from pytest_kinda.build.pulls import in_a_group
from pytest_kinda.errors import PlanError
from pytest_kinda.operations import AddBridgePort, AddRoute, AddRule, Hop, LoadNft, WriteFile
from pytest_kinda.plan import (
    HostFacts,
    Plan,
    PlanOptions,
    configure_operations,
    plan,
    rewire_operations,
    start_operations,
    wire_operations,
)
from pytest_kinda.plan.naming import uplink_bridge
from pytest_kinda.plan.outside import PULL_GROUP, TABLE
from pytest_kinda.testbed.leaks import Count, parse_guard, with_outside
from tests.support.declared import way_out

VIA = PlanOptions(internet_via="r1")
FACTS = HostFacts(nameservers=("192.0.2.1",), networks={"docker bridge": "172.30.1.0/24"})


def of(kind: Any, operations: Any) -> list[Any]:
    return [one for one in operations if isinstance(one, kind)]


def default(made: Plan, name: str) -> set[str]:
    """Whom a node sends to what it has no other route for."""
    routes = [one for one in made.node(name).routes if one.destination == "0.0.0.0/0"]
    return {hop.gateway for one in routes for hop in one.hops}


def addresses(made: Plan, name: str) -> set[str]:
    return {one.partition("/")[0] for each in made.node(name).interfaces for one in each.addresses}


def test_default_routes_lead_to_the_router_by_the_shortest_way() -> None:
    made = plan(way_out(), VIA, FACTS)
    for name, following in (("c1", "r2"), ("w1", "r2"), ("h1", "r2"), ("r2", "r1"), ("w2", "r1")):
        assert default(made, name), name
        assert default(made, name) <= addresses(made, following), name
    assert default(made, "r1") == set()
    assert all(default(plan(way_out()), name) == set() for name in ("c1", "w1", "w2", "r2"))


def test_a_nodes_own_way_outside_is_in_a_table_of_its_own() -> None:
    made = plan(way_out(), VIA, FACTS)
    for name, table in (("w1", str(TABLE)), ("r2", "main"), ("h1", "main")):
        found = of(AddRoute, configure_operations(made, made.node(name)))
        (route,) = (one for one in found if one.destination == "0.0.0.0/0")
        assert route.table == table
    rules = of(AddRule, start_operations(made, made.node("w1")))
    assert [(one.table, one.longer_than, bool(one.mask)) for one in rules] == [
        ("main", 0, False),
        ("main", None, True),
        (str(TABLE), None, False),
    ]
    (text,) = (
        one.ruleset
        for one in of(LoadNft, start_operations(made, made.node("w1")))
        if one.table == "kinda_outside"
    )
    assert f"meta skgid {PULL_GROUP}" in text
    assert made.cluster is not None
    for inside in ("10.9.0.0/16", made.cluster.docker_subnet, "10.96.0.0/16"):
        assert inside in text


def test_the_uplink_is_a_network_beside_all_others_and_comes_back_with_its_device() -> None:
    made = plan(way_out(), VIA, FACTS)
    assert made.uplink is not None
    assert made.cluster is not None
    used = [made.cluster.docker_subnet, "172.30.1.0/24", "10.9.0.0/16"]
    subnet = ipaddress.ip_network(made.uplink.subnet)
    assert not any(subnet.overlaps(ipaddress.ip_network(one)) for one in used)
    bridges = {one.name: f"kt-{one.name}" for one in made.segments}
    for operations in (
        wire_operations(made, bridges, "t1"),
        rewire_operations(made, "r1", ["r2"], bridges, "t1"),
    ):
        cables = of(AddBridgePort, operations)
        (cable,) = (one for one in cables if one.bridge == uplink_bridge("t1"))
        assert cable.end.place == "r1"
    again = of(AddRoute, rewire_operations(made, "r1", ["r2"], bridges, "t1"))
    assert [Hop(made.uplink.gateway, cable.end.interface)] in [list(one.hops) for one in again]


@pytest.mark.parametrize("given", ["", "203.0.113.1, 203.0.113.2"])
def test_everybody_asks_the_name_servers_outside(given: str) -> None:
    made = plan(way_out(), PlanOptions(internet_via="r1", internet_dns=given), FACTS)
    servers = [one.strip() for one in given.split(",")] if given else ["192.0.2.1"]
    text = "".join(f"nameserver {one}\n" for one in servers)
    for node in made.nodes:
        written = of(WriteFile, configure_operations(made, node))
        assert [(one.path, one.content) for one in written] == [("/etc/resolv.conf", text)]


def test_a_device_with_its_own_resolv_conf_keeps_it_and_without_servers_nobody_is_told() -> None:
    own = Host("h1", files={"/etc/resolv.conf": "nameserver 10.9.0.1\n"})
    found = Topology("t", [own, Router("r1")], [Link("h1", "r1")])
    made = plan(found, VIA, FACTS)
    assert not of(WriteFile, configure_operations(made, made.node("h1")))
    made = plan(found, VIA, HostFacts())
    assert not of(WriteFile, configure_operations(made, made.node("r1")))
    assert "no name server" in made.warnings[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"internet_via": "r9"}, "unknown device 'r9'.*one router that has a link: r1, r2"),
        ({"internet_via": "r1,r2"}, "unknown device 'r1,r2'.*one router"),
        ({"internet_via": "w1"}, "w1, a node of the cluster"),
        ({"internet_via": "s1"}, "s1, a switch, which does not route"),
        ({"internet_via": "h1"}, "h1, a host, which does not route"),
        ({"internet_via": "r2"}, "r2, which is on no link"),
        ({"internet_dns": "192.0.2.1"}, "internet_via= with it"),
        ({"internet_via": "r1", "internet_dns": "fd00::1"}, "IPv4 addresses"),
        ({"internet_via": "r1", "docker_pool": "172.30.0.0/24"}, "docker_pool"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], expected: str) -> None:
    nodes = [ControlPlane("c1"), Worker("w1"), Switch("s1"), Host("h1"), Router("r1"), Router("r2")]
    links = [Link("c1", "s1"), Link("w1", "s1"), Link("h1", "s1"), Link("r1", "s1")]
    with pytest.raises(PlanError, match=expected):
        plan(Topology("t", nodes, links), PlanOptions(**options), HostFacts())


def test_nodes_of_the_cluster_without_a_path_are_refused() -> None:
    nodes = [ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")]
    links = [Link("w1", "r1"), Link("w2", "r1")]
    with pytest.raises(PlanError, match=r"node c1: links: .*no path to r1"):
        plan(Topology("t", nodes, links), VIA, FACTS)
    apart = [Link("c1", "r2"), Link("w1", "r2"), Link("w2", "r2"), Link("w2", "r1")]
    with pytest.raises(PlanError, match=r"node w1: links: .*no path to r1"):
        plan(Topology("t", nodes, apart), VIA, FACTS)


def test_published_ports_beside_routes_of_others_are_refused() -> None:
    nodes = [Router("r1"), Router("r2", routing="ospf", ports=["8080:80"])]
    with pytest.raises(PlanError, match=r"r2: ports: .*Docker's default route"):
        plan(Topology("t", nodes, [Link("r1", "r2")]), VIA, FACTS)
    fine = [Router("r1"), Device("d1", ports=["8080:80"])]
    assert plan(Topology("t", fine, [Link("d1", "r1")]), VIA, FACTS).uplink


def test_authors_of_routes_are_told_to_lead_there() -> None:
    nodes = [Router("r1"), Router("r2", routing=None), Host("h1")]
    found = plan(Topology("t", nodes, [Link("r1", "r2"), Link("h1", "r2")]), VIA, FACTS)
    assert any("the routes of r2 are" in one for one in found.warnings)


@pytest.mark.parametrize(
    ("protocol", "announced"),
    [
        ("ospf", "default-information originate always"),
        ("rip", "default-information originate"),
        ("bgp", "default-originate"),
    ],
)
def test_a_routing_protocol_announces_the_way_and_is_awaited(protocol: Any, announced: str) -> None:
    nodes = [Router("r1", routing=protocol), Router("r2", routing=protocol), Host("h1")]
    topology = Topology("t", nodes, [Link("r1", "r2"), Link("h1", "r2")])
    made = plan(topology, VIA, FACTS)
    for name in ("r1", "r2"):
        device = made.node(name).device
        assert device is not None
        text = next(one.text for one in device.files if one.path == "/etc/frr/frr.conf")
        assert (announced in text) == (name == "r1")
        assert "default" in device.ready[0].argv
    device = plan(topology).node("r1").device
    assert device is not None
    assert "default" not in device.ready[0].argv


def test_containerd_is_given_a_group_in_every_node(tmp_path: Path) -> None:
    before = {"nodes": [{"role": "worker"}, {"extraMounts": [{"hostPath": "/a"}]}]}
    found = in_a_group(before, tmp_path, 7)
    assert [len(one["extraMounts"]) for one in found["nodes"]] == [1, 2]
    (mount,) = found["nodes"][0]["extraMounts"]
    assert mount["containerPath"].startswith("/etc/systemd/system/containerd.service.d/")
    assert Path(mount["hostPath"]).read_text() == "[Service]\nGroup=7\n"
    assert "extraMounts" not in before["nodes"][0]


def test_the_machines_name_servers_are_those_that_others_can_ask(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("# no nameserver 1.2.3.4\nnameserver 127.0.0.53\noptions edns0\n")
    assert machine_nameservers([stub, real]) == ()
    real.write_text("nameserver fd00::1\nnameserver 192.0.2.7\nnameserver\nnameserver 192.0.2.8\n")
    assert machine_nameservers([stub, real]) == ("192.0.2.7", "192.0.2.8")
    assert machine_nameservers([real, stub]) == ("192.0.2.7", "192.0.2.8")


def test_what_left_past_the_router_is_a_leak_and_what_was_refused_is_told() -> None:
    def counter(name: str, packets: int) -> dict[str, Any]:
        return {"counter": {"name": name, "packets": packets, "bytes": packets * 100}}

    base = parse_guard(
        "w1", {"nftables": [counter("leak_out", 1), counter("leak_in", 0), counter("dns", 2)]}
    )
    flow = {"concat": ["172.30.0.3", "192.0.2.9", "tcp", 80]}
    table = [counter("bypass", 2), counter("pulls", 5), counter("refused", 3)]
    found = with_outside(base, {"nftables": [*table, {"set": {"name": "leaks", "elem": [flow]}}]})
    assert found.out == Count(3, 300)
    assert {name: one.packets for name, one in found.others.items()} == {
        "dns": 2,
        "pulls": 5,
        "refused": 3,
    }
    assert found.flows == ("172.30.0.3 > 192.0.2.9 tcp 80",)
