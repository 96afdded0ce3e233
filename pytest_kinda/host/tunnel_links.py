"""What the tunnel drivers share: links by name, addresses, encapsulating routes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import nla
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pytest_kinda.errors import HostError
from pytest_kinda.operations import AddTunnel, TunnelPeer

ROUTES = 66
"""The "protocol" of our routes: who made them, as ``ip route`` prints it."""

_ENCAP_IP = 2
_DONT_FRAGMENT = 0x0100
_GONE = (errno.ENOENT, errno.ENODEV, errno.EINVAL, errno.ESRCH, errno.EEXIST)


class _IpEncapsulation(nla):  # type: ignore[misc]
    """LWTUNNEL_IP_*, which pyroute2 does not know."""

    prefix = "LWTUNNEL_IP_"
    nla_map = (
        ("LWTUNNEL_IP_UNSPEC", "none"),
        ("LWTUNNEL_IP_ID", "be64"),
        ("LWTUNNEL_IP_DST", "ip4addr"),
        ("LWTUNNEL_IP_SRC", "ip4addr"),
        ("LWTUNNEL_IP_TTL", "uint8"),
        ("LWTUNNEL_IP_TOS", "uint8"),
        ("LWTUNNEL_IP_FLAGS", "be16"),
    )


rtmsg.encaps[_ENCAP_IP] = _IpEncapsulation


@contextmanager
def absent() -> Iterator[None]:
    """Netlink's "it is not there" and "it is there already" are as good as done."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in _GONE:
            raise


def index_of(ip: IPRoute, name: str, operation: AddTunnel) -> int:
    """The index of an interface of the place. Raises HostError."""
    found = ip.link_lookup(ifname=name)
    if not found:
        there = ", ".join(sorted(link.get_attr("IFLA_IFNAME") for link in ip.get_links()))
        raise HostError(
            f"tunnel of {operation.place}: there is no interface {name}; there are {there}"
        )
    return int(found[0])


def add_addresses(ip: IPRoute, index: int, operation: AddTunnel) -> None:
    """Put the operation's addresses on the tunnel's interface."""
    for address in operation.addresses:
        one = ip_interface(address)
        extra = {"flags": 0x02} if one.version == 6 else {}  # IFA_F_NODAD: usable at once
        ip.addr(
            "replace", index=index, address=str(one.ip), prefixlen=one.network.prefixlen, **extra
        )


def preferred_sources(operation: AddTunnel) -> dict[int, dict[str, str]]:
    """By version of IP, what to add to a route so that it prefers the tunnel's own address."""
    found: dict[int, dict[str, str]] = {4: {}, 6: {}}
    for address in operation.addresses:
        one = ip_interface(address)
        found[one.version].setdefault("prefsrc", str(one.ip))
    return found


def add_encapsulating_routes(ip: IPRoute, index: int, operation: AddTunnel) -> None:
    """A route per peer that says where its packets go, and the aggregates without one.

    An external device drops what no route has said a destination for: pods of nobody.
    """
    sources = preferred_sources(operation)
    for aggregate in operation.aggregates:
        ip.route("replace", dst=aggregate, oif=index, proto=ROUTES, **sources[_version(aggregate)])
    for peer in operation.peers:
        ip.route(
            "replace",
            dst=peer.pod_cidr,
            oif=index,
            proto=ROUTES,
            encap_type=_ENCAP_IP,
            encap={"attrs": _encapsulation(operation, peer)},
            **sources[_version(peer.pod_cidr)],
        )


def set_own_sysctl(key: str, value: str) -> None:
    """Write a sysctl of the namespace that the calling thread is in; one that is not there, not.

    ``/proc/sys/net`` shows each thread its own namespace.
    """
    path = Path("/proc/sys", *key.split("."))
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except FileNotFoundError:
        if not key.startswith("net.ipv6."):  # a machine without IPv6 lacks only these
            raise


def _encapsulation(operation: AddTunnel, peer: TunnelPeer) -> list[tuple[str, Any]]:
    return [
        ("LWTUNNEL_IP_DST", peer.endpoint),
        ("LWTUNNEL_IP_SRC", operation.local),
        ("LWTUNNEL_IP_TTL", 64),
        ("LWTUNNEL_IP_FLAGS", _DONT_FRAGMENT),
    ]


def _version(network: str) -> int:
    return 6 if ":" in network else 4
