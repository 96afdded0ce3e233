"""Nodes with a pod each around one router, in network namespaces that no process holds.

Node ``i`` is at 10.9.i.1 with pods 10.244.i.0/24 and fd00:244:i::/64; the router ends with .254.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import struct
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyroute2 import IPRoute

from pytest_kinda.host.namespaces import Namespace, entered, unshare_network
from pytest_kinda.host.tunnels import add_tunnels, remove_tunnel
from pytest_kinda.operations import AddTunnel, TunnelPeer

AGGREGATES = ("10.244.0.0/16", "fd00:244::/32")
OVERHEAD = {"bpf": 24, "gre": 24, "vxlan": 36}
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 23, 2


def new_namespace() -> Namespace:
    """A network namespace that lives as long as the value."""
    found: list[int] = []

    def make() -> None:
        unshare_network()
        found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        sysctl("net/ipv6/conf/default/accept_dad", "0")
        with IPRoute() as ip:
            ip.link("set", index=1, state="up")

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return Namespace(found[0], 0)


def sysctl(key: str, value: str) -> None:
    path = Path("/proc/sys", key)
    if path.exists():
        path.write_text(value)


def connect(a: Namespace, a_name: str, b: Namespace, b_name: str, mtu: int = 1500) -> None:
    """A veth pair between two namespaces."""
    with entered(a), IPRoute() as ip:
        peer = {"ifname": b_name, "net_ns_fd": b.fileno(), "mtu": mtu}
        ip.link("add", ifname=a_name, kind="veth", mtu=mtu, peer=peer)
        ip.link("set", ifname=a_name, state="up")
    with entered(b), IPRoute() as ip:
        ip.link("set", ifname=b_name, state="up")


def configure(place: Namespace, name: str, *addresses: str, **routes: str) -> None:
    """Addresses in CIDR notation and default routes (``v4=``, ``v6=``) of an interface."""
    with entered(place), IPRoute() as ip:
        index = ip.link_lookup(ifname=name)[0]
        for address in addresses:
            host, length = address.split("/")
            extra = {"flags": 2} if ":" in host else {}
            ip.addr("add", index=index, address=host, prefixlen=int(length), **extra)
        if "v4" in routes:
            ip.route("add", dst="0.0.0.0/0", gateway=routes["v4"], oif=index)
        if "v6" in routes:
            ip.route("add", dst="::/0", gateway=routes["v6"], oif=index)


def set_offload(place: Namespace, name: str, *, tx: bool | None = None, gso: bool | None = None):
    """Transmit checksums, and segmentation (TSO and GSO), of an interface on or off."""
    commands = [(0x17, tx)] if tx is not None else []  # ETHTOOL_STXCSUM
    commands += [(0x1F, gso), (0x24, gso)] if gso is not None else []  # _STSO, _SGSO
    with entered(place), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command, value in commands:
            data = array("B", struct.pack("II", command, int(bool(value))))
            request = struct.pack("16sP", name.encode(), data.buffer_info()[0])
            fcntl.ioctl(control, 0x8946, request)  # SIOCETHTOOL


@dataclass
class Lab:
    nodes: list[Namespace]
    pods: list[Namespace]
    router: Namespace
    operations: list[AddTunnel] = field(default_factory=list)
    underlay_mtu: int = 1500

    def tunnel(self, number: int, driver: str, mtu: int | None = None) -> AddTunnel:
        """The tunnel of node ``number`` (from 1)."""
        peers = [i for i in range(1, len(self.nodes) + 1) if i != number]
        return AddTunnel(
            place=f"n{number}",
            driver=driver,
            local=f"10.9.{number}.1",
            underlay=("net0",),
            addresses=(f"10.244.{number}.1/32", f"fd00:244:{number}::1/128"),
            aggregates=AGGREGATES,
            peers=tuple(
                TunnelPeer(cidr, f"10.9.{i}.1")
                for i in peers
                for cidr in (f"10.244.{i}.0/24", f"fd00:244:{i}::/64")
            ),
            mtu=mtu or self.underlay_mtu - OVERHEAD[driver],
        )

    def add_tunnels(self, *drivers: str) -> None:
        """One driver for all nodes, or one for each."""
        named = drivers * len(self.nodes) if len(drivers) == 1 else drivers
        new = [self.tunnel(i, driver) for i, driver in enumerate(named, 1)]
        add_tunnels([(one, self.enter(one.place)) for one in new])
        self.operations += new

    def enter(self, place: str):
        return lambda: entered(self.nodes[int(place[1:]) - 1])

    def remove_tunnels(self) -> None:
        for operation in self.operations:
            with self.enter(operation.place)():
                remove_tunnel(operation)
        self.operations.clear()

    def close(self) -> None:
        for one in (*self.nodes, *self.pods, self.router):
            one.close()


@contextmanager
def lab(size: int = 2, *, underlay_mtu: int = 1500) -> Iterator[Lab]:
    """A lab without tunnels."""
    router = new_namespace()
    with entered(router):
        sysctl("net/ipv4/ip_forward", "1")
    made = Lab([], [], router, underlay_mtu=underlay_mtu)
    try:
        for i in range(1, size + 1):
            node, pod = new_namespace(), new_namespace()
            made.nodes.append(node)
            made.pods.append(pod)
            connect(node, "net0", router, f"r{i}", underlay_mtu)
            configure(router, f"r{i}", f"10.9.{i}.254/24")
            configure(node, "net0", f"10.9.{i}.1/24", v4=f"10.9.{i}.254")
            connect(pod, "eth0", node, "pod0", underlay_mtu)
            v4, v6 = f"10.244.{i}", f"fd00:244:{i}::"
            configure(node, "pod0", f"{v4}.254/24", f"{v6}fe/64")
            configure(pod, "eth0", f"{v4}.2/24", f"{v6}2/64", v4=f"{v4}.254", v6=f"{v6}fe")
            with entered(node):
                sysctl("net/ipv4/ip_forward", "1")
                sysctl("net/ipv6/conf/all/forwarding", "1")
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Reply:
    """What came back: ``reply``, ``too big`` (with the MTU it told) or ``nothing``."""

    kind: str
    mtu: int = 0


def ping(place: Namespace, target: str, length: int = 84, timeout: float = 2.0) -> Reply:
    """An ICMP echo of ``length`` bytes of IP packet in all, with DF."""
    v6 = ":" in target
    family = socket.AF_INET6 if v6 else socket.AF_INET
    protocol = socket.getprotobyname("ipv6-icmp") if v6 else socket.IPPROTO_ICMP
    size = length - (48 if v6 else 28)
    with entered(place):
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    with raw:
        if v6:
            raw.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
        else:
            raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        mark = os.urandom(4)
        head = struct.pack("!BBH", 128 if v6 else 8, 0, 0) + mark
        packet = head + bytes(size)
        if not v6:
            packet = packet[:2] + struct.pack("!H", internet_checksum(packet)) + packet[4:]
        raw.sendto(packet, (target, 0))
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                data = raw.recv(70000)
            except TimeoutError:
                break
            data = data if v6 else data[(data[0] & 15) * 4 :]
            if data[0] == (129 if v6 else 0) and data[4:8] == mark and len(data) == size + 8:
                return Reply("reply")
            if v6 and data[0] == 2:
                return Reply("too big", struct.unpack_from("!I", data, 4)[0])
            if not v6 and data[:2] == b"\x03\x04":
                return Reply("too big", struct.unpack_from("!H", data, 6)[0])
    return Reply("nothing")


def internet_checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transfer(source: Namespace, target: Namespace, address: str, size: int) -> float:
    """Send ``size`` bytes by TCP; the seconds it took. Raises AssertionError if they changed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(target):
        server = socket.create_server((address, 0), family=family)
    with entered(source):
        client = socket.socket(family)
    got = hashlib.sha1()
    with server, client:
        server.settimeout(10)
        client.settimeout(10)

        def receive() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                while data := connection.recv(1 << 18):
                    got.update(data)

        reader = threading.Thread(target=receive)
        reader.start()
        began = time.monotonic()
        try:
            client.connect(server.getsockname()[:2])
            block = os.urandom(1 << 18)
            sent = hashlib.sha1()
            for at in range(0, size, len(block)):
                part = block[: min(len(block), size - at)]
                client.sendall(part)
                sent.update(part)
            client.shutdown(socket.SHUT_WR)
        finally:
            client.close()
            reader.join()
        took = time.monotonic() - began
    assert got.digest() == sent.digest(), "what arrived is not what was sent"
    return took


@contextmanager
def frames(place: Namespace, interface: str) -> Iterator[list[bytes]]:
    """The frames that pass an interface during the block, complete at its end."""
    with entered(place):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    with raw:
        raw.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        raw.bind((interface, 3))
        found: list[bytes] = []
        yield found
        raw.setblocking(False)
        while True:
            try:
                found.append(raw.recv(1 << 17))
            except BlockingIOError:
                return
