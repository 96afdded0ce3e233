"""Switches: each option does what it says, on both engines; full-size TCP; restarts."""

from __future__ import annotations

import socket
from typing import Any

import jsonschema
import pytest

from pytest_kinda import Host, Link, OvsSwitch, Switch, Topology
from pytest_kinda.description import schema
from pytest_kinda.host.namespaces import Namespace, entered
from tests.support.builds import await_true
from tests.support.documents import examples, execute
from tests.support.topologies import SWITCHES, SWITCHES_DIRECT

pytestmark = [pytest.mark.slow, pytest.mark.beside]

BOTH = pytest.mark.topology(SWITCHES, SWITCHES_DIRECT)
ONE = pytest.mark.topology(SWITCHES_DIRECT)

CONTROLLED = pytest.mark.topology(
    Topology(
        name="controlled",
        nodes=[
            OvsSwitch(
                "s1",
                controller=["tcp:127.0.0.1:6653"],
                fail_mode="secure",
                protocols=["OpenFlow13"],
            ),
            Host("h1"),
            Host("h2"),
        ],
        links=[Link("h1", "s1"), Link("h2", "s1", rate="20mbit")],
    ),
    engine="direct",
)

LOOP = pytest.mark.topology(
    Topology(
        name="loop",
        nodes=[
            OvsSwitch("s1", stp=True),
            OvsSwitch("s2", stp=True),
            Switch("s3", stp=True),
            Host("h1"),
            Host("h3"),
        ],
        links=[
            Link("s1", "s2"),
            Link("s2", "s3"),
            Link("s3", "s1"),
            Link("h1", "s1"),
            Link("h3", "s3"),
        ],
    ),
    engine="direct",
)


@BOTH
def test_vlans_keep_hosts_apart_and_cross_a_trunk(kinda: Any) -> None:
    together = {frozenset(pair) for pair in (("h1", "h2"), ("h3", "h4"))}
    reached = kinda.reachability()
    assert {frozenset(pair) for pair in reached.pairs} - together == {
        frozenset(pair) for pair in reached.missing
    }
    s1 = kinda.device("s1")
    with kinda.capture(s1.interface("eth2"), filter="icmp or (vlan and icmp)") as trunk:
        assert kinda.ping("h1", "h2", count=2)
    assert {one.ethernet.vlan for one in trunk.packets} == {10}


@BOTH
def test_ports_have_the_numbers_of_the_links(kinda: Any) -> None:
    s1 = kinda.device("s1")
    assert [s1.port(one) for one in ("h1", "h3", "s2")] == [1, 2, 3]
    for name, number in s1.ports.items():
        assert s1.vsctl("get", "Interface", name, "ofport").stdout.strip() == str(number)
    assert s1.datapath in ("system", "netdev")
    assert f"datapath {s1.datapath} (" in s1.notes[0]


@BOTH
def test_full_size_tcp_crosses(kinda: Any) -> None:
    assert kinda.ping("h1", "h2", count=1, size=1472)
    into = kinda.device("s1").interface("eth0")
    kinda.iperf("h1", "h2", seconds=1)
    with kinda.capture(into, filter="tcp") as capture:
        kinda.iperf("h1", "h2", seconds=1, rate=10_000_000)
    if kinda.device("s1").datapath == "netdev":
        assert max(one.length for one in capture.packets) == 1514
    there, back = (kinda.iperf(*pair, seconds=2) for pair in (("h1", "h2"), ("h2", "h1")))
    rates = [one.received_bits_per_second for one in (there, back)]
    engine, datapath = kinda.plan.options.engine, kinda.device("s1").datapath
    print(f"TCP over two switches ({datapath}, {engine}): {rates[0] / 1e9:.2f} Gbit/s there, "
          f"{rates[1] / 1e9:.2f} back")  # fmt: skip
    assert min(rates) > 30e6  # a sum left out or a packet too long would stop it


@BOTH
def test_flows_that_are_declared_drop(kinda: Any) -> None:
    host, address = kinda.node("h2"), kinda.node("h2").ip
    open_to = {}
    for port in ("81", "82"):
        with host.start("nc", "-l", "-k", port):
            await_true(
                lambda port=port: f":{port} " in host.exec("ss", "-ltn").stdout, "the listener", 5
            )
            argv = ("nc", "-z", "-w", "2", address, port)
            open_to[port] = kinda.exec("h1", *argv, check=False).ok
    assert open_to == {"81": False, "82": True}
    (flow,) = (one for one in kinda.device("s2").flows() if one.actions == "drop")
    assert flow.priority == 9
    assert flow.packets >= 1


@ONE
def test_flows_that_a_test_adds_drop_and_are_counted(kinda: Any) -> None:
    s1 = kinda.device("s1")
    s1.ofctl("add-flow", "br0", f"priority=7,icmp,in_port={s1.port('h1')},actions=drop")
    assert not kinda.ping("h1", "h2", count=2, interval=0.2)
    (flow,) = (one for one in s1.flows(0) if one.actions == "drop")
    s1.ofctl("--strict", "del-flows", "br0", "priority=7,icmp,in_port=1")
    assert flow.match == "icmp,in_port=1"
    assert flow.packets >= 2
    assert kinda.ping("h1", "h2", count=1)


@ONE
def test_evidence_has_its_state(kinda: Any, tmp_path: Any) -> None:
    kinda.evidence(tmp_path)
    text = (tmp_path / "nodes" / "s2" / "network.txt").read_text()
    for part in ("Bridge br0", "tp_dst=81,actions=drop", "trunks: [10, 20]", "VLAN  MAC"):
        assert part in text
    assert "datapath " in (tmp_path / "summary.txt").read_text()


