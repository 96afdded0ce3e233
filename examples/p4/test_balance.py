"""Balancing over two ways: flows by their hash, or the flowlets of a flow that makes pauses."""

from __future__ import annotations

import time

import pytest

from pytest_kinda import Host, Link, Lpm, P4Entry, P4Switch, Topology

TARGET = "10.77.0.0/24"
FABRIC = Lpm(
    "ipv4_lpm", action="forward", port="port", mac="target", source="source", arp="arp_exact"
)


def way(number, name):
    return P4Entry(
        "ways",
        {"way": number},
        "forward_over",
        {"port": f"{{port:{name}}}", "source": f"{{mac:{name}}}", "target": f"{{peer_mac:{name}}}"},
    )


def router(name):
    return P4Switch(name, program="router.json", forwarding=FABRIC)


BALANCE = Topology(
    name="balance",
    nodes=[
        Host("h1"),
        Host("h2"),
        P4Switch(
            "s1",
            program="balance.json",
            forwarding=FABRIC,
            entries=[
                P4Entry("targets", {"dst": TARGET}, "spread", {"ways": 2, "gap": 0}),
                way(0, "north"),
                way(1, "south"),
            ],
        ),
        router("north"),
        router("south"),
        router("s2"),
    ],
    links=[
        Link("h1", "s1"),
        Link("s1", "north"),
        Link("s1", "south"),
        Link("north", "s2"),
        Link("south", "s2"),
        Link("s2", "h2", ipv4=TARGET),
    ],
)

pytestmark = pytest.mark.topology(BALANCE, engine="direct")


def spread(kinda, gap):
    """Let flowlets end with a pause of so many microseconds."""
    table = kinda.device("s1").table("targets")
    (entry,) = table.dump().entries
    table.modify(entry.handle, "spread", {"ways": 2, "gap": gap})


def shares(kinda):
    return [kinda.device("s1").counter("taken").read(number).packets for number in (0, 1)]


def test_flows_are_shared_and_none_is_split(kinda):
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    links = [kinda.link("s1", "north"), kinda.link("s1", "south")]
    captures = [kinda.capture(one, filter="udp") for one in links]
    with captures[0], captures[1], h2.udp(9000) as server:
        for port in range(20000, 20064):
            with h1.udp(port) as client:
                for _ in range(5):
                    client.send(b"data", to=server)
        server.take(64 * 5)
    flows = [{one.source_port: one.packets for one in each.flows()} for each in captures]
    print(f"64 flows: {len(flows[0])} over the northern way, {len(flows[1])} over the southern")
    assert not set(flows[0]) & set(flows[1])
    assert {**flows[0], **flows[1]} == dict.fromkeys(range(20000, 20064), 5)
    assert all(20 <= len(each) <= 44 for each in flows)
    assert shares(kinda) == [5 * len(each) for each in flows]


def test_a_flow_goes_on_its_way_after_a_pause_unless_flowlets_are_asked_for(kinda):
    with kinda.node("h1").udp(20000) as client, kinda.node("h2").udp(9000) as server:
        for _ in range(5):
            client.send(b"data", to=server)
            server.receive()
            time.sleep(0.02)
        assert sorted(shares(kinda)) == [0, 5]


def test_the_flowlets_of_a_flow_take_both_ways(kinda):
    spread(kinda, gap=10_000)
    with kinda.node("h1").udp(20000) as client, kinda.node("h2").udp(9000) as server:
        for _ in range(12):
            for _ in range(3):
                client.send(b"data", to=server)
            server.take(3)
            time.sleep(0.02)
    north, south = shares(kinda)
    flowlets = sum(kinda.device("s1").register("flowlets").read_all()) + 1
    print(f"{flowlets} flowlets: {north} packets over the northern way, {south} the southern")
    assert north + south == 36
    assert min(north, south) >= 6
    assert flowlets >= 12
