"""GRE without the kernel's ip_gre: the same bytes on the wire from two tc programs.

``kgre`` and ``kgrep`` are the ends of a veth pair. Routes to pods of other nodes point at
``kgre``; the program on ``kgrep`` wraps what comes out and sends it by the routing table, the one
on every underlay interface unwraps and hands to ``kgre``. See ``programs/gre.c``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from pyroute2 import IPRoute

from pytest_kinda.errors import HostError
from pytest_kinda.host import bpf, filters
from pytest_kinda.host.bpf import instructions
from pytest_kinda.host.tunnel_links import (
    ROUTES,
    absent,
    add_addresses,
    index_of,
    preferred_sources,
    set_own_sysctl,
)
from pytest_kinda.operations import AddTunnel

_MAC = "02:00:00:00:00:2f"
_PRIORITY = 0x6B67


def shared_peers(operations: Sequence[AddTunnel]) -> dict[str, str]:
    """What the one map of a batch holds: endpoint by pod network.

    Raises HostError if two nodes disagree.
    """
    found: dict[str, str] = {}
    for operation in operations:
        for peer in operation.peers:
            if found.setdefault(peer.pod_cidr, peer.endpoint) != peer.endpoint:
                raise HostError(
                    f"tunnel of {operation.place}: pods {peer.pod_cidr} are behind"
                    f" {peer.endpoint}, but behind {found[peer.pod_cidr]} for another node"
                )
    return found


def make_map(peers: Mapping[str, str]) -> int:
    """The map of a batch; the caller closes it once all of it is attached. Raises HostError."""
    return bpf.make_prefix_map("kinda_peers", peers)


def add(ip: IPRoute, operation: AddTunnel, peers: int) -> None:
    """Make the tunnel of one node, by a netlink socket of its namespace and in its namespace.

    One that stands is replaced: an interface of its underlay may be a new one.
    """
    name = operation.interface
    remove(ip, operation)
    underlay = [index_of(ip, one, operation) for one in operation.underlay]
    ip.link(
        "add",
        ifname=name,
        kind="veth",
        address=_MAC,
        mtu=operation.mtu,
        peer={"ifname": peer_name(name), "mtu": operation.mtu},
    )
    inner, carrier = index_of(ip, name, operation), index_of(ip, peer_name(name), operation)
    set_own_sysctl("net.ipv4.ip_forward", "1")
    set_own_sysctl(f"net.ipv6.conf.{name}.addr_gen_mode", "1")
    set_own_sysctl(f"net.ipv6.conf.{peer_name(name)}.disable_ipv6", "1")
    for index in (inner, carrier):
        ip.link("set", index=index, arp=False, state="up")
    add_addresses(ip, inner, operation)

    local = int.from_bytes(IPv4Address(operation.local).packed, "little")
    constants = {1: local, 2: carrier, 3: inner}
    encap = bpf.load_classifier("kinda_encap", instructions("gre_encap"), constants, peers)
    try:
        _attach(ip, carrier, encap, "kinda_encap")
    finally:
        os.close(encap)
    decap = bpf.load_classifier("kinda_decap", instructions("gre_decap"), constants)
    try:
        for index in underlay:
            _attach(ip, index, decap, "kinda_decap")
    finally:
        os.close(decap)
    sources = preferred_sources(operation)
    for aggregate in operation.aggregates:
        version = 6 if ":" in aggregate else 4
        ip.route("replace", dst=aggregate, oif=inner, proto=ROUTES, **sources[version])


def remove(ip: IPRoute, operation: AddTunnel) -> None:
    """Take it away; parts that are gone already are no error."""
    for name in operation.underlay:
        for index in ip.link_lookup(ifname=name):
            with absent():
                filters.take(ip, index, filters.INGRESS, _PRIORITY)
    with absent():
        # kgrep, its program, the addresses and all routes go with it.
        for index in ip.link_lookup(ifname=operation.interface):
            ip.link("del", index=index)


def peer_name(interface: str) -> str:
    """The other end of the pair."""
    return f"{interface}p"


def _attach(ip: IPRoute, index: int, descriptor: int, name: str) -> None:
    # clsact may be there for another's programs, and is left there for them.
    with absent():
        ip.tc("add", "clsact", index)
    filters.put(ip, index, filters.INGRESS, descriptor, name=name, priority=_PRIORITY)
