"""Addresses, rules and sysctls in the namespace that the calling thread is in."""

from __future__ import annotations

import errno
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import HostError
from pytest_kinda.host.links import GONE, index_of
from pytest_kinda.operations import (
    AddAddress,
    AddRule,
    RemoveAddress,
    SetSysctl,
)

_NODAD = 0x02
_MAIN = 254


def add_address(ip: IPRoute, operation: AddAddress) -> None:
    """Put an address on an interface; one that is there already is as good.

    IPv6 addresses are usable at once (no duplicate address detection: the plan is unique).
    """
    one = ip_interface(operation.address)
    extra = {"flags": _NODAD} if one.version == 6 else {}
    try:
        ip.addr(
            "add",
            index=index_of(operation.interface),
            address=str(one.ip),
            prefixlen=one.network.prefixlen,
            **extra,
        )
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def remove_address(ip: IPRoute, operation: AddAddress | RemoveAddress) -> None:
    """Take an address away; neither it nor its interface has to be there."""
    one = ip_interface(operation.address)
    try:
        index = index_of(operation.interface)
    except HostError:
        return
    try:
        ip.addr("del", index=index, address=str(one.ip), prefixlen=one.network.prefixlen)
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def add_rule(ip: IPRoute, operation: AddRule) -> None:
    """A rule of policy routing; one that is there already is as good."""
    try:
        ip.rule("add", **_rule(operation))
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def remove_rule(ip: IPRoute, operation: AddRule) -> None:
    """Take a rule of ours away; one that is not there is no error."""
    try:
        ip.rule("del", **_rule(operation))
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def read_sysctl(key: str) -> str:
    """The value of a sysctl of the thread's network namespace. Raises HostError."""
    try:
        return _sysctl_path(key).read_text().strip()
    except OSError as error:
        raise HostError(f"sysctl {key} could not be read: {error.strerror}") from error


def write_sysctl(operation: SetSysctl) -> None:
    """Write it, unless it has that value already. Raises HostError."""
    path = _sysctl_path(operation.key)
    try:
        if path.read_text().split() != operation.value.split():
            path.write_text(operation.value)
    except OSError as error:
        raise HostError(
            f"sysctl {operation.key} = {operation.value!r}: {error.strerror}",
            remedy="check the key and the value; the kernel may lack what it configures",
        ) from error


def _sysctl_path(key: str) -> Path:
    """As ``sysctl`` has it: dots part, and a slash stands for a dot in an interface's name."""
    parts = [part.replace("/", ".") for part in key.split(".")]
    if parts[0] != "net" or any(part in ("", ".", "..") for part in parts):
        raise HostError(f"sysctl {key!r}: expected one of the network, net.ipv4.ip_forward style")
    return Path("/proc/sys", *parts)


def _rule(operation: AddRule) -> dict[str, Any]:
    found: dict[str, Any] = {
        "family": 2,
        "priority": operation.priority,
        "table": _MAIN if operation.table == "main" else int(operation.table),
    }
    if operation.mask:
        found |= {"fwmark": operation.mark, "fwmask": operation.mask}
    if operation.longer_than is not None:
        # the kernel's word: a route this long or shorter does not count
        found["suppress_prefixlen"] = operation.longer_than
    return found
