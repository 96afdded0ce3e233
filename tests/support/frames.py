"""Frames and pcapng files for tests, made byte by byte."""

from __future__ import annotations

import struct
from ipaddress import ip_address


def ethernet(payload, kind=0x0800):
    return bytes.fromhex("020000000002020000000001") + struct.pack("!H", kind) + payload


def ipv4(source, destination, protocol, payload, *, ttl=64, df=True, number=7):
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        number,
        0x4000 if df else 0,
        ttl,
        protocol,
        0,
        ip_address(source).packed,
        ip_address(destination).packed,
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + payload


def ipv6(source, destination, following, payload, *, hops=64):
    head = struct.pack("!IHBB", 6 << 28, len(payload), following, hops)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


def gre(payload, protocol=0x0800, key=None):
    if key is None:
        return struct.pack("!HH", 0, protocol) + payload
    return struct.pack("!HHI", 0x2000, protocol, key) + payload


def udp(source, destination, payload=b"hello"):
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(source, destination, flags=0x12, payload=b""):
    return struct.pack("!HHIIBBHHH", source, destination, 1, 2, 0x50, flags, 4096, 0, 0) + payload


def echo(kind=8, identifier=5, sequence=1, payload=b"12345678"):
    return struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def option(code, data, order="<"):
    return struct.pack(order + "HH", code, len(data)) + data + bytes(-len(data) % 4)


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(name, order="<", *, resolution=9, linktype=1):
    body = struct.pack(order + "HHI", linktype, 0, 0)
    options = option(2, name.encode(), order)
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    return block(1, body + options + option(0, b"", order), order)


def packet(number, ticks, data, order="<", *, flags=None, length=None):
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length or len(data)
    )
    body = head + data + bytes(-len(data) % 4)
    if flags is not None:
        body += option(2, struct.pack(order + "I", flags), order) + option(0, b"", order)
    return block(6, body, order)


def statistics(number, received, dropped, order="<"):
    body = struct.pack(order + "III", number, 0, 0)
    for code, value in ((4, received), (5, dropped)):
        body += option(code, struct.pack(order + "Q", value), order)
    return block(5, body + option(0, b"", order), order)
