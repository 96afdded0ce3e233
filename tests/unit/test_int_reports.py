"""Telemetry reports, from bytes that are written out here by the specifications."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from pytest_kinda.errors import ReportError
from pytest_kinda.testbed.int_reports import IntHop, IntReport, read_reports

ETHERNET = bytes(12) + b"\x08\x00"
EVERYTHING = 0xFC00
HOP = struct.Struct("!IHHIIQQ")


def ipv4(protocol: int, source: str = "10.0.0.1", destination: str = "10.0.0.2") -> bytes:
    ends = [bytes(int(part) for part in one.split(".")) for one in (source, destination)]
    return b"\x45" + bytes(8) + bytes([protocol]) + bytes(2) + ends[0] + ends[1]


def udp(source: int = 5000, destination: int = 7777) -> bytes:
    return struct.pack("!HHHH", source, destination, 0, 0)


def telemetry(*hops: bytes, instructions: int = EVERYTHING, size: int = 8, flags: int = 0) -> bytes:
    """The last switch's metadata first, as switches push them."""
    length = 3 + sum(map(len, hops)) // 4
    shim = 1 << 28 | length << 16
    head = 2 << 28 | flags | size << 8 | 5
    return struct.pack("!IIHHHH", shim, head, instructions, 0, 0, 0) + b"".join(reversed(hops))


def report(packet: bytes, number: int = 9, kind: int = 0, inner: int = 3) -> bytes:
    head = kind << 28 | inner << 24 | (len(packet) + 3) // 4 << 16 | 1 << 5
    return struct.pack("!III", 2 << 28 | number, 3, head) + packet


HOPS = [HOP.pack(n, 1, 2, 10 * n, 4 << 24 | n, 1000 * n, 1000 * n + 10 * n) for n in (1, 2, 3)]
READ = IntReport(
    time=17,
    reporter=3,
    sequence=9,
    source="10.0.0.1",
    source_port=5000,
    destination="10.0.0.2",
    destination_port=7777,
    protocol="udp",
    hops=tuple(
        IntHop(n, f"s{n}", 1, 2, 10 * n, 4, n, 1000 * n, 1000 * n + 10 * n) for n in (1, 2, 3)
    ),
)
NAMES = {1: "s1", 2: "s2", 3: "s3"}


def read(data: bytes) -> IntReport:
    (found,) = read_reports(data, 17, names=NAMES)
    return found


def test_a_report_is_read_hop_by_hop_in_the_order_of_the_way() -> None:
    found = read(report(ETHERNET + ipv4(17) + udp() + telemetry(*HOPS) + b"payload"))
    assert found == READ
    assert found.path == ("s1", "s2", "s3")
    assert found.link_delays() == (990, 980)
    assert found.complete


def test_the_flow_of_pods_is_inside_gre() -> None:
    gre = b"\0\0\x08\0" + ipv4(17, "10.244.1.5", "10.244.2.7")
    found = read(report(ETHERNET + ipv4(47) + gre + udp() + telemetry(*HOPS)))
    assert found == replace(READ, source="10.244.1.5", destination="10.244.2.7")
    keyed = b"\x20\0\x08\0" + bytes(4) + gre[4:]
    assert read(report(ETHERNET + ipv4(47) + keyed + udp() + telemetry(*HOPS))) == found


def test_telemetry_is_behind_the_options_of_tcp() -> None:
    tcp = struct.pack("!HHIIBBHHH", 5000, 7777, 1, 1, 8 << 4, 0x10, 0, 0, 0) + bytes(12)
    found = read(report(ipv4(6) + tcp + telemetry(*HOPS), inner=4))
    assert found == replace(READ, protocol="tcp")


def test_what_was_not_asked_for_is_not_there() -> None:
    only = [struct.pack("!II", n, n + 5) for n in (1, 2)]
    packet = ipv4(17) + udp() + telemetry(*only, instructions=0xA000, size=2)
    assert read(report(packet, inner=4)).hops == (
        IntHop(1, "s1", latency=6),
        IntHop(2, "s2", latency=7),
    )
    assert read(report(packet, inner=4)).link_delays() == (None,)


def test_switches_have_clocks_of_their_own() -> None:
    data = report(ETHERNET + ipv4(17) + udp() + telemetry(*HOPS))
    (found,) = read_reports(data, 17, clocks={1: 500, 3: -1000})
    assert [(one.switch, one.arrived) for one in found.hops] == [
        ("1", 1500),
        ("2", 2000),
        ("3", 2000),
    ]


def test_a_datagram_may_hold_several_and_metadata_of_its_own() -> None:
    packet = ipv4(17) + udp() + telemetry(*HOPS)
    one = report(packet, inner=4)
    metadata = struct.pack("!I", 1 << 28 | 4 << 24 | (len(packet) + 12) // 4 << 16 | 1 << 8)
    both = one + metadata + bytes(12) + packet
    assert read_reports(both, 17, names=NAMES) == (READ, READ)


@pytest.mark.parametrize("flag", [1 << 26, 1 << 25])
def test_a_switch_that_could_not_write_is_told(flag: int) -> None:
    assert not read(report(ETHERNET + ipv4(17) + udp() + telemetry(*HOPS, flags=flag))).complete


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"hello, world", "expected a telemetry report of version 2"),
        (b"hi", "ends within its headers"),
        (report(ETHERNET + ipv4(17) + udp() + telemetry(*HOPS)[:-4]), "ends within its headers"),
        (report(ETHERNET + ipv4(1)), "protocol 1; expected TCP or UDP"),
        (report(ETHERNET[:-2] + b"\x08\x06"), "EtherType 0x0806; expected IPv4"),
        (report(ETHERNET + ipv4(17) + udp() + bytes(16)), "expected the shim of INT-MD"),
        (report(ipv4(17), kind=2, inner=4), "type 2 with contents of type 4"),
        (
            report(ETHERNET + ipv4(17) + udp() + telemetry(*HOPS, size=7)),
            "instructions 0xfc00 with 7 words for a hop and 24 in all",
        ),
    ],
)
def test_what_is_no_report_is_an_error(data: bytes, problem: str) -> None:
    with pytest.raises(ReportError, match=problem):
        read(data)
