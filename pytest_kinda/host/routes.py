"""Routes of the namespace that the calling thread is in, many of them in one go.

A fabric of 64 leaves and 16 spines has 85,000 routes. pyroute2 takes about a millisecond for each,
most of it in the making of messages from descriptions; packed here they take some microseconds.

Source: rtnetlink(7), netlink(7), ``linux/rtnetlink.h``.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import HostError
from pytest_kinda.host.links import GONE, index_of
from pytest_kinda.host.tunnel_links import ROUTES
from pytest_kinda.operations import AddRoute, Hop

_AT_ONCE = 64  # the answers to so many fit into any socket's buffer
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ROUTE = struct.Struct("=8BI")  # family, prefix, -, -, table, protocol, scope, type, flags
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, weight - 1, interface
_NEW_ROUTE = 24
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ERROR, _CAPPED, _HAS_TEXT = 2, 0x100, 0x200
_ERROR_TEXT = 1
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_DESTINATION, _INTERFACE, _GATEWAY, _PRIORITY, _SOURCE, _MULTIPATH, _TABLE = 1, 4, 5, 6, 7, 9, 15
_UNICAST, _UNREACHABLE = 1, 7
_LINK_SCOPE = 253
_MAIN = 254


class RouteRefused(OSError):
    """The kernel does not take ``route``; others of the same call may be there."""

    def __init__(self, code: int, text: str, route: AddRoute) -> None:
        super().__init__(code, ": ".join(filter(None, [os.strerror(code), text])))
        self.route = route

    def __str__(self) -> str:
        return str(self.strerror)


def add_routes(routes: Sequence[AddRoute]) -> None:
    """Each in the place of one of the same destination, metric and table.

    Raises RouteRefused, also for an interface that is not there.
    """
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as kernel:
        kernel.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        kernel.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        kernel.bind((0, 0))
        rest = iter(routes)
        while some := list(islice(rest, _AT_ONCE)):
            _ask(kernel, some)


def remove_route(ip: IPRoute, operation: AddRoute) -> None:
    """Take a route of ours away; one that is not there is no error."""
    try:
        kind = {} if operation.hops else {"type": "unreachable"}
        ip.route("del", **_key(operation), **kind)
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def message(route: AddRoute, number: int) -> bytes:
    """RTM_NEWROUTE for a route, to be answered under ``number``. Raises HostError."""
    network = ip_network(route.destination)
    six = network.version == 6
    kind, scope = _UNICAST, 0
    attributes = [_attribute(_DESTINATION, network.network_address.packed)]
    if not route.hops:
        kind = _UNREACHABLE
    elif len(route.hops) == 1:
        hop = route.hops[0]
        attributes.append(_number(_INTERFACE, index_of(hop.interface)))
        attributes.append(_gateway(hop))
        if not hop.gateway and not six:
            scope = _LINK_SCOPE
    else:
        attributes.append(_attribute(_MULTIPATH, b"".join(map(_next_hop, route.hops))))
    if route.source:
        attributes.append(_attribute(_SOURCE, ip_address(route.source).packed))
    if route.metric:
        attributes.append(_number(_PRIORITY, route.metric))
    table = _MAIN if route.table == "main" else int(route.table)
    attributes.append(_number(_TABLE, table))
    family = socket.AF_INET6 if six else socket.AF_INET
    small = table if table < 256 else 0
    body = _ROUTE.pack(family, network.prefixlen, 0, 0, small, ROUTES, scope, kind, 0)
    body += b"".join(attributes)
    flags = _REQUEST | _ACK | _CREATE | _REPLACE
    return _HEADER.pack(_HEADER.size + len(body), _NEW_ROUTE, flags, number, 0) + body


def _key(operation: AddRoute) -> dict[str, Any]:
    network = ip_network(operation.destination)
    found: dict[str, Any] = {
        "dst": str(network),
        "proto": ROUTES,
        "family": 10 if network.version == 6 else 2,
    }
    if operation.metric:
        found["priority"] = operation.metric
    if operation.table != "main":
        found["table"] = int(operation.table)
    return found


def _ask(kernel: socket.socket, routes: Sequence[AddRoute]) -> None:
    kernel.send(b"".join(_checked(route, at) for at, route in enumerate(routes)))
    answered = 0
    refused: RouteRefused | None = None
    while answered < len(routes):
        for number, code, text in _answers(kernel.recv(1 << 16)):
            answered += 1
            if code and refused is None:
                refused = RouteRefused(code, text, routes[number])
    if refused is not None:
        raise refused


def _checked(route: AddRoute, number: int) -> bytes:
    try:
        return message(route, number)
    except HostError as error:
        raise RouteRefused(errno.ENODEV, error.message, route) from error


def _answers(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Number, error (0: well) and what the kernel says of it, of each answer."""
    at = 0
    while at < len(data):
        length, kind, flags, number, _ = _HEADER.unpack_from(data, at)
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", data, at + _HEADER.size)
            yield number, -code, _text(data[at : at + length], flags)
        at += length + -length % 4


def _text(answer: bytes, flags: int) -> str:
    """The kernel's own words, after the header of the message that it answers."""
    if flags & _HAS_TEXT and flags & _CAPPED:
        at = 2 * _HEADER.size + 4
        while at + 4 <= len(answer):
            length, kind = struct.unpack_from("=HH", answer, at)
            if kind == _ERROR_TEXT:
                return answer[at + 4 : at + length].rstrip(b"\0").decode(errors="replace")
            at += max(4, length + -length % 4)
    return ""


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _number(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value)


def _gateway(hop: Hop) -> bytes:
    return _attribute(_GATEWAY, ip_address(hop.gateway).packed) if hop.gateway else b""


def _next_hop(hop: Hop) -> bytes:
    gateway = _gateway(hop)
    length = _NEXT_HOP.size + len(gateway)
    return _NEXT_HOP.pack(length, 0, 0, index_of(hop.interface)) + gateway
