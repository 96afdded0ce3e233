"""Links: cables between namespaces, bridge ports, hubs, and properties of interfaces.

All functions work in the namespace that the calling thread is in, by the IPRoute made there.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from ctypes import addressof, create_string_buffer
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from pytest_kinda.errors import HostError
from pytest_kinda.host.namespaces import Namespace
from pytest_kinda.host.tunnel_links import set_own_sysctl
from pytest_kinda.operations import HOST, AddHub, End, SetInterface

GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)

_CABLE_ATTEMPTS = 3
FORWARDING = 3  # of a bridge's port
_PORTS_LIMIT = 5.0  # seconds

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x00000017
_ETHTOOL_SGSO = 0x00000024
_ETHTOOL_SGRO = 0x0000002C


def index_of(interface: str) -> int:
    """The index of an interface of the thread's namespace. Raises HostError naming those there."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        there = ", ".join(sorted(name for _, name in socket.if_nameindex()))
        raise HostError(f"there is no interface {interface}; there are {there}") from error


def exists(interface: str) -> bool:
    """Whether the thread's namespace has an interface of that name."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True


def add_cable(ip: IPRoute, near: End, far: End, far_namespace: Namespace) -> None:
    """A veth pair between this namespace and another one; an equal pair that stands is kept.

    Its near end comes up here; the far one is brought up by whoever enters that namespace.
    A pair of the same name whose far end is elsewhere is what a restarted container left behind
    in this namespace and is replaced. Raises HostError: an interface of that name is no such pair.
    """
    for _ in range(_CABLE_ATTEMPTS):
        try:
            ip.link(
                "add",
                ifname=near.interface,
                kind="veth",
                state="up",
                mtu=near.mtu,
                **({"address": near.mac} if near.mac else {}),
                peer={
                    "ifname": far.interface,
                    "net_ns_fd": far_namespace.fileno(),
                    "mtu": far.mtu,
                    **({"address": far.mac} if far.mac else {}),
                },
            )
            return
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
        if not exists(near.interface):
            continue
        try:
            if _is_end_of(ip, near.interface, far_namespace):
                return
            _remove_veth(ip, near.interface)
        except NetlinkError as error:
            # The kernel takes down the namespace of the container that is gone at the same time.
            if error.code not in GONE:
                raise
    there = near if exists(near.interface) else far
    raise HostError(f"interface {there.interface} of {there.place} exists already")


def bring_up(ip: IPRoute, interface: str) -> None:
    """Set an interface up."""
    ip.link("set", index=index_of(interface), state="up")


def enslave(ip: IPRoute, port: str, bridge: str) -> None:
    """Put an interface into a bridge."""
    ip.link("set", index=index_of(port), master=index_of(bridge))


def set_quiet(interface: str) -> None:
    """No address of its own for a bridge's port on the host: it would only send IPv6 noise."""
    set_own_sysctl(f"net.ipv6.conf.{interface}.disable_ipv6", "1")


def remove(ip: IPRoute, interface: str) -> None:
    """Delete an interface (a veth takes its other end with it); none there is no error."""
    try:
        ip.link("del", ifname=interface)
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def add_hub(ip: IPRoute, operation: AddHub) -> None:
    """A bridge that floods: learns nothing, passes every group address, is no party itself."""
    try:
        ip.link(
            "add",
            ifname=operation.bridge,
            kind="bridge",
            br_ageing_time=0,
            br_forward_delay=0,
            br_group_fwd_mask=0xFFF8,  # all that a bridge may pass: LLDP, LACP, ...
            br_mcast_snooping=0,
            br_stp_state=0,
            br_nf_call_iptables=0,
            br_nf_call_ip6tables=0,
            br_nf_call_arptables=0,
        )
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
    if operation.place != HOST:
        # The switch of the whole namespace overrules the bridge's own, and is 1 in a new one.
        for layer in ("iptables", "ip6tables", "arptables"):
            with suppress(FileNotFoundError):  # no br_netfilter, nothing to switch off
                set_own_sysctl(f"net.bridge.bridge-nf-call-{layer}", "0")
    for name in (operation.bridge, *operation.ports):
        set_own_sysctl(f"net.ipv6.conf.{name}.disable_ipv6", "1")
    for port in operation.ports:
        enslave(ip, port, operation.bridge)
        bring_up(ip, port)
    bring_up(ip, operation.bridge)
    _await_forwarding(ip, operation.ports)


