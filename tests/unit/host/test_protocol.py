from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host import protocol


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def test_messages_come_one_by_one_however_large(pair):
    a, b = pair
    big = {"call": "x", "text": "é" * 700_000}
    sender = threading.Thread(target=lambda: (protocol.send(a, big), protocol.send(a, {"n": 2})))
    sender.start()
    assert protocol.receive(b) == big
    assert protocol.receive(b) == {"n": 2}
    sender.join()
    a.close()
    assert protocol.receive(b) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no message"),
        (b"\x00\x00", "no message"),
        (struct.pack("!I", 10) + b"{}", "ended after 2 of 10"),
        (struct.pack("!I", 2) + b"{]", "not JSON"),
        (struct.pack("!I", 2) + b"[]", "not a JSON object"),
    ],
)
def test_what_is_no_message_is_an_error(pair, data, says):
    a, b = pair
    a.sendall(data)
    a.close()
    with pytest.raises(HostError, match=says):
        protocol.receive(b)


def test_errors_keep_their_kind_message_and_remedy():
    gone = GoneError("place w1 is gone", remedy="build again")
    back = protocol.raised(protocol.error_message(gone)["error"])
    assert type(back) is GoneError
    assert str(back) == str(gone)
    other = protocol.raised(protocol.error_message(KeyError("places"))["error"])
    assert type(other) is HostError
    assert "KeyError" in str(other)


@given(st.binary(max_size=200))
def test_bytes_travel(data):
    assert protocol.unpack(protocol.pack(data)) == data


def test_a_socket_travels_with_its_message(pair):
    a, b = pair
    given: list[socket.socket] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        protocol.send(a, {"ok": 1}, giving=one)
    protocol.send(a, {"ok": 2})
    assert protocol.receive(b, given) == {"ok": 1}
    assert protocol.receive(b, given) == {"ok": 2}
    (received,) = given
    with received:
        assert (received.type, received.getsockname()[1]) == (socket.SOCK_DGRAM, port)
        assert not received.get_inheritable()
