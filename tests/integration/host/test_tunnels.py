"""Tunnels in real namespaces: what passes, what is on the wire, what is left afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dpkt
import pytest
from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink.rtnl.tcmsg import sched_bpf
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from pytest_kinda.errors import HostError
from pytest_kinda.host.bpf import loaded_programs
from pytest_kinda.host.namespaces import entered
from pytest_kinda.host.tunnels import add_tunnels, refusal, remove_tunnel
from tests.support.tunnel_lab import (
    OVERHEAD,
    Lab,
    Reply,
    frames,
    internet_checksum,
    lab,
    ping,
    set_offload,
    transfer,
)

# What pyroute2 does not decode.
sched_bpf.options.nla_map += (
    ("TCA_BPF_FLAGS_GEN", "uint32"),
    ("TCA_BPF_TAG", "hex"),
    ("TCA_BPF_ID", "uint32"),
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")


def need(driver: str) -> None:
    if why := refusal(driver):
        if driver == "bpf":
            pytest.fail(why)
        pytest.skip(f"this kernel cannot: tunnel driver {driver}")


@pytest.fixture(scope="module", params=["bpf", "gre", "vxlan"])
def driver(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return str(request.param)


@pytest.fixture(scope="module", params=["bpf", "gre"])
def gre_driver(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def three(driver: str) -> Iterator[Lab]:
    with lab(3) as made:
        made.add_tunnels(driver)
        yield made


COMBINATIONS = [
    *((driver, 1500) for driver in ("bpf", "gre", "vxlan")),
    ("bpf", 1304),  # the least with which IPv6 fits inside
    ("bpf", 9000),
    ("gre", 9000),
    ("vxlan", 1400),
    ("vxlan", 9000),
]
"""Each driver, on links of the usual MTU, of a smaller and a larger one."""


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda one: f"{one[0]}-{one[1]}")
def fabric(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, int]]:
    """Two nodes, and the largest packet that fits into their tunnel."""
    driver, mtu = request.param
    need(driver)
    with lab(2, underlay_mtu=mtu) as made:
        made.add_tunnels(driver)
        yield made, mtu - OVERHEAD[driver]


@pytest.fixture(scope="module")
def two(gre_driver: str) -> Iterator[Lab]:
    with lab(2) as made:
        made.add_tunnels(gre_driver)
        yield made


def test_every_pair_of_pods_talks_in_both_families(three):
    for i, pod in enumerate(three.pods, 1):
        for j in range(1, 4):
            if i != j:
                assert ping(pod, f"10.244.{j}.2") == Reply("reply"), f"p{i} to p{j}"
                assert ping(pod, f"fd00:244:{j}::2") == Reply("reply"), f"p{i} to p{j}, IPv6"


def test_nodes_talk_to_pods_from_an_address_of_their_pod_network(three):
    assert ping(three.nodes[0], "10.244.2.2") == Reply("reply")
    assert ping(three.nodes[0], "fd00:244:3::2") == Reply("reply")
    assert ping(three.pods[0], "10.244.2.1") == Reply("reply")


def test_exactly_the_mtu_passes_and_one_more_is_told(fabric):
    made, mtu = fabric
    for address in ("10.244.2.2", "fd00:244:2::2"):
        assert ping(made.pods[0], address, mtu) == Reply("reply")
        assert ping(made.pods[0], address, mtu + 1) == Reply("too big", mtu)


OFFLOADS = {
    "all offloads": [],
    "pods without checksum": [("pods", "eth0", {"tx": False})],
    "nodes without checksum": [("nodes", "net0", {"tx": False})],
    "nodes without segmentation": [("nodes", "net0", {"gso": False})],
    "pods without segmentation": [("pods", "eth0", {"gso": False})],
    "none at all": [
        ("pods", "eth0", {"tx": False, "gso": False}),
        ("nodes", "net0", {"tx": False, "gso": False}),
        ("nodes", "pod0", {"tx": False, "gso": False}),
    ],
}


@contextmanager
def offloaded(made: Lab, changes: list[tuple[str, str, dict[str, bool]]]) -> Iterator[None]:
    """Offloads as asked for during the block, all of them on after it."""
    try:
        for where, name, change in changes:
            for place in getattr(made, where):
                set_offload(place, name, **change)
        yield
    finally:
        for where, name, _ in changes:
            for place in getattr(made, where):
                set_offload(place, name, tx=True, gso=True)


@pytest.mark.parametrize("offloads", OFFLOADS.values(), ids=OFFLOADS)
@pytest.mark.parametrize("address", ["10.244.2.2", "fd00:244:2::2"], ids=["IPv4", "IPv6"])
def test_full_size_tcp(fabric, offloads, address):
    made, mtu = fabric
    with offloaded(made, offloads):
        assert ping(made.pods[0], address, mtu) == Reply("reply")
        transfer(made.pods[0], made.pods[1], address, 5_000_000)


def test_the_wire_has_plain_gre(two, tmp_path):
    # With the offload the inner checksums are left to the receiver.
    whole = offloaded(two, OFFLOADS["pods without checksum"])
    with whole, frames(two.router, "r1") as seen:
        assert ping(two.pods[0], "10.244.2.2") == Reply("reply")
        assert ping(two.pods[0], "fd00:244:2::2") == Reply("reply")
        transfer(two.pods[0], two.pods[1], "10.244.2.2", 100_000)
        transfer(two.pods[0], two.pods[1], "fd00:244:2::2", 100_000)
    kinds = set()
    for frame in seen:
        ethernet = dpkt.ethernet.Ethernet(frame)
        if ethernet.type != dpkt.ethernet.ETH_TYPE_IP:
            continue
        outer = ethernet.data
        ends = socket.inet_ntoa(outer.src), socket.inet_ntoa(outer.dst)
        assert (outer.p, outer.df, outer.mf, outer.offset) == (47, 1, 0, 0)
        assert (*ends, outer.ttl) in {("10.9.1.1", "10.9.2.1", 64), ("10.9.2.1", "10.9.1.1", 63)}
        assert internet_checksum(bytes(outer)[:20]) == 0
        assert outer.len == len(frame) - 14
        gre = outer.data
        assert isinstance(gre, dpkt.gre.GRE)
        assert gre.flags == 0
        inner = gre.data
        if gre.p == dpkt.ethernet.ETH_TYPE_IP:
            assert internet_checksum(bytes(inner)[:20]) == 0
            addresses = {socket.inet_ntoa(inner.src), socket.inet_ntoa(inner.dst)}
            assert addresses == {"10.244.1.2", "10.244.2.2"}
            assert inner.ttl == 63
            pseudo = inner.src + inner.dst + struct.pack("!HH", inner.p, inner.len - 20)
        else:
            assert gre.p == dpkt.ethernet.ETH_TYPE_IP6
            addresses = {socket.inet_ntop(socket.AF_INET6, one) for one in (inner.src, inner.dst)}
            assert addresses == {"fd00:244:1::2", "fd00:244:2::2"}
            assert inner.hlim == 63
            pseudo = inner.src + inner.dst + struct.pack("!II", inner.plen, inner.nxt)
        protocol = inner.p if gre.p == dpkt.ethernet.ETH_TYPE_IP else inner.nxt
        if protocol == dpkt.ip.IP_PROTO_ICMP:
            pseudo = b""
        payload = frame[14 + 20 + 4 + (20 if gre.p == 0x0800 else 40) :]
        assert internet_checksum(pseudo + payload) == 0, f"{gre.p:04x} {protocol}"
        kinds.add((gre.p, protocol))
    assert kinds == {(0x0800, 1), (0x0800, 6), (0x86DD, 58), (0x86DD, 6)}
    if program := shutil.which("tcpdump"):
        text = decoded_by_tcpdump(program, seen, tmp_path / "wire.pcap")
        assert "GREv0, Flags [none]" in text
        assert "10.9.1.1 > 10.9.2.1" in text
        assert "10.244.1.2 > 10.244.2.2: ICMP echo" in text
        for complaint in ("incorrect", "bad cksum", "unknown", "invalid"):
            assert complaint not in text


def test_the_wire_has_vxlan_gpe():
    """What `tunnel="vxlan"` sends: the packet itself behind UDP 4790, without Ethernet."""
    need("vxlan")
    with lab(2) as made:
        made.add_tunnels("vxlan")
        for address, protocol in (("10.244.2.2", 1), ("fd00:244:2::2", 2)):
            with frames(made.router, "r1") as seen:
                assert ping(made.pods[0], address) == Reply("reply")
            outers = [dpkt.ethernet.Ethernet(one).data for one in seen if one[12:14] == b"\x08\x00"]
            assert {(socket.inet_ntoa(one.src), one.p) for one in outers} >= {("10.9.1.1", 17)}
            (sent,) = (one for one in outers if one.src == socket.inet_aton("10.9.1.1"))
            assert sent.data.dport == 4790
            flags, inside = sent.data.data[0], sent.data.data[3]
            assert (flags & 0x0C, inside) == (0x0C, protocol)  # an identifier, and GPE
            packet = sent.data.data[8:]
            assert packet[0] >> 4 == (6 if ":" in address else 4)
            assert len(packet) == 84
            assert sent.len - len(packet) == OVERHEAD["vxlan"]


def decoded_by_tcpdump(program: str, seen: list[bytes], path: Path) -> str:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, snaplen=1 << 17)
        for frame in seen:
            writer.writepkt(frame, 0)
    # As root it would become a user who may not read the file.
    argv = [program, "-Z", "root", "-nvvr", str(path), "ip"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pods_of_nobody_are_not_sent_anywhere(two):
    ping(two.pods[0], "10.244.2.2")
    with frames(two.router, "r1") as seen:
        assert ping(two.pods[0], "10.244.77.2", timeout=0.3).kind == "nothing"
        assert ping(two.pods[0], "fd00:244:77::2", timeout=0.3).kind == "nothing"
    assert not [frame for frame in seen if frame[12:14] == b"\x08\x00"]


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_the_class_of_service_and_marks_of_routers_reach_the_pod(two, version):
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with entered(two.pods[1]):
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with entered(two.router):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with entered(two.nodes[1]), IPRoute() as ip:
        mac = ip.get_links(ifname="net0")[0].get_attr("IFLA_ADDRESS")
    with receiver, raw:
        receiver.bind(("fd00:244:2::2" if version == 6 else "10.244.2.2", 5000))
        if version == 6:
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        else:
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        receiver.settimeout(2)
        raw.bind(("r2", 0))
        head = bytes.fromhex(mac.replace(":", "") + "0200000000010800")
        for outer_tos, inner_tos, expected in ((0x28, 0x28, 0x28), (3, 2, 3), (2, 2, 2)):
            raw.send(head + gre_packet(version, outer_tos, inner_tos))
            data, control, _, _ = receiver.recvmsg(100, 100)
            assert data == b"hello"
            assert control[0][2][0] == expected
        damaged = bytearray(gre_packet(version, 2, 2))
        damaged[8] ^= 1  # the outer TTL, so that the checksum is wrong
        raw.send(head + bytes(damaged))
        receiver.settimeout(0.3)
        with pytest.raises(TimeoutError):
            receiver.recv(100)


def gre_packet(version: int, outer_tos: int, inner_tos: int) -> bytes:
    """A packet from node 1 to node 2 with a datagram from pod 1 to pod 2."""
    udp = dpkt.udp.UDP(sport=1, dport=5000, data=b"hello")
    udp.ulen = len(udp)
    if version == 6:
        ends = [socket.inet_pton(socket.AF_INET6, f"fd00:244:{i}::2") for i in (1, 2)]
        pseudo = b"".join(ends) + struct.pack("!II", len(udp), 17)
        udp.sum = internet_checksum(pseudo + bytes(udp))
        head = struct.pack("!IHBB", 6 << 28 | inner_tos << 20, len(udp), 17, 63)
        inner, kind = head + b"".join(ends) + bytes(udp), 0x86DD
    else:
        inner = ipv4("10.244.1.2", "10.244.2.2", 17, inner_tos, bytes(udp))
        kind = 0x0800
    gre = struct.pack("!HH", 0, kind) + inner
    return ipv4("10.9.1.1", "10.9.2.1", 47, outer_tos, gre)


def ipv4(source: str, target: str, protocol: int, tos: int, payload: bytes) -> bytes:
    ends = {"src": socket.inet_aton(source), "dst": socket.inet_aton(target)}
    packet = dpkt.ip.IP(**ends, p=protocol, tos=tos, data=payload, len=20 + len(payload))
    return bytes(packet)


def test_the_drivers_understand_each_other():
    need("gre")
    with lab(2) as made:
        made.add_tunnels("gre", "bpf")
        for address in ("10.244.2.2", "fd00:244:2::2"):
            assert ping(made.pods[0], address, 1476) == Reply("reply")
            assert ping(made.pods[0], address, 1477) == Reply("too big", 1476)
            transfer(made.pods[0], made.pods[1], address, 5_000_000)
        transfer(made.pods[1], made.pods[0], "10.244.1.2", 5_000_000)


def test_a_node_that_comes_back_is_served_by_a_batch_of_its_own():
    with lab(3) as made:
        made.add_tunnels("bpf")
        one = made.operations[1]
        with made.enter(one.place)():
            remove_tunnel(one)
        assert ping(made.pods[0], "10.244.2.2", timeout=0.3).kind == "nothing"
        add_tunnels([(one, made.enter(one.place))])
        assert ping(made.pods[0], "10.244.2.2") == Reply("reply")
        assert ping(made.pods[1], "10.244.3.2") == Reply("reply")


def test_nothing_is_left(driver):
    with lab(2) as made:
        state = [state_of(node) for node in made.nodes]
        made.add_tunnels(driver)
        ours = programs_of(made)
        assert sorted(ours.values()) == (PROGRAMS if driver == "bpf" else [])
        assert [state_of(node) for node in made.nodes] != state
        again = list(made.operations)
        made.remove_tunnels()
        made.operations += again
        made.remove_tunnels()  # twice is no error
        assert [state_of(node) for node in made.nodes] == state
        assert eventually(lambda: not ours.keys() & loaded_programs().keys())


def test_the_end_of_the_namespace_leaves_nothing():
    with lab(2) as made:
        made.add_tunnels("bpf")
        ours = programs_of(made)
    assert sorted(ours.values()) == PROGRAMS
    # The kernel takes a namespace apart after its last user, in its own time.
    with IPRoute() as ip:
        assert not ip.link_lookup(ifname="kgre")
    assert eventually(lambda: not ours.keys() & loaded_programs().keys())


PROGRAMS = ["kinda_decap", "kinda_decap", "kinda_encap", "kinda_encap"]


def programs_of(made: Lab) -> dict[int, str]:
    """The names of the programs on the nodes' interfaces by id, as the kernel lists them."""
    found = {}
    loaded = loaded_programs()
    for node in made.nodes:
        with entered(node), IPRoute() as ip:
            for link in ip.get_links():
                for one in ip.get_filters(index=link["index"], parent=0xFFFFFFF2):
                    options = one.get_attr("TCA_OPTIONS")
                    if options and (number := options.get_attr("TCA_BPF_ID")):
                        found[number] = loaded[number]
    return found


