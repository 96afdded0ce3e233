"""Routing protocols for IPv4 and IPv6 at once."""

from __future__ import annotations

import pytest

from tests.support.topologies import ring

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(*(ring(one, ipv6=True) for one in ("ospf", "bgp", "rip"))),
]


def test_every_pair_is_reached_by_every_address(kinda):
    table = kinda.reachability(every_address=True, wait=3.0)
    assert table, str(table)
    far = kinda.device("r1").exec("ip", "-6", "-j", "route", "show", "fd00:5::/64").json()
    name = kinda.plan.topology.split("-")[1]
    assert [one["protocol"] for one in far] == ["ripng" if name == "rip" else name]
