"""A stateful firewall in a switch: who is inside talks to everybody, nobody talks to them first."""

from __future__ import annotations

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

FIREWALL = Topology(
    name="firewall",
    nodes=[
        Host("inside"),
        Host("outside"),
        P4Switch(
            "wall",
            program="firewall.json",
            forwarding=ROUTES,
            entries=[P4Entry("sides", {"ingress_port": "{port:inside}"}, "is_inside")],
        ),
    ],
    links=[Link("inside", "wall"), Link("wall", "outside")],
)

pytestmark = pytest.mark.topology(FIREWALL, engine="direct")


def refused(kinda):
    return kinda.device("wall").counter("refused").read(0).packets


def test_a_connection_that_begins_inside_works_both_ways(kinda):
    outside = kinda.node("outside")
    with outside.socket() as listener, kinda.node("inside").socket() as client:
        listener.bind((outside.ip, 80))
        listener.listen()
        client.settimeout(10)
        client.connect((outside.ip, 80))
        server, _ = listener.accept()
        with server:
            client.sendall(b"question")
            assert server.recv(100) == b"question"
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"
    assert refused(kinda) == 0


def test_a_connection_that_begins_outside_does_not_come_about(kinda):
    inside = kinda.node("inside")
    with inside.socket() as listener, kinda.node("outside").socket() as client:
        listener.bind((inside.ip, 80))
        listener.listen()
        listener.settimeout(0)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.connect((inside.ip, 80))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert refused(kinda) >= 1


def test_only_the_flow_that_was_opened_comes_in(kinda):
    with kinda.node("inside").udp() as client, kinda.node("outside").udp(5353) as server:
        client.send(b"question", to=server)
        question = server.receive()
        with kinda.node("outside").udp() as stranger:
            stranger.send(b"answer of a stranger", to=question)
            server.send(b"answer", to=question)  # behind the stranger's on the same way
            assert client.receive().data == b"answer"
            assert client.waiting() == ()
    assert refused(kinda) == 1


def test_ping_goes_out_only(kinda):
    assert kinda.ping("inside", "outside", count=2)
    assert not kinda.ping("outside", "inside", count=1)
    assert refused(kinda) == 1


def test_what_is_open_is_forgotten_with_the_test(kinda):
    """Registers are zero again after each test: so are the flows of the tests before."""
    wall = kinda.device("wall")
    assert not any(wall.register("first").read_all())
    with kinda.node("inside").udp() as client, kinda.node("outside").udp() as server:
        client.send(b"question", to=server)
        server.receive()
    assert sum(wall.register("first").read_all()) == 1
