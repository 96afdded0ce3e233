"""A collision domain of three ends: every frame reaches every other end, whoever makes it."""

import socket

import pytest

from pytest_kinda.errors import KindaError, UnknownNameError
from pytest_kinda.host.namespaces import Namespace, entered
from tests.support.builds import await_true
from tests.support.topologies import LAN, LAN_DIRECT

pytestmark = pytest.mark.topology(LAN, LAN_DIRECT)

LLDP = (bytes.fromhex("0180c200000e"), 0x88CC)
STP = (bytes.fromhex("0180c2000000"), 0x88B6)
BROADCAST = (b"\xff" * 6, 0x88B5)


def send(kinda, node, destination, kind):
    """One frame from the first interface of a node, made by hand."""
    place = kinda.standing.places[node]
    interface = kinda.node(node).interfaces[0]
    source = bytes.fromhex(interface.mac.replace(":", ""))
    with (
        Namespace.open(place.pid, place.started) as namespace,
        entered(namespace),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
    ):
        raw.bind((interface.name, 0))
        raw.send(destination + source + kind.to_bytes(2, "big") + b"\0" * 46)


@pytest.mark.parametrize("frame", [BROADCAST, LLDP, STP], ids=["broadcast", "LLDP", "STP"])
def test_a_frame_to_all_reaches_every_other_end(kinda, frame):
    ends = [kinda.node(name).interfaces[0] for name in ("h2", "h3")]
    with kinda.capture(ends, filter=f"ether proto {frame[1]:#x}") as capture:
        send(kinda, "h1", *frame)
        await_true(lambda: capture.count() >= 2, "the frame at both other ends", 5)
    assert sorted(packet.interface for packet in capture.packets) == [str(end) for end in ends]


def test_nothing_is_learnt(kinda):
    with kinda.capture(kinda.node("h3").interfaces[0], filter="icmp") as capture:
        assert kinda.ping("h1", "h2", count=5, interval=0.2).received == 5
    assert capture.count() == 10


def test_a_link_to_a_hub_has_one_end(kinda):
    link = kinda.link("lan", "h1")
    assert [str(one) for one in link.interfaces] == ["h1:eth0"]
    with pytest.raises(KindaError, match="no interface at lan, which is a hub"):
        _ = link.b
    with pytest.raises(UnknownNameError, match="it has 'h1->lan', and None for the same"):
        link.impair(rate="1mbit", direction="lan->h1")
    with kinda.capture(link, filter="icmp") as capture, link.measure() as measured:
        kinda.ping("h1", "h2", count=2)
    assert capture.count() == 4
    assert measured.counters.packets_b_to_a >= 2


def test_every_pair_is_reached(kinda):
    table = kinda.reachability(every_address=True)
    assert table, str(table)
    assert len(table.pairs) == 6


def test_an_end_is_cut_off_and_heals(kinda):
    with kinda.link("h1", "lan").down():
        flags = kinda.node("h1").exec("ip", "-j", "link", "show", "eth0").json()[0]["flags"]
        assert "LOWER_UP" not in flags
        assert set(kinda.reachability().missing) == {
            pair for other in ("h2", "h3") for pair in (("h1", other), (other, "h1"))
        }
    assert kinda.reachability(wait=2.0)
