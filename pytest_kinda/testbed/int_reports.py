"""Telemetry reports read into records: INT-MD, the flow it is of, and what each switch wrote.

The formats are those of the P4.org Applications Working Group: Telemetry Report Format 2.0 and the
In-band Network Telemetry Dataplane Specification 2.1 (INT-MD over TCP and UDP, metadata of bits 0
to 8 of the instruction bitmap), the packet as it was, inside GRE too.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kinda.errors import ReportError

_ETHERNET, _IPV4 = 3, 4
_TCP, _UDP, _GRE = 6, 17, 47
_PROTOCOLS = {_TCP: "tcp", _UDP: "udp"}
_WORDS = (1, 1, 1, 1, 2, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 1)
"""The 4-byte words that a hop writes for each bit of the instruction bitmap, the highest first."""


@dataclass(frozen=True)
class IntHop:
    """What one switch has written; None for what it was not asked.

    ``switch`` is its name where the collector knows it, else its node id as text. ``latency`` is
    the time in the switch; ``arrived`` and ``left`` are its clock plus what the collector adds. All
    three are in the program's unit: microseconds in v1model. ``queue_depth`` is in packets.
    """

    node_id: int | None = None
    switch: str = ""
    ingress_port: int | None = None
    egress_port: int | None = None
    latency: int | None = None
    queue: int | None = None
    queue_depth: int | None = None
    arrived: int | None = None
    left: int | None = None


@dataclass(frozen=True)
class IntReport:
    """One packet of a flow that is watched, and its hops in the order of its way.

    ``time`` is when the report came, nanoseconds since the epoch; ``reporter`` the node id of the
    switch that sent it, ``sequence`` its number there. Addresses, ports and ``protocol`` are the
    packet's own: inside GRE those of pods. ``complete`` is False where a switch could not write.
    """

    time: int
    reporter: int
    sequence: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: str
    hops: tuple[IntHop, ...]
    complete: bool = True

    @property
    def path(self) -> tuple[str, ...]:
        """The switches that the packet has crossed, in order."""
        return tuple(one.switch for one in self.hops)

    @property
    def flow(self) -> tuple[str, int, str, int, str]:
        """What its packets have in common: addresses, ports, protocol."""
        return (
            self.source,
            self.source_port,
            self.destination,
            self.destination_port,
            self.protocol,
        )

    def link_delays(self) -> tuple[int | None, ...]:
        """From leaving each switch to arriving at the next, where both wrote the time.

        By the switches' clocks, which the collector has been told or has asked for.
        """
        pairs = zip(self.hops, self.hops[1:], strict=False)
        return tuple(
            None if a.left is None or b.arrived is None else b.arrived - a.left for a, b in pairs
        )


class _Cut(Exception):
    """There are fewer bytes than are said."""


class _Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, format: str) -> tuple[int, ...]:
        """The next values, in the order of the network."""
        size = struct.calcsize("!" + format)
        if self.at + size > len(self.data):
            raise _Cut
        found = struct.unpack_from("!" + format, self.data, self.at)
        self.at += size
        return found

    def skip(self, size: int) -> None:
        """Leave bytes out."""
        if size < 0 or self.at + size > len(self.data):
            raise _Cut
        self.at += size

    @property
    def left(self) -> int:
        """How many there are yet."""
        return len(self.data) - self.at


def read_reports(
    data: bytes,
    time: int,
    *,
    names: Mapping[int, str] | None = None,
    clocks: Mapping[int, int] | None = None,
) -> tuple[IntReport, ...]:
    """The reports in a datagram of a switch, of which there may be several.

    ``names`` are switches by their node ids; ``clocks`` what is to be added to the times of each.
    Raises ReportError for what is no telemetry report of version 2, is cut, or holds no INT-MD.
    """
    try:
        return tuple(_reports(_Bytes(data), time, names or {}, clocks or {}))
    except _Cut:
        raise ReportError(
            f"a telemetry report of {len(data)} bytes ends within its headers: {data[:32].hex()}",
            remedy="let the switch send more of each packet: all headers and the INT stack",
        ) from None


def _reports(
    data: _Bytes, time: int, names: Mapping[int, str], clocks: Mapping[int, int]
) -> Iterator[IntReport]:
    first, reporter = data.take("II")
    if first >> 28 != 2:
        raise ReportError(
            f"found a datagram that begins with {data.data[:8].hex()}; "
            "expected a telemetry report of version 2",
            remedy="is the port another program's?",
        )
    while data.left >= 4:
        (head,) = data.take("I")
        kind, inner, words, metadata = head >> 28, head >> 24 & 15, head >> 16 & 255, head >> 8
        size = min(words * 4, data.left)  # the last word of a packet may be cut
        body = _Bytes(data.data[data.at : data.at + size])
        data.skip(size)
        if kind == 1:
            body.skip(8 + (metadata & 255) * 4)
        if kind > 1 or inner not in (_ETHERNET, _IPV4):
            raise ReportError(
                f"a telemetry report of type {kind} with contents of type {inner}; "
                "expected 0 or 1, with an Ethernet (3) or IPv4 (4) packet"
            )
        yield _packet(body, inner, time, (reporter, first & 0x3FFFFF), names, clocks)


def _packet(
    data: _Bytes,
    kind: int,
    time: int,
    reporter: tuple[int, int],
    names: Mapping[int, str],
    clocks: Mapping[int, int],
) -> IntReport:
    """The packet that a report is about."""
    if kind == _ETHERNET:
        data.skip(12)
        (inside,) = data.take("H")
        if inside != 0x0800:
            raise ReportError(f"a report of a packet of EtherType 0x{inside:04x}; expected IPv4")
    source, destination, protocol = _ipv4(data)
    if protocol == _GRE:
        flags, inside = data.take("HH")
        if inside != 0x0800:
            raise ReportError(f"a report of GRE with EtherType 0x{inside:04x}; expected IPv4")
        data.skip(4 * (flags >> 15 & 1) + 4 * (flags >> 13 & 1) + 4 * (flags >> 12 & 1))
        source, destination, protocol = _ipv4(data)
    if protocol not in _PROTOCOLS:
        raise ReportError(f"a report of a packet of protocol {protocol}; expected TCP or UDP")
    source_port, destination_port = data.take("HH")
    if protocol == _UDP:
        data.skip(4)
    else:
        data.skip(8)
        (offset,) = data.take("B")
        data.skip((offset >> 4) * 4 - 13)
    hops, complete = _telemetry(data, names, clocks)
    return IntReport(
        time,
        *reporter,
        source,
        source_port,
        destination,
        destination_port,
        _PROTOCOLS[protocol],
        hops,
        complete,
    )


def _ipv4(data: _Bytes) -> tuple[str, str, int]:
    (version,) = data.take("B")
    data.skip(8)
    (protocol,) = data.take("B")
    data.skip(2)
    source, destination = (str(ipaddress.IPv4Address(one)) for one in data.take("II"))
    data.skip((version & 15) * 4 - 20)
    return source, destination, protocol


def _telemetry(
    data: _Bytes, names: Mapping[int, str], clocks: Mapping[int, int]
) -> tuple[tuple[IntHop, ...], bool]:
    """The hops of an INT-MD stack, of which the last is on top, in the order of the way."""
    shim, flags, instructions, _, _, _ = data.take("IIHHHH")
    if shim >> 28 != 1 or flags >> 28 != 2:
        raise ReportError(
            f"found 0x{shim:08x} 0x{flags:08x} behind the packet's headers; "
            "expected the shim of INT-MD and a header of its version 2"
        )
    size = flags >> 8 & 31
    words = (shim >> 16 & 255) - 3
    asked = [bit for bit in range(16) if instructions & 0x8000 >> bit]
    if size != sum(_WORDS[bit] for bit in asked) or words < 0 or (size and words % size):
        raise ReportError(
            f"INT instructions 0x{instructions:04x} with {size} words for a hop and {words} in all"
        )
    hops = [_hop(data, asked, names, clocks) for _ in range(words // size if size else 0)]
    return tuple(reversed(hops)), not flags >> 25 & 3


def _hop(
    data: _Bytes, asked: list[int], names: Mapping[int, str], clocks: Mapping[int, int]
) -> IntHop:
    found: dict[str, Any] = {}
    for bit in asked:
        if bit == 0:
            (found["node_id"],) = data.take("I")
        elif bit in (1, 6):
            found["ingress_port"], found["egress_port"] = data.take("HH" if bit == 1 else "II")
        elif bit == 2:
            (found["latency"],) = data.take("I")
        elif bit == 3:
            (queue,) = data.take("I")
            found["queue"], found["queue_depth"] = queue >> 24, queue & 0xFFFFFF
        elif bit in (4, 5):
            (found["arrived" if bit == 4 else "left"],) = data.take("Q")
        else:
            data.skip(4 * _WORDS[bit])
    node = found.get("node_id")
    if node is None:
        return IntHop(**found)
    for name in ("arrived", "left"):
        if (at := found.get(name)) is not None:
            found[name] = at + clocks.get(node, 0)
    return IntHop(**found, switch=names.get(node, str(node)))