@ONE
def test_a_neighbour_that_starts_again_is_at_its_port_as_before(kinda: Any) -> None:
    kinda.node("h1").restart()
    is_as_declared(kinda)
    # its new interface and the switch's complete packets too
    assert kinda.iperf("h1", "h2", seconds=1).received_bits_per_second > 30e6


@BOTH
def test_a_switch_that_starts_again_is_what_it_was(kinda: Any) -> None:
    kinda.device("s1").restart()
    is_as_declared(kinda)


def is_as_declared(kinda: Any) -> None:
    assert kinda.ping("h1", "h2", count=2)
    assert not kinda.ping("h1", "h4", count=1)
    s1 = kinda.device("s1")
    assert s1.vsctl("get", "Port", "eth0", "tag").stdout.strip() == "10"
    assert s1.vsctl("get", "Interface", "eth0", "ofport").stdout.strip() == "1"
    with kinda.link("h1", "s1").down():
        assert ("h1", "h2") in kinda.reachability().missing
    assert kinda.ping("h1", "h2", count=2)


@CONTROLLED
def test_a_secure_switch_does_what_its_flows_say_and_looks_for_its_controller(kinda: Any) -> None:
    s1 = kinda.device("s1")
    assert s1.flows() == ()
    assert not kinda.ping("h1", "h2", count=1)
    s1.ofctl("add-flow", "br0", "actions=normal")
    assert kinda.ping("h1", "h2", count=1)
    # at its port too a link is as slow as declared
    assert kinda.iperf("h1", "h2", seconds=2).received_bits_per_second < 21e6
    # the first byte that it sends is the version of OpenFlow: 4 is 1.3
    listening = "nc -d -W 1 -l 127.0.0.1 6653 | od -An -N1 -tx1"
    assert s1.shell(listening, timeout=30).stdout.split() == ["04"]
    with pytest.raises(Exception, match="version negotiation failed"):
        s1.exec("ovs-ofctl", "-O", "OpenFlow10", "dump-flows", "br0")


@LOOP
def test_a_spanning_tree_breaks_a_loop_and_mends_it(kinda: Any) -> None:
    assert copies_of_a_broadcast(kinda) == 1
    assert len(blocked(kinda)) == 1, blocked(kinda)
    assert kinda.ping("h1", "h3", count=1)
    with kinda.link("s3", "s1").down():
        await_true(lambda: bool(kinda.ping("h1", "h3", count=1)), "the other way to be used", 40)


def blocked(kinda: Any) -> list[str]:
    """The ports that forward nothing."""
    found = []
    for name in ("s1", "s2"):
        lines = kinda.device(name).vsctl("--bare", "--columns=name,status", "list", "Port").lines
        for port, status in zip(lines[::3], lines[1::3], strict=False):
            if "stp_state=blocking" in status:
                found.append(f"{name}:{port}")
    for line in kinda.device("s3").exec("bridge", "link", "show").lines:
        if "state blocking" in line:
            found.append(f"s3:{line.split()[1]}")
    return found


def copies_of_a_broadcast(kinda: Any) -> int:
    """How often a frame to all, sent by h1, comes to h3."""
    place, interface = kinda.standing.places["h1"], kinda.node("h1").interfaces[0]
    with kinda.capture(kinda.node("h3").interfaces[0], filter="ether proto 0x88b5") as capture:
        with (
            Namespace.open(place.pid, place.started) as namespace,
            entered(namespace),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
        ):
            raw.bind((interface.name, 0))
            source = bytes.fromhex(interface.mac.replace(":", ""))
            raw.send(b"\xff" * 6 + source + b"\x88\xb5" + bytes(46))
        await_true(lambda: capture.count() >= 1, "the frame", 5)
        kinda.ping("h1", "h3", count=3, interval=0.2)  # time for more of them
    return int(capture.count())


@BOTH
def test_it_is_described_to_controllers_as_it_stands(kinda: Any) -> None:
    documented("controllers.md")["test_what_a_controller_is_told"](kinda)
    data = kinda.describe().data
    jsonschema.Draft202012Validator(schema()).validate(data)
    assert data["testbed"]["id"] == kinda.id
    s1 = kinda.describe().node("s1")
    path = s1["control"][0]["reached"].removeprefix("unix:")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(10)
        channel.connect(path)
        version, kind, *_ = channel.recv(8)
    assert (version, kind) == (6, 0)  # its hello, in OpenFlow 1.5
    told = kinda.device("s1").vsctl("get", "Bridge", "br0", "datapath_id").stdout
    assert s1["about"]["datapath_id"] == told.strip().strip('"')


def documented(document: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, text in examples().items():
        if place.startswith(document):
            found |= execute(place, text)
    return found


@ONE
def test_the_documented_example(kinda: Any) -> None:
    names = documented("switches.md")
    assert names["SWITCHES"] == SWITCHES
    names["test_on_switches"](kinda)


@pytest.mark.topology(
    Topology(
        name="bridged",
        nodes=[Switch("s1"), Host("h1"), Host("h2")],
        links=[Link("h1", "s1"), Link("h2", "s1")],
    ),
    engine="direct",
)
@pytest.mark.parametrize("name", ["h1", "s1"])
def test_a_bridge_takes_a_new_interface_as_its_port(kinda: Any, name: str) -> None:
    kinda.node(name).restart()
    assert kinda.ping("h1", "h2", count=1)