def eventually(condition, timeout: float = 5.0) -> bool:
    try:
        retrying = Retrying(
            retry=retry_if_result(lambda value: not value),
            stop=stop_after_delay(timeout),
            wait=wait_fixed(0.05),
        )
        return bool(retrying(condition))
    except RetryError:
        return False


def state_of(node) -> list[object]:
    with entered(node), IPRoute() as ip:
        links = sorted(link.get_attr("IFLA_IFNAME") for link in ip.get_links())
        routes = sorted(
            str(
                sorted((key, str(value)) for key, value in route["attrs"] if key != "RTA_CACHEINFO")
            )
            for route in ip.get_routes(table=254)
            if route["type"] == 1
        )
        filters = [
            str(one["attrs"])
            for link in ip.get_links()
            for one in ip.get_filters(index=link["index"], parent=0xFFFFFFF2)
        ]
    return [links, routes, filters]


def test_our_names_are_free_where_ip_gre_is_loaded():
    need("gre")
    with lab(1) as made, made.enter("n1")(), IPRoute() as ip:
        for name in ("gre0", "gretap0", "erspan0"):
            with pytest.raises(NetlinkError, match="File exists"):
                ip.link("add", ifname=name, kind="veth", peer={"ifname": "other"})
        for name in ("kgre", "kgrep"):
            assert not ip.link_lookup(ifname=name)


def test_a_tunnel_on_an_interface_that_is_not_there():
    with lab(1) as made:
        operation = made.tunnel(1, "bpf")
        wrong = type(operation)(**{**operation.__dict__, "underlay": ("net7",)})
        with pytest.raises(HostError, match=r"n1.*no interface net7; there are .*net0"):
            add_tunnels([(wrong, made.enter("n1"))])


def test_an_unknown_driver_is_named():
    with lab(1) as made:
        operation = made.tunnel(1, "bpf")
        wrong = type(operation)(**{**operation.__dict__, "driver": "ipip"})
        with pytest.raises(HostError, match=r"no driver 'ipip'[\s\S]*bpf, gre, vxlan"):
            add_tunnels([(wrong, made.enter("n1"))])
