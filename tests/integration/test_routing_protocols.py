"""Routers that speak a routing protocol: they converge, and find another way around a cut."""

from __future__ import annotations

import json

import pytest

from tests.support.builds import await_true
from tests.support.topologies import ring

RINGS = [ring("ospf"), ring("bgp"), ring("rip")]
NEIGHBOURS = {
    "ospf": ("show ip ospf neighbor", "Full/"),
    "bgp": ("show bgp ipv4 unicast summary established", "64513"),
    "rip": ("show ip rip status", "10.9."),
}

pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.topology(*RINGS)]


def protocol(kinda) -> str:
    return kinda.plan.topology.removeprefix("ring-")


def test_every_pair_is_reached(kinda):
    table = kinda.reachability()
    assert table, str(table)
    assert len(table.pairs) == 30


def test_routes_come_from_the_protocol(kinda):
    name = protocol(kinda)
    command, expected = NEIGHBOURS[name]
    assert expected in kinda.device("r1").exec("vtysh", "-c", command).stdout
    routes = kinda.device("r1").exec("ip", "-j", "route").json()
    far = [one for one in routes if one["protocol"] != "kernel"]
    # the networks of the hosts of r2 and r3, and the link between those
    assert {one["protocol"] for one in far} == {name}
    assert len(far) == 3
    linked = next(one for one in far if len(one.get("nexthops", ())) == 2)
    assert linked["dst"] in kinda.plan.segment("r2--r3").subnets


def has_two_ways(kinda) -> bool:
    """Whether r1 uses both ways to the link between the others, which are equally long."""
    routes = kinda.device("r1").exec("ip", "-j", "route").json()
    return any(len(one.get("nexthops", ())) == 2 for one in routes)


def test_traffic_goes_around_a_cut_link_and_back(kinda):
    h2 = kinda.node("h2").ip
    direct = kinda.device("r1").exec("ip", "-j", "route", "get", h2).json()[0]["dev"]

    def way() -> str:
        return kinda.device("r1").exec("ip", "-j", "route", "get", h2, check=False).stdout

    def goes_by(interface: str) -> bool:
        found = way()
        return bool(found) and json.loads(found)[0].get("dev") == interface

    with kinda.link("r1", "r2").down():
        await_true(
            lambda: not goes_by(direct) and bool(kinda.ping("h1", "h2", count=1)),
            "a way around",
            40,
        )
    await_true(lambda: goes_by(direct), "the direct way", 60)
    assert kinda.ping("h1", "h2", count=1, wait=5)


def test_a_restarted_router_speaks_its_protocol_again(kinda):
    kinda.device("r1").restart()
    # it is back when it knows of every network; the second of equal ways may come a little later
    await_true(lambda: has_two_ways(kinda), "both ways to the far link", 40)
    test_routes_come_from_the_protocol(kinda)
    table = kinda.reachability(wait=2.0)
    assert table, str(table)
