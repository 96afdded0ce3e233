"""Frames read into typed layers: Ethernet, VLAN tag, IPv4 and IPv6, GRE and what is inside it.

dpkt takes the bytes apart; these records are what tests compare.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import dpkt

from pytest_kinda.testbed.pcapng import RawPacket

GRE_PROTOCOL = 47
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 58: "icmp6", 89: "ospf", 132: "sctp"}


@dataclass(frozen=True)
class Ethernet:
    """An Ethernet header; ``type`` is the EtherType, ``vlan`` the outermost tag's id or None."""

    source: str
    destination: str
    type: int
    vlan: int | None = None


@dataclass(frozen=True)
class Arp:
    """An ARP message; ``operation`` is 1 for a request, 2 for a reply."""

    operation: int
    sender: str
    target: str


@dataclass(frozen=True)
class Ip:
    """An IPv4 or IPv6 header; ``length`` in bytes with the header, ``tos`` with the ECN bits."""

    version: int
    source: str
    destination: str
    protocol: int
    ttl: int
    length: int
    tos: int = 0
    identification: int = 0
    dont_fragment: bool = False
    fragment_offset: int = 0
    more_fragments: bool = False

    @property
    def protocol_name(self) -> str:
        """The protocol's usual name, or its number as text."""
        return PROTOCOLS.get(self.protocol, str(self.protocol))


@dataclass(frozen=True)
class Gre:
    """A GRE header (RFC 2784, RFC 2890); ``protocol`` is the EtherType of what is inside."""

    protocol: int
    version: int = 0
    key: int | None = None
    sequence: int | None = None
    checksum: int | None = None


@dataclass(frozen=True)
class Tcp:
    """A TCP header; ``flags`` as letters, such as ``SA``."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: str
    window: int
    payload: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Udp:
    """A UDP header; ``length`` in bytes with the header."""

    source_port: int
    destination_port: int
    length: int
    payload: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Icmp:
    """An ICMP or ICMPv6 message; ``identifier`` and ``sequence`` of an echo, else 0."""

    type: int
    code: int
    identifier: int = 0
    sequence: int = 0


Layer = Ethernet | Arp | Ip | Gre | Tcp | Udp | Icmp
Wanted = TypeVar("Wanted", Ethernet, Arp, Ip, Gre, Tcp, Udp, Icmp)


@dataclass(frozen=True)
class Packet:
    """One captured packet.

    ``time`` is nanoseconds since the epoch on the machine's clock (one clock for all nodes),
    ``interface`` reads ``node:interface``, ``direction`` is ``in`` or ``out`` as seen from it,
    ``length`` is that on the wire in bytes. Example::

        packet = capture.packets[0]
        assert packet.ip.source == w1.endpoint and packet.inner.source == client.ip
    """

    time: int
    interface: str
    direction: str
    length: int
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, raw: RawPacket) -> Packet:
        """The packet of a frame read from a file."""
        return cls(raw.time, raw.interface, raw.direction, raw.length, raw.data)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The headers from the outside in; it ends at the first that cannot be read."""
        return tuple(_layers(self.data))

    def _nth(self, kind: type[Wanted], number: int = 0) -> Wanted | None:
        found = [layer for layer in self.layers if isinstance(layer, kind)]
        return found[number] if len(found) > number else None

    @property
    def ethernet(self) -> Ethernet | None:
        """The outer Ethernet header."""
        return self._nth(Ethernet)

    @property
    def arp(self) -> Arp | None:
        """The ARP message."""
        return self._nth(Arp)

    @property
    def ip(self) -> Ip | None:
        """The outer IP header."""
        return self._nth(Ip)

    @property
    def gre(self) -> Gre | None:
        """The GRE header."""
        return self._nth(Gre)

    @property
    def inner(self) -> Ip | None:
        """The IP header inside GRE: what a pod has sent."""
        return self._nth(Ip, 1) if self.gre else None

    @property
    def tcp(self) -> Tcp | None:
        """The TCP header, inside GRE too."""
        return self._nth(Tcp)

    @property
    def udp(self) -> Udp | None:
        """The UDP header, inside GRE too."""
        return self._nth(Udp)

    @property
    def icmp(self) -> Icmp | None:
        """The ICMP message, inside GRE too."""
        return self._nth(Icmp)

    def scapy(self) -> Any:
        """The packet as scapy's ``Ether``. Raises ModuleNotFoundError where scapy is absent."""
        from scapy.layers.l2 import Ether  # type: ignore[import-not-found, unused-ignore]

        return Ether(self.data)


def _mac(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def _layers(data: bytes) -> list[Layer]:
    found: list[Layer] = []
    try:
        frame = dpkt.ethernet.Ethernet(data)
    except (dpkt.UnpackError, ValueError):
        return found
    tags = getattr(frame, "vlan_tags", None)
    vlan = tags[0].id if tags else None
    found.append(Ethernet(_mac(frame.src), _mac(frame.dst), frame.type, vlan))
    _above(frame.data, found)
    return found


def _above(packet: Any, found: list[Layer]) -> None:
    """What dpkt made of a network layer and above."""
    if isinstance(packet, dpkt.arp.ARP):
        sender, target = (str(ipaddress.ip_address(each)) for each in (packet.spa, packet.tpa))
        found.append(Arp(packet.op, sender, target))
    elif isinstance(packet, dpkt.ip.IP):
        found.append(
            Ip(
                4,
                str(ipaddress.ip_address(packet.src)),
                str(ipaddress.ip_address(packet.dst)),
                packet.p,
                packet.ttl,
                packet.len,
                packet.tos,
                packet.id,
                bool(packet.df),
                packet.offset,
                bool(packet.mf),
            )
        )
        _inside(packet.p, packet.data, found)
    elif isinstance(packet, dpkt.ip6.IP6):
        found.append(
            Ip(
                6,
                str(ipaddress.ip_address(packet.src)),
                str(ipaddress.ip_address(packet.dst)),
                packet.p,
                packet.hlim,
                packet.plen + 40,
                packet.fc,
            )
        )
        _inside(packet.p, packet.data, found)


def _inside(protocol: int, packet: Any, found: list[Layer]) -> None:
    """What dpkt made of a transport layer, and of all that is in GRE."""
    if isinstance(packet, dpkt.gre.GRE) or (protocol == GRE_PROTOCOL and isinstance(packet, bytes)):
        try:
            gre = packet if isinstance(packet, dpkt.gre.GRE) else dpkt.gre.GRE(packet)
        except (dpkt.UnpackError, ValueError):
            return
        options = (getattr(gre, name, None) for name in ("key", "seq", "sum"))
        found.append(Gre(gre.p, gre.v, *options))
        _above(gre.data, found)
    elif isinstance(packet, dpkt.tcp.TCP):
        letters = "".join(
            letter for bit, letter in enumerate("FSRPAUEC") if packet.flags & 1 << bit
        )
        found.append(
            Tcp(
                packet.sport,
                packet.dport,
                packet.seq,
                packet.ack,
                letters,
                packet.win,
                bytes(packet.data),
            )
        )
    elif isinstance(packet, dpkt.udp.UDP):
        found.append(Udp(packet.sport, packet.dport, packet.ulen, bytes(packet.data)))
    elif isinstance(packet, (dpkt.icmp.ICMP, dpkt.icmp6.ICMP6)):
        echo = packet.data
        found.append(
            Icmp(packet.type, packet.code, getattr(echo, "id", 0), getattr(echo, "seq", 0))
        )