def _await_forwarding(ip: IPRoute, ports: Sequence[str]) -> None:
    """Wait until frames pass all ports that have a carrier.

    The kernel tells a bridge of its ports' carrier up to a second late; asking for the link makes
    it do so at once (since 6.8). Raises HostError.
    """

    def look() -> list[str]:
        links = (ip.get_links(index_of(port))[0] for port in ports)
        return [
            str(link.get_attr("IFLA_IFNAME"))
            for link in links
            if link.get_attr("IFLA_CARRIER")
            and link.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_STATE")
            != FORWARDING
        ]

    looking = Retrying(
        retry=retry_if_result(bool), stop=stop_after_delay(_PORTS_LIMIT), wait=wait_fixed(0.05)
    )
    try:
        looking(look)
    except RetryError as error:
        names = ", ".join(error.last_attempt.result())
        raise HostError(f"ports {names} forward nothing after {_PORTS_LIMIT:g} s") from None


def set_interface(ip: IPRoute, operation: SetInterface) -> None:
    """Change what the operation names; ``rename`` last but for the state."""
    name = operation.interface
    if operation.rename and not exists(name) and exists(operation.rename):
        name = operation.rename  # carried out before
    index = index_of(name)
    changes: dict[str, Any] = {}
    if operation.mac is not None:
        changes["address"] = operation.mac
    if operation.mtu is not None:
        changes["mtu"] = operation.mtu
    if changes:
        ip.link("set", index=index, **changes)
    if operation.rename and name != operation.rename:
        _rename(ip, index, operation.rename)
        name = operation.rename
    if operation.up is not None:
        ip.link("set", index=index, state="up" if operation.up else "down")
    if operation.tx_checksum is not None:
        set_tx_checksum(name, operation.tx_checksum)
    if operation.segments is not None:
        _set_offload(name, _ETHTOOL_SGSO, operation.segments, "generic segmentation")
        _set_offload(name, _ETHTOOL_SGRO, operation.segments, "generic receive")


def set_tx_checksum(interface: str, on: bool) -> None:
    """Switch transmit checksum offload by ethtool's ioctl (segmentation offload follows it)."""
    _set_offload(interface, _ETHTOOL_STXCSUM, on, "transmit checksum")


def _set_offload(interface: str, command: int, on: bool, what: str) -> None:
    value = create_string_buffer(struct.pack("=II", command, int(on)))
    request = struct.pack("16sP16x", interface.encode(), addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
        except OSError as error:
            raise HostError(f"{what} offload of {interface}: {error.strerror}") from error


def _rename(ip: IPRoute, index: int, name: str) -> None:
    try:
        ip.link("set", index=index, ifname=name)
    except NetlinkError as error:
        if error.code != errno.EBUSY:
            raise
        # Kernels before 6.2 rename only what is down.
        ip.link("set", index=index, state="down")
        ip.link("set", index=index, ifname=name)
        ip.link("set", index=index, state="up")


def _is_end_of(ip: IPRoute, interface: str, far: Namespace) -> bool:
    """Whether the other end of a veth is in that namespace."""
    link = _look(ip, interface)
    known = link.get_attr("IFLA_LINK_NETNSID")
    if known is None:  # both ends in one namespace
        with Namespace.open(0) as here:
            return link.get_attr("IFLA_LINK") is not None and here.inode == far.inode
    return bool(known == namespace_number(ip, far))


def namespace_number(ip: IPRoute, other: Namespace) -> int:
    """The number that this namespace has given another one; -1 if it has none."""
    found = ip.get_netnsid(fd=other.fileno())
    return int(found["nsid"]) if found else -1


def _look(ip: IPRoute, interface: str) -> Any:
    """What the kernel says of an interface. Raises NetlinkError: it is gone."""
    try:
        return ip.get_links(socket.if_nametoindex(interface))[0]
    except OSError as error:
        raise NetlinkError(errno.ENODEV) from error


def _remove_veth(ip: IPRoute, interface: str) -> None:
    link = _look(ip, interface)
    if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "veth":
        raise HostError(f"interface {interface} exists already and is no end of a cable")
    remove(ip, interface)
