"""VXLAN-GPE in place of GRE: asked for by name only, since the bytes on the wire differ.

No Ethernet header inside (GPE), so devices on the way find an IP packet behind 36 bytes of outer
headers; UDP port 4790.
"""

from __future__ import annotations

from pyroute2 import IPRoute

from pytest_kinda.host import gre
from pytest_kinda.operations import AddTunnel

PORT = 4790
"""The port that IANA gave to VXLAN-GPE."""


def add(ip: IPRoute, operation: AddTunnel) -> None:
    """Make the tunnel of one node, by a netlink socket of its namespace."""
    ip.link(
        "add",
        ifname=operation.interface,
        kind="vxlan",
        vxlan_collect_metadata=True,
        vxlan_gpe=True,
        vxlan_learning=False,
        vxlan_port=PORT,
        mtu=operation.mtu,
    )
    gre.finish(ip, operation)


remove = gre.remove
