"""Queueing disciplines and cut cables, measured."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import replace

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.host import carry
from pytest_kinda.host.facts import has_netem
from pytest_kinda.operations import (
    HOST,
    AddAddress,
    AddBridgePort,
    AddHub,
    AddRoute,
    AddVeth,
    End,
    Hop,
    SetCarrier,
    SetShape,
    Shape,
)
from tests.support.places import containers, table

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BRIDGE = f"kdtb3{os.getpid()}"
PAIR = (
    AddVeth(End("a", "eth0"), End("b", "eth0")),
    AddAddress("a", "eth0", "10.9.0.1/30"),
    AddAddress("b", "eth0", "10.9.0.2/30"),
    AddAddress("a", "eth0", "fd00:9::1/64"),
    AddAddress("b", "eth0", "fd00:9::2/64"),
    AddRoute("b", "10.244.0.0/16", (Hop("10.9.0.1", "eth0"),)),
    AddRoute("b", "fd00:244::/64", (Hop("fd00:9::1", "eth0"),)),
    AddRoute("a", "10.245.0.0/16", (Hop("10.9.0.2", "eth0"),)),
)


def qdiscs(place):
    return json.loads(place.run("tc", "-j", "qdisc", "show", "dev", "eth0"))


def rate_of(sender, receiver, address, size):
    """Bit/s that TCP gets for ``size`` bytes, the first quarter not counted."""
    server = receiver.call(socket.create_server, (address, 0))
    marks = []

    def read():
        stream, _ = server.accept()
        total = 0
        with stream:
            while data := stream.recv(1 << 16):
                total += len(data)
                marks.append((time.monotonic(), total))

    thread = threading.Thread(target=read)
    thread.start()
    with sender.call(socket.create_connection, server.getsockname()) as client:
        client.sendall(b"x" * size)
    thread.join(20)
    server.close()
    start = next(one for one in marks if one[1] > size / 4)
    return (marks[-1][1] - start[1]) * 8 / (marks[-1][0] - start[0])


def test_a_rate_is_what_tcp_gets_and_only_in_that_direction():
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out([*PAIR, SetShape("a", "eth0", Shape(rate=20_000_000))], places)
        assert 10e6 < rate_of(found["a"], found["b"], "10.9.0.2", 4_000_000) < 24e6
        assert rate_of(found["b"], found["a"], "10.9.0.1", 4_000_000) > 26e6


def test_a_shape_replaces_the_one_before_and_its_undo_puts_that_back():
    with containers("a", "b") as found:
        places = table(found)
        first = Shape(rate=100_000_000, burst=64_000, latency=20_000_000)
        fault = SetShape("a", "eth0", Shape(rate=1_000_000), before=first)
        carry.carry_out([*PAIR, SetShape("a", "eth0", first)], places)
        (one,) = qdiscs(found["a"])
        assert one["kind"] == "tbf"
        assert one["options"]["rate"] == 12_500_000  # bytes a second
        assert abs(one["options"]["burst"] - 64_000) < 1000
        assert abs(one["options"]["lat"] - 20_000) < 1000  # µs
        carry.carry_out([fault], places)
        assert qdiscs(found["a"])[0]["options"]["rate"] == 125_000
        carry.undo(fault, places)
        assert qdiscs(found["a"])[0]["options"]["rate"] == 12_500_000
        carry.undo(SetShape("a", "eth0", first), places)
        carry.undo(SetShape("a", "eth0", first), places)
        assert [one["kind"] for one in qdiscs(found["a"])] == ["noqueue"]


def test_delay_and_rate_together_or_an_error_that_says_what_the_kernel_lacks():
    shape = SetShape("a", "eth0", Shape(rate=10_000_000, delay=20_000_000, jitter=1_000_000))
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out(PAIR, places)
        with pytest.raises(HostError, match="only a keeper can delay packets"):
            carry.carry_out([replace(shape, by="hold")], places)
        if not has_netem():
            with pytest.raises(HostError, match=r"(?s)no netem.*remedy: load sch_netem"):
                carry.carry_out([replace(shape, by="netem")], places)
            return
        carry.carry_out([shape], places)
        assert sorted(one["kind"] for one in qdiscs(found["a"])) == ["netem", "tbf"]
        begin = time.monotonic()
        assert found["a"].reaches(found["b"], "10.9.0.2")
        assert 0.018 < time.monotonic() - begin < 5
        carry.undo(shape, places)
        assert [one["kind"] for one in qdiscs(found["a"])] == ["noqueue"]


def test_a_share_of_packets_is_lost_where_netem_is_there_and_elsewhere():
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out([*PAIR, SetShape("a", "eth0", Shape(loss=1.0))], places)
        assert not found["a"].reaches(found["b"], "10.9.0.2", limit=0.5)
        # No answer to a neighbour request comes back either.
        assert not found["b"].reaches(found["a"], "10.9.0.1", limit=0.5)


def test_a_shape_leaves_a_clsact_that_was_there_before():
    shape = SetShape("a", "eth0", Shape(loss=0.5), by="hold")
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out(PAIR, places)
        found["a"].run("tc", "qdisc", "add", "dev", "eth0", "clsact")
        carry.carry_out([shape], places)
        carry.carry_out([shape], places)
        carry.undo(shape, places)
        carry.undo(shape, places)
        assert [one["kind"] for one in qdiscs(found["a"])] == ["noqueue", "clsact"]
        assert not found["a"].run("tc", "filter", "show", "dev", "eth0", "egress")


def carrier(place, name="eth0"):
    # (The state that NO-CARRIER speaks of follows a little later.)
    return "LOWER_UP" in json.loads(place.run("ip", "-j", "link", "show", name))[0]["flags"]


def routes(found):
    """Without the link-local ones, which come by themselves, sooner or later."""
    shown = {}
    for name, place in found.items():
        for version in ("-4", "-6"):
            lines = place.run("ip", version, "route").splitlines()
            shown[name, version] = sorted(
                line.replace(" linkdown", "") for line in lines if not line.startswith("fe80:")
            )
    return shown


def test_a_cut_cable_between_two_nodes_has_no_carrier_at_both_ends_and_mends_whole():
    cut = [SetCarrier("a", "eth0", False), SetCarrier("b", "eth0", False)]
    with containers("a", "b") as found:
        places = table(found)
        carry.carry_out(PAIR, places)
        before = routes(found)
        for _ in range(2):
            carry.carry_out(cut, places)
            assert not carrier(found["a"])
            assert not carrier(found["b"])
            for operation in reversed(cut):
                carry.undo(operation, places)
            assert carrier(found["a"])
            assert carrier(found["b"])
            assert found["a"].reaches(found["b"], "10.9.0.2")
            assert found["b"].reaches(found["a"], "fd00:9::1")
            deadline = time.monotonic() + 20
            while routes(found) != before and time.monotonic() < deadline:
                time.sleep(
                    0.05
                )  # what is on a link comes back with its carrier, in the kernel's time
            assert routes(found) == before


def test_a_node_on_a_bridge_keeps_its_routes_while_its_carrier_is_gone():
    hub = AddHub(HOST, BRIDGE)
    port = AddBridgePort(End("a", "eth0"), f"kdt3{os.getpid()}", BRIDGE)
    with containers("a") as found:
        places = table(found)
        try:
            carry.carry_out([hub, port, AddAddress("a", "eth0", "10.9.0.1/30")], places)
            route = AddRoute("a", "10.244.0.0/16", (Hop("10.9.0.2", "eth0"),))
            carry.carry_out([route, SetCarrier("a", "eth0", False)], places)
            assert not carrier(found["a"])
            assert "10.244.0.0/16" in found["a"].run("ip", "route")
            carry.carry_out([SetCarrier("a", "eth0", True)], places)
            assert carrier(found["a"])
        finally:
            carry.undo(port, places)
            carry.undo(hub, places)


def test_what_is_no_cable_is_refused():
    with containers("a", "b") as found:
        with pytest.raises(HostError, match="no end of a veth pair"):
            carry.carry_out([SetCarrier("a", "lo", False)], table(found))
        carry.carry_out(PAIR, table(found))
        with pytest.raises(HostError, match=r"in none of the known places \(@host, a\)"):
            carry.carry_out([SetCarrier("a", "eth0", False)], {"a": found["a"].place})
