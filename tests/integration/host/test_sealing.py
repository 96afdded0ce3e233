"""An interface from which the kernel takes nothing, while packet sockets see all of it."""

from __future__ import annotations

import os
import socket

import pytest

from pytest_kinda.host.carry import carry_out
from pytest_kinda.operations import AddAddress, AddVeth, End, IgnoreArrivals
from tests.support.places import containers, table

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_the_kernel_answers_nothing_and_a_packet_socket_sees_it() -> None:
    with containers("a", "b") as found:
        a, b = found["a"], found["b"]
        cable = AddVeth(End("a", "eth0"), End("b", "eth0"))
        addresses = [AddAddress("a", "eth0", "10.1.0.1/24"), AddAddress("b", "eth0", "10.1.0.2/24")]
        carry_out([cable, *addresses], table(found))
        assert a.reaches(b, "10.1.0.2")
        sealed = IgnoreArrivals("b", "eth0")
        carry_out([sealed, sealed], table(found))  # a second time is no error
        a.run("ip", "neigh", "flush", "all")
        # of all protocols: a socket of one comes after tc
        with b.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
            b.call(raw.bind, ("eth0", 3))
            raw.settimeout(10)
            assert not a.reaches(b, "10.1.0.2", limit=0.5)
            while raw.recv(100)[12:14] != b"\x08\x06":
                pass  # until what was asked for has been seen, or nothing for 10 s
