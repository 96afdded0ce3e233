"""P4 switches in a testbed, on both engines: packets, tables from a test, restarts, and an end.

They run on the native engine (``pyproject.toml``); with ``--kinda-p4-engine=bmv2`` on BMv2, where
its image is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest

from pytest_kinda import ControlPlane, Host, Link, Lpm, P4Nic, P4Switch, Topology, Worker
from pytest_kinda.errors import BuildError, KindaError, P4ControlError, UnknownNameError
from pytest_kinda.p4 import NewEntry
from pytest_kinda.plan import Plan, PlanOptions, plan
from pytest_kinda.testbed import Testbed
from tests.support.documents import examples, execute
from tests.support.topologies import on_direct

pytestmark = [pytest.mark.slow, pytest.mark.beside]

PROGRAM = "../../examples/p4/router.json"
CARD = "../../examples/p4/nic.json"
FABRIC = Lpm(
    "ipv4_lpm", action="forward", port="port", mac="target", source="source", arp="arp_exact"
)
TRIANGLE = Topology(
    name="p4-triangle",
    nodes=[
        Host("h1"),
        Host("h2"),
        *(P4Switch(s, program=PROGRAM, forwarding=FABRIC) for s in ("s1", "s2", "s3")),
    ],
    links=[
        Link("h1", "s1"),
        Link("h2", "s2"),
        Link("s1", "s2"),
        Link("s1", "s3"),
        Link("s3", "s2"),
    ],
)

EACH = pytest.mark.topology(TRIANGLE, on_direct(TRIANGLE))
ONE = pytest.mark.topology(on_direct(TRIANGLE))


KILL = """\
log=/var/lib/kinda-p4/log
echo 'it went wrong' >> $log
for one in /proc/[0-9]*; do
    [ "$(readlink $one/fd/1)" != $log ] || kill -9 ${one#/proc/}
done
"""
"""Ends the process of a switch."""


def documented() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, text in examples().items():
        if place.startswith("p4.md") and "pytest_kinda.p4 import" not in text:
            found |= execute(place, text)
    return found


def test_the_documented_topology_is_this_one() -> None:
    assert documented()["P4_TRIANGLE"] == TRIANGLE


@EACH
def test_the_documented_example(kinda: Any) -> None:
    documented()["test_on_p4_switches"](kinda)


@EACH
def test_full_size_tcp_crosses(kinda: Any) -> None:
    assert kinda.ping("h1", "h2", count=1, size=1472)
    s1 = kinda.device("s1")
    with kinda.capture(s1.interface("eth0"), filter="tcp") as capture:
        kinda.iperf("h1", "h2", seconds=1, rate=10_000_000)
    assert max(one.length for one in capture.packets) == 1514
    there, back = (kinda.iperf(*pair, seconds=1) for pair in (("h1", "h2"), ("h2", "h1")))
    rates = [one.received_bits_per_second for one in (there, back)]
    print(f"TCP over two P4 switches ({kinda.plan.options.engine}): "
          f"{rates[0] / 1e9:.2f} Gbit/s there, {rates[1] / 1e9:.2f} back")  # fmt: skip
    # a sum left out or a packet too long would stop it; a BMv2 made without -O3 is slow
    assert min(rates) > (30e6 if s1.engine == "native" else 3e6)


@EACH
def test_the_program_alone_answers(kinda: Any) -> None:
    s1, h1 = kinda.device("s1"), kinda.node("h1")
    h1.exec("ip", "neigh", "flush", "all")
    with kinda.capture(h1.interfaces[0], filter="arp or icmp") as capture:
        assert kinda.ping("h1", "h2", count=1)
    replies = [
        one for one in capture.packets if one.data[12:14] == b"\x08\x06" and one.data[21] == 2
    ]
    assert [one.ethernet.source for one in replies] == [s1.ports[0].mac]
    for link in json.loads(s1.exec("ip", "-j", "addr").stdout):
        if link["ifname"] != "lo":
            assert link["addr_info"] == []
    assert s1.exec("ip", "route").stdout == ""
    assert kinda.verify()


@EACH
def test_ports_are_the_plans(kinda: Any) -> None:
    s1 = kinda.device("s1")
    assert [(one.number, one.interface, one.link, one.peers) for one in s1.ports] == [
        (1, "eth0", "h1--s1", ("h1",)),
        (2, "eth1", "s1--s2", ("s2",)),
        (3, "eth2", "s1--s3", ("s3",)),
    ]
    assert s1.port("s3") == s1.port("eth2") == s1.port("s1--s3") == 3
    engine = kinda.plan.options.p4_engine
    assert s1.engine == engine
    assert s1.notes[0].startswith(f"P4 engine {engine} (the run's), program router.json ")
    with pytest.raises(
        UnknownNameError, match=r"s1 has no port for 'h2'; it has port 1 \(eth0, li"
    ):
        s1.port("h2")
    with pytest.raises(
        P4ControlError, match=r"no table 'ipv4_lmp'; the program has Router.*ipv4_lpm,"
    ):
        s1.table("ipv4_lmp")


@ONE
def test_after_a_test_a_switch_is_as_declared(kinda: Any) -> None:
    s1, h2 = kinda.device("s1"), kinda.node("h2")
    table = s1.table("ipv4_lpm")
    before = [(one.match, one.action, one.params) for one in table.dump().entries]
    s1.commands(f"table_add ipv4_lpm drop {h2.ip}/32 =>\nmirroring_add 3 1\n")
    assert not kinda.ping("h1", "h2", count=1)
    assert s1.counter("received").read(1).packets
    table.clear()
    kinda.put_back()
    assert [(one.match, one.action, one.params) for one in table.dump().entries] == before
    assert s1.counter("received").read(1).packets == 0
    assert kinda.ping("h1", "h2", count=1)


@ONE
def test_many_entries_take_no_time(kinda: Any) -> None:
    table = kinda.device("s3").table("ipv4_lpm")
    table.dump()  # opens the connection
    some = [NewEntry({"dst": f"11.{i // 256}.{i % 256}.0/24"}, "drop") for i in range(500)]
    begun = perf_counter()
    table.add_all(some)
    seconds = perf_counter() - begun
    print(f"500 entries in {seconds * 1000:.1f} ms")
    assert seconds < 1  # 0.1 s where the machine has time
    assert len(table.dump().entries) > 500


@ONE
def test_a_neighbour_that_starts_again_is_at_its_port_as_before(kinda: Any) -> None:
    kinda.node("h1").restart()
    is_attached(kinda)


@EACH
def test_a_switch_that_starts_again_is_what_it_was(kinda: Any) -> None:
    kinda.device("s1").restart()
    is_attached(kinda)
    assert kinda.device("s1").table("ipv4_lpm").dump().entries


def is_attached(kinda: Any) -> None:
    assert kinda.ping("h1", "h2", count=2)
    s1 = kinda.device("s1")
    assert {state for _, state in s1.control.ports().values()} == {"up"}
    if s1.engine == "native":  # BMv2 does not count
        assert s1.statistics().received >= 2


@ONE
def test_a_process_that_has_ended_is_told_at_once(kinda: Any) -> None:
    s3 = kinda.device("s3")
    s3.control.ports()
    s3.shell(KILL)
    with pytest.raises(P4ControlError, match=r"s3: no P4 switch answers .*it went wrong; port 1 "):
        s3.table("ipv4_lpm").dump()
    with pytest.raises(KindaError, match="could not be put back: s3: no P4 switch answers"):
        kinda.put_back()
    s3.restart()
    assert s3.table("ipv4_lpm").dump().entries


@ONE
def test_evidence_has_its_ports(kinda: Any, tmp_path: Any) -> None:
    kinda.evidence(tmp_path)
    text = (tmp_path / "nodes" / "s1" / "network.txt").read_text()
    assert "P4 ports" in text
    if kinda.device("s1").engine == "native":  # BMv2 has no program to be asked by
        assert "- 1 eth0 up" in text


def test_an_entry_that_the_switch_refuses_fails_the_build_with_its_name() -> None:
    switch = P4Switch("s1", program=PROGRAM)
    made = plan(
        Topology(name="refused", nodes=[switch, Host("h1")], links=[Link("h1", "s1")]),
        PlanOptions(engine="direct", p4_engine="native"),
    )
    with pytest.raises(BuildError, match=r"s1: .*entries\[7\]: error"):
        Testbed.build(with_declared(made, "# entries[7]\nadd 99 0 0a000000 ff000000 0\n"))


def with_declared(made: Plan, text: str) -> Plan:
    """A plan of which the switches are told what ``plan`` would refuse."""
    nodes = []
    for node in made.nodes:
        if node.device is not None and node.device.programs:
            files = tuple(
                replace(one, text=text) if one.path.endswith("declared") else one
                for one in node.device.files
            )
            node = replace(node, device=replace(node.device, files=files))
        nodes.append(node)
    return replace(made, nodes=tuple(nodes))


CARDED = Topology(
    name="p4-cluster",
    nodes=[
        ControlPlane("c1"),
        Worker("w1", nic=P4Nic(program=CARD)),
        P4Switch("s1", program=PROGRAM, forwarding=FABRIC),
    ],
    links=[Link("c1", "s1"), Link("w1", "s1")],
)
CLUSTER = pytest.mark.topology(CARDED, engine="direct")


@CLUSTER
def test_pods_talk_through_a_p4_switch(kinda: Any) -> None:
    server = kinda.cluster.run_pod("server", node="w1", command=["sleep", "infinity"])
    client = kinda.cluster.run_pod("client", node="c1", command=["sleep", "infinity"])
    s1 = kinda.device("s1")
    assert kinda.ping(client, server, count=2, size=1400)
    before = s1.counter("received").read(s1.port("c1")).packets
    with kinda.capture(s1.interface("eth0"), filter="proto gre") as capture:
        measured = kinda.iperf(client, server, seconds=1, rate=20_000_000)
    assert measured.received_bits_per_second > 10e6
    assert max(one.length for one in capture.packets) == 1514
    full = kinda.iperf(client, server, seconds=1).received_bits_per_second
    print(f"TCP of pods inside GRE over a P4 switch: {full / 1e9:.2f} Gbit/s")
    assert full > 30e6
    assert s1.counter("received").read(s1.port("c1")).packets > before + 500


@CLUSTER
def test_everything_of_a_node_passes_its_card(kinda: Any) -> None:
    passes_its_card(kinda)


def passes_its_card(kinda: Any) -> None:
    card, w1 = kinda.device("w1-nic"), kinda.node("w1")
    server = kinda.cluster.run_pod("server", node="w1", command=["sleep", "infinity"])
    client = kinda.cluster.run_pod("client", node="c1", command=["sleep", "infinity"])
    before = [card.counter("gre").read(port).packets for port in (0, 1)]
    card.table("marking").add(match={"ingress_port": 1}, action="mark", params={"ttl": 48})
    outside = kinda.device("s1").interface("eth1")
    w1.exec("ip", "neigh", "flush", "all")
    with (
        kinda.capture(outside, filter="proto gre and src host " + w1.ip) as capture,
        kinda.capture(w1.interfaces[0], filter="arp") as asked,
    ):
        assert kinda.ping(server, client, count=3)
    after = [card.counter("gre").read(port).packets for port in (0, 1)]
    assert all(later >= earlier + 3 for earlier, later in zip(before, after, strict=True))
    assert {one.data[22] for one in capture.packets} == {48}
    # nobody answers beside the program
    answers = [
        one
        for one in asked.packets
        if one.data[21] == 2 and one.ethernet.destination == w1.interfaces[0].mac
    ]
    assert len(answers) == 1
    with card.pause():
        assert not kinda.ping(server, client, count=1)
    assert kinda.ping(server, client, count=1)
