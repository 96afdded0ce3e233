"""Sockets of the test's process in the networks of nodes."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pytest_kinda.errors import HostError, KindaError, WaitTimeoutError
from tests.support.topologies import PAIR_DIRECT

pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.topology(PAIR_DIRECT)]


def test_datagrams_go_between_nodes_and_are_answered(kinda: Any) -> None:
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    began = kinda.now()
    with h2.udp(9000) as server, h1.udp() as client:
        for number in range(3):
            client.send(bytes([number]), to=server)
        first, *others = server.take(3)
        server.send(b"answer", to=first)
        answer = client.receive()
        assert [one.data for one in (first, *others)] == [b"\0", b"\1", b"\2"]
        assert (first.source, first.port) == (h1.ip, client.port)
        assert (answer.data, answer.source, answer.port) == (b"answer", h2.ip, 9000)
        assert began < first.time < answer.time < kinda.now()
        assert (server.waiting(), server.dropped) == ((), 0)
        client.send(b"by address", to=(h2.ip, 9000))
        assert server.receive().data == b"by address"


def test_what_does_not_come_or_cannot_go_is_told(kinda: Any) -> None:
    h1 = kinda.node("h1")
    with h1.udp(9000) as end:
        with pytest.raises(WaitTimeoutError, match=r"UDP at h1: 0 of 2 datagrams within 0\.1 s"):
            end.take(2, timeout=0.1)
        with pytest.raises(HostError, match="h1: UDP port 9000 of all addresses: Address already"):
            h1.udp(9000)
        h1.exec("ip", "route", "add", "unreachable", "203.0.113.1")
        with pytest.raises(HostError, match=r"7 bytes to 203\.0\.113\.1 port 1: No route"):
            end.send(b"nowhere", to=("203.0.113.1", 1))
    h1.exec("ip", "route", "del", "unreachable", "203.0.113.1")


def test_sockets_are_closed_after_the_test_and_with_their_node(kinda: Any) -> None:
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    here, there = h1.socket(kind=socket.SOCK_DGRAM), h2.udp()
    h1.restart()
    assert here.fileno() == -1
    with h1.udp() as again:
        again.send(b"again", to=there)
        assert there.receive().data == b"again"
    kinda.put_back()
    with pytest.raises(KindaError):
        there.send(b"closed", to=(h1.ip, 1))
