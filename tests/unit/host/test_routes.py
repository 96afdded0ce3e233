"""The messages that ask for routes, read by pyroute2; what the kernel does is in integration."""

from __future__ import annotations

import errno
import socket

import pytest
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pytest_kinda.host import routes
from pytest_kinda.operations import AddRoute, Hop

LO = socket.if_nametoindex("lo")


def read(route: AddRoute) -> rtmsg:
    found = rtmsg(routes.message(route, 7))
    found.decode()
    assert found["header"]["sequence_number"] == 7
    return found


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (
            AddRoute("r", "10.9.0.4/30", (Hop("10.9.0.2", "lo"),), source="10.9.255.1", metric=20),
            {"DST": "10.9.0.4", "OIF": LO, "GATEWAY": "10.9.0.2", "PREFSRC": "10.9.255.1"}
            | {"PRIORITY": 20, "TABLE": 254},
        ),
        (AddRoute("r", "10.9.0.0/24", (Hop("", "lo"),)), {"OIF": LO, "GATEWAY": None}),
        (AddRoute("r", "0.0.0.0/0", (Hop("10.0.0.3", "lo"),), table="1107"), {"TABLE": 1107}),
        (AddRoute("r", "10.244.1.0/24", ()), {"OIF": None, "GATEWAY": None}),
        (
            AddRoute("r", "fd00:244::/64", (Hop("fd00:9::1", "lo"),)),
            {"DST": "fd00:244::", "GATEWAY": "fd00:9::1"},
        ),
    ],
    ids=["one hop", "own wire", "table", "unreachable", "IPv6"],
)
def test_what_is_asked(route, expected):
    found = read(route)
    for name, value in expected.items():
        assert found.get_attr(f"RTA_{name}") == value, name
    six = ":" in route.destination
    assert found["family"] == (socket.AF_INET6 if six else socket.AF_INET)
    assert found["dst_len"] == int(route.destination.partition("/")[2])
    assert found["type"] == (1 if route.hops else 7)
    assert found["scope"] == (253 if route.hops and not route.hops[0].gateway else 0)
    assert found["proto"] == 66


@pytest.mark.parametrize("six", [False, True])
def test_equal_hops(six):
    gateways = ["fd00::1", "fd00::2", "fd00::3"] if six else ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    destination = "fd00:9::/64" if six else "10.9.0.0/16"
    route = AddRoute("r", destination, tuple(Hop(one, "lo") for one in gateways))
    hops = read(route).get_attr("RTA_MULTIPATH")
    assert [(hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in hops] == [
        (LO, gateway) for gateway in gateways
    ]


def test_an_interface_that_is_not_there_is_named_with_its_route():
    bad = AddRoute("r", "10.0.0.0/8", (Hop("10.0.0.1", "none0"),))
    with pytest.raises(routes.RouteRefused, match="no interface none0") as caught:
        routes.add_routes([bad])
    assert caught.value.route == bad
    assert caught.value.errno == errno.ENODEV
