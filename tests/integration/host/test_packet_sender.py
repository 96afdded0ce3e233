"""Many frames with one call of the kernel."""

from __future__ import annotations

import os
import socket

import pytest
from pyroute2 import IPRoute

from pytest_kinda.host.namespaces import entered
from pytest_kinda.host.packet_sender import MOST, PacketSender
from tests.support.tunnel_lab import connect, new_namespace

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")

KIND = 0x88B5  # for experiments
HEAD = bytes(10)  # of virtio: nothing is left to the kernel


def test_all_come_in_their_order_and_none_where_there_is_no_link():
    a, b = new_namespace(), new_namespace()
    connect(a, "a0", b, "b0")
    ethernet = b"\xff" * 6 + b"\x02" + bytes(5) + KIND.to_bytes(2, "big")
    sent = [ethernet + number.to_bytes(2, "big") * (30 + number) for number in range(MOST)]
    with entered(a):
        sender = PacketSender("a0", 1, 1 << 20)
    with entered(b):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
    with raw:
        raw.bind(("b0", KIND))
        raw.settimeout(5)
        assert sender.send([HEAD + one for one in sent[:1]]) == 1
        assert sender.send([HEAD + one for one in sent[1:]]) == MOST - 1
        # one that no interface takes is lost alone
        assert sender.send([HEAD + sent[0], HEAD, HEAD + sent[1]]) == 2
        assert [raw.recv(2000) for _ in range(MOST + 2)] == [*sent, *sent[:2]]
    with entered(a), IPRoute() as ip:
        ip.link("set", ifname="a0", state="down")
    assert sender.send([HEAD + one for one in sent]) == 0
    sender.close()
    for one in (a, b):
        one.close()
