"""Pods without a tunnel: routes to the pods' networks, from the plan or from a protocol."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Switch, Topology, Worker
from pytest_kinda.errors import PlanError
from pytest_kinda.operations import AddAddress, AddRoute
from pytest_kinda.plan import Plan, PlanOptions, plan, tunnel_operations
from tests.support.declared import triangle

ROUTED = PlanOptions(pods="routed")


def routes(made: Plan, name: str) -> dict[str, list[str]]:
    """The routes of a node: destination, and the gateways to it."""
    return {one.destination: [hop.gateway for hop in one.hops] for one in made.node(name).routes}


def lan(**settings: Any) -> Topology:
    """Two nodes and a router at a switch, a third node behind that router."""
    return Topology(
        "lan",
        [
            ControlPlane("c1"),
            Worker("w1"),
            Worker("w2"),
            Switch("s1"),
            Router("r1", **settings),
            Host("h1"),
        ],
        [
            Link("c1", "s1", ipv4=("10.1.0.1/24", None)),
            Link("w1", "s1", ipv4=("10.1.0.2/24", None)),
            Link("r1", "s1", ipv4=("10.1.0.9/24", None)),
            Link("w2", "r1", ipv4=("10.2.0.1/24", "10.2.0.9/24")),
            Link("h1", "r1", ipv4=("10.3.0.1/24", "10.3.0.9/24")),
        ],
    )


def test_routers_lead_to_each_network_and_nodes_to_their_router() -> None:
    made = plan(triangle(), ROUTED)
    near, far = ({n.name: n.endpoint for n in made.nodes}[one] for one in ("w1", "w2"))
    r1, r2 = routes(made, "r1"), routes(made, "r2")
    assert r1["10.244.1.0/24"] == [near]
    assert r2["10.244.2.0/24"] == [far]
    assert r1["10.244.2.0/24"] == [
        one.addresses[0].split("/")[0] for one in made.node("r2").interfaces if one.peers == ("r1",)
    ]
    # one route for all pods, as for all of the pool
    assert routes(made, "w1").keys() == {"10.9.0.0/16", "10.244.0.0/16"}


def test_neighbours_on_a_lan_reach_each_others_pods_without_the_router() -> None:
    made = plan(lan(), ROUTED)
    assert routes(made, "c1")["10.244.1.0/24"] == ["10.1.0.2"]
    assert routes(made, "c1")["10.244.2.0/24"] == ["10.1.0.9"]
    assert routes(made, "r1")["10.244.0.0/24"] == ["10.1.0.1"]
    assert routes(made, "h1") == {"0.0.0.0/0": ["10.3.0.9"]}


def test_nothing_is_taken_from_the_mtu_and_nothing_is_encapsulated() -> None:
    made = plan(triangle(), ROUTED)
    assert made.tunnel is not None
    assert (made.tunnel.driver, made.tunnel.mtu) == ("routed", 1500)
    assert tunnel_operations(made, made.node("w1")) == (
        AddAddress("w1", "lo", "10.244.1.254/32"),
        AddRoute("w1", "10.244.1.0/24", ()),
    )


def test_a_protocol_announces_the_networks_of_the_nodes_beside_its_router() -> None:
    made = plan(lan(routing="bgp"), ROUTED)
    device = made.node("r1").device
    assert device is not None
    (text,) = (one.text for one in device.files if one.path == "/etc/frr/frr.conf")
    assert "ip route 10.244.1.0/24 10.1.0.2 eth0" in text
    assert "  network 10.244.1.0/24" in text
    (ready,) = device.ready
    assert {"10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"} < set(ready.argv)
    tunnelled = plan(lan(routing="bgp")).node("r1").device
    assert tunnelled is not None
    assert all("10.244." not in one.text for one in tunnelled.files)


def test_routers_of_the_authors_own_are_named() -> None:
    (warning,) = plan(lan(routing=None), ROUTED).warnings
    assert "the routes of r1 are their author's" in warning
    assert plan(lan(routing=None)).warnings == ()


def test_pods_of_a_node_without_a_link_are_nowhere() -> None:
    topology = triangle().with_(without=["c1--r1"])
    made = plan(topology, ROUTED)
    assert "10.244.0.0/24" not in routes(made, "r1")
    assert tunnel_operations(made, made.node("c1")) == ()


def test_a_tunnel_that_nothing_would_use_is_refused() -> None:
    with pytest.raises(PlanError, match=r"tunnel: found bpf with pods='routed'; expected auto"):
        plan(triangle(), PlanOptions(pods="routed", tunnel="bpf"))
