"""What a VLAN-aware ``Switch`` does to frames, where the kernel's bridges can keep VLANs apart."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from pytest_kinda.devices.switch import Switch
from pytest_kinda.host.facts import has_bridge_vlans
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import InterfacePlan
from tests.support.places import containers

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        os.geteuid() == 0 and not has_bridge_vlans(), reason="this kernel's bridges have no VLANs"
    ),
]

HOSTS = ("h1", "h2", "h3", "h4", "h5")
KIND = 0x88B5
SWITCH = Switch(
    "s1",
    vlan_aware=True,
    tag={"h1": 10, "h2": 10, "h3": 20},
    trunks={"h4": [10, 20]},
)
"""h5 is in neither: it gets everything that is tagged, and VLAN 1 untagged."""


def frame(vlan=None):
    """A frame to all, with or without a tag."""
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    return b"\xff" * 6 + b"\x02\0\0\0\0\1" + tag + KIND.to_bytes(2, "big") + bytes(46)


def vlan_of(raw):
    """The tag of the frame of ours that comes in time, 0 if it has none; None if none comes."""
    while True:
        try:
            data, more, _, _ = raw.recvmsg(2048, 64)
        except TimeoutError:
            return None
        tagged = data[12:14] == b"\x81\x00"
        at = 16 if tagged else 12
        if data[at : at + 2] != KIND.to_bytes(2, "big"):
            continue
        for _, _, value in more:  # the kernel takes a tag out of the frame and tells it beside
            status, vlan = struct.unpack_from("=I12xH", value)
            if status & 0x10:  # TP_STATUS_VLAN_VALID
                return vlan & 0xFFF
        return int.from_bytes(data[14:16], "big") & 0xFFF if tagged else 0


def received(found, sender, data):
    """Which host gets a frame of the sender, with which tag."""
    listening = {}
    for name in HOSTS:
        raw = found[name].call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0x0300)
        raw.bind(("eth0", 0x0003))
        raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        raw.settimeout(0.5)
        listening[name] = raw
    try:
        listening[sender].send(data)
        seen = {
            name: vlan
            for name, raw in listening.items()
            if name != sender and (vlan := vlan_of(raw)) is not None
        }
    finally:
        for raw in listening.values():
            raw.close()
    return seen


def test_frames_stay_in_their_vlans_and_keep_or_lose_their_tags():
    context = DeviceContext(
        "s1",
        tuple(
            InterfacePlan(f"eth{at}", f"link{at}", "", peers=(name,))
            for at, name in enumerate(HOSTS)
        ),
    )
    with containers("s1", *HOSTS) as found:
        switch = found["s1"]
        for at, name in enumerate(HOSTS):
            pid = str(found[name].pid)
            add = ("ip", "link", "add", f"eth{at}", "type", "veth", "peer", "name", "eth0")
            switch.run(*add, "netns", pid)
            for place in (switch, found[name]):
                one = f"eth{at}" if place is switch else "eth0"
                path = f"net.ipv6.conf.{one}.disable_ipv6"
                place.call(lambda path=path: _write(path))
            found[name].run("ip", "link", "set", "eth0", "up")
        switch.run(*SWITCH.creating())
        for commands in SWITCH.attaching(context).values():
            for command in commands:
                switch.run(*command)
        switch.run("ip", "link", "set", "br0", "up")
        assert received(found, "h1", frame()) == {"h2": 0, "h4": 10, "h5": 10}
        assert received(found, "h3", frame()) == {"h4": 20, "h5": 20}
        assert received(found, "h4", frame(20)) == {"h3": 0, "h5": 20}
        assert received(found, "h4", frame(30)) == {}  # not one of its trunk
        assert received(found, "h4", frame()) == {}  # a trunk has no untagged frames
        assert received(found, "h5", frame()) == {}  # nobody else is in VLAN 1
        assert received(found, "h5", frame(10)) == {"h1": 0, "h2": 0, "h4": 10}


def _write(key):
    with open("/proc/sys/" + key.replace(".", "/"), "w") as file:
        file.write("1")
