"""Entries and packets for ``examples/p4/router.json``."""

from __future__ import annotations

import random
import struct

import dpkt

COMMANDS = """
table_add ipv4_lpm forward 10.0.1.0/24 => 1 02:00:00:00:00:01 02:00:00:00:01:00
table_add ipv4_lpm forward 10.0.2.0/24 => 2 02:00:00:00:00:02 02:00:00:00:02:00
table_add ipv4_lpm forward 10.0.2.128/25 => 3 02:00:00:00:00:03 02:00:00:00:03:00
table_add ipv4_lpm forward 0.0.0.0/0 => 4 02:00:00:00:00:04 02:00:00:00:04:00
table_add ipv4_lpm drop 10.0.2.200/32 =>
table_add arp_exact answer 10.0.1.1 => 02:00:00:00:00:01
table_add arp_exact answer 10.0.2.1 => 02:00:00:00:00:02
"""


def ipv4(
    source: str, target: str, *, ttl: int = 64, body: bytes = b"payload", **more: int
) -> bytes:
    """A frame with an IPv4 packet whose checksum is right, unless ``sum`` says another."""
    packet = dpkt.ip.IP(
        src=bytes(map(int, source.split("."))),
        dst=bytes(map(int, target.split("."))),
        p=17,
        ttl=ttl,
        len=20 + len(body),
        data=body,
        **more,
    )
    return bytes(dpkt.ethernet.Ethernet(src=b"\x02" * 6, dst=b"\x04" * 6, data=packet))


def frame(dice: random.Random) -> bytes:
    """A packet: mostly to be routed, sometimes wrong, ARP, or cut."""
    target = f"10.0.{dice.choice((1, 2, 2, 9))}.{dice.choice((1, 5, 127, 128, 200, 255))}"
    style = dice.random()
    if style < 0.2:
        data = (
            bytes(6)
            + b"\x02" * 6
            + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1 + (style > 0.15))
        )
        data += b"\x02" * 6 + b"\x0a\x00\x01\x05" + bytes(6) + bytes(map(int, target.split(".")))
    else:
        body = bytes(dice.getrandbits(8) for _ in range(dice.randrange(40)))
        more = {"sum": 0x1234} if style > 0.95 else {"id": dice.getrandbits(16)}
        data = ipv4("10.0.1.5", target, ttl=dice.choice((0, 1, 2, 64, 255)), body=body, **more)
    return data[: dice.randrange(14, len(data))] if dice.random() < 0.1 else data
