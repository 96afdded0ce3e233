"""``node_ip="docker"``: kind's address as InternalIP, and what then crosses Docker's network."""

from __future__ import annotations

import ipaddress

import pytest

from tests.integration.test_control_plane_traffic import LINE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(LINE, node_ip="docker", engine="direct"),
]


def test_internal_addresses_are_dockers_and_pods_still_cross_the_network(kinda):
    subnet = ipaddress.ip_network(kinda.plan.cluster.docker_subnet)
    listed = kinda.kubectl("get", "nodes", "-o", "json").json()["items"]
    for node in listed:
        (address,) = (
            one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"
        )
        assert ipaddress.ip_address(address) in subnet
    assert any("node_ip='docker'" in one for one in kinda.plan.warnings)
    before = kinda.leaks()
    server = kinda.cluster.run_pod("server", node="w1", command=["sleep", "600"])
    client = kinda.cluster.run_pod("client", node="c1", command=["sleep", "600"])
    with kinda.capture(kinda.link("w1", "r1"), filter="proto gre") as capture:
        client.exec("ping", "-c", "3", "-i", "0.2", server.ip)
    assert capture.count() >= 6
    assert not kinda.leaks().since(before), str(kinda.leaks().since(before))


def test_the_guard_counts_what_goes_to_the_internal_address(kinda):
    before = kinda.leaks()
    web = kinda.cluster.run_pod("web", node="w1", command=["sleep", "600"], host_network=True)
    kinda.node("c1").exec("ping", "-c", "3", "-i", "0.2", web.ip)
    leaks = kinda.leaks().since(before)
    assert leaks.packets >= 6
    assert any(f"> {web.ip}" in flow for node in leaks.nodes for flow in node.flows), str(leaks)
