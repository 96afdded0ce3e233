"""GRE by the kernel's ip_gre: one external device, and routes that say where packets go."""

from __future__ import annotations

from pyroute2 import IPRoute

from pytest_kinda.host.tunnel_links import (
    absent,
    add_addresses,
    add_encapsulating_routes,
    index_of,
)
from pytest_kinda.operations import AddTunnel


def add(ip: IPRoute, operation: AddTunnel) -> None:
    """Make the tunnel of one node, by a netlink socket of its namespace."""
    ip.link(
        "add", ifname=operation.interface, kind="gre", gre_collect_metadata=True, mtu=operation.mtu
    )
    finish(ip, operation)


def finish(ip: IPRoute, operation: AddTunnel) -> None:
    """Bring an external device up with addresses and routes."""
    index = index_of(ip, operation.interface, operation)
    ip.link("set", index=index, mtu=operation.mtu, state="up")
    add_addresses(ip, index, operation)
    add_encapsulating_routes(ip, index, operation)


def remove(ip: IPRoute, operation: AddTunnel) -> None:
    """Delete the device, and with it addresses and routes; none there is no error."""
    with absent():
        for index in ip.link_lookup(ifname=operation.interface):
            ip.link("del", index=index)
