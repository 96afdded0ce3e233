"""Captured bytes to typed packets: pcapng, layers, filters."""

import pytest

from pytest_kinda.errors import CaptureError
from pytest_kinda.testbed.filters import PacketFilter
from pytest_kinda.testbed.layers import Packet
from pytest_kinda.testbed.pcapng import read_packets, read_statistics
from tests.support import frames

INNER = frames.ipv4("10.244.1.2", "10.244.2.2", 6, frames.tcp(40000, 5201), ttl=63)
TUNNELLED = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 47, frames.gre(INNER)))
PLAIN = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 17, frames.udp(1000, 53)))


def of(data):
    return Packet(0, "r1:eth0", "in", len(data), data)


def test_gre_shows_nodes_outside_and_pods_inside():
    packet = of(TUNNELLED)
    assert (packet.ip.source, packet.ip.destination) == ("10.9.0.1", "10.9.0.9")
    assert packet.ip.protocol_name == "gre"
    assert packet.ip.dont_fragment
    assert packet.gre.protocol == 0x0800
    assert (packet.inner.source, packet.inner.destination) == ("10.244.1.2", "10.244.2.2")
    assert packet.inner.ttl == 63
    assert (packet.tcp.source_port, packet.tcp.destination_port) == (40000, 5201)
    assert packet.tcp.flags == "SA"
    assert packet.ethernet.source == "02:00:00:00:00:01"


def test_scapy_reads_the_same_for_who_has_it():
    pytest.importorskip("scapy", reason="scapy is an extra")
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import GRE

    packet = of(TUNNELLED).scapy()
    assert packet[IP].dst == "10.9.0.9"
    assert packet[GRE].proto == 0x0800
    assert packet[GRE].payload[IP].src == "10.244.1.2"
    assert packet[TCP].dport == 5201


def test_ipv6_inside_gre_with_a_key():
    inner = frames.ipv6("fd00::1", "fd00::2", 17, frames.udp(1, 2))
    outer = frames.ipv4("10.9.0.1", "10.9.0.9", 47, frames.gre(inner, 0x86DD, key=77))
    packet = of(frames.ethernet(outer))
    assert packet.gre.key == 77
    assert packet.inner.version == 6
    assert packet.inner.source == "fd00::1"
    assert packet.udp.destination_port == 2


def test_a_packet_without_gre_has_no_inner_one():
    packet = of(PLAIN)
    assert packet.inner is None
    assert packet.gre is None
    assert packet.udp.payload == b"hello"


def test_echo_request_has_its_numbers():
    data = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.2", 1, frames.echo(sequence=9)))
    assert (of(data).icmp.type, of(data).icmp.sequence) == (8, 9)


@pytest.mark.parametrize("size", [0, 5, 14, 20, 36, 40, 60])
def test_cut_frames_give_what_can_be_read(size):
    packet = of(TUNNELLED[:size])
    assert packet.tcp is None
    assert all(layer is not None for layer in packet.layers)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_in_either_byte_order(tmp_path, order):
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        frames.section(order)
        + frames.interface("r1:eth0", order)
        + frames.interface("r2:eth1", order, resolution=None)
        + frames.block(0x0BAD, b"unknown", order)
        + frames.packet(0, 1_700_000_000_123_456_789, TUNNELLED, order, flags=1)
        + frames.packet(1, 1_700_000_000_123_456, PLAIN[:40], order, flags=2, length=len(PLAIN))
        + frames.packet(0, 5, PLAIN, order)
        + frames.statistics(0, 12, 3, order)
        + frames.packet(0, 5, PLAIN, order)[:-6]
    )
    first, second, third = read_packets(path)
    assert (first.time, first.interface, first.direction) == (
        1_700_000_000_123_456_789,
        "r1:eth0",
        "in",
    )
    assert first.data == TUNNELLED
    assert (second.time, second.interface, second.direction) == (
        1_700_000_000_123_456_000,
        "r2:eth1",
        "out",
    )
    assert (second.length, len(second.data)) == (len(PLAIN), 40)
    assert third.direction == ""
    assert read_statistics(path) == {"r1:eth0": (12, 3)}


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("this is no capture")
    with pytest.raises(CaptureError, match="no pcapng"):
        list(read_packets(path))


@pytest.mark.parametrize(
    ("expression", "tunnelled", "plain"),
    [
        ("proto gre", True, False),
        ("udp port 53", False, True),
        ("host 10.9.0.9", True, True),
        ("host 10.244.1.2", False, False),
        ("ip[33] = 0 and proto 47", False, False),
    ],
)
def test_filters_in_tcpdumps_language(expression, tunnelled, plain):
    with PacketFilter(expression) as wanted:
        assert wanted.matches(TUNNELLED) is tunnelled
        assert wanted.matches(PLAIN) is plain


def test_a_bad_filter_is_told_in_libpcaps_words():
    with pytest.raises(CaptureError, match=r"capture filter 'prot gre'.*") as caught:
        PacketFilter("prot gre")
    assert "tcpdump" in caught.value.remedy
