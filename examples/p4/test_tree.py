"""Telemetry from a tree: a machine outside talks to its leaves, and one collector sees the ways.

The gateway s1 begins telemetry, the leaves s5 to s8 end it; their reports cross the tree as well.
"""

from __future__ import annotations

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

WATCHED = 7777
COLLECTOR = "10.50.0.2"
NAMES = {number: f"s{number}" for number in range(1, 9)}
PARENTS = {2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4}
LEAVES = {5: "w1", 6: "w2", 7: "w3", 8: "w4"}


def switch(number, *entries, commands=""):
    return P4Switch(
        NAMES[number],
        program="int.json",
        engine="native",
        forwarding=ROUTES,
        grows_by="16B+32B/hop",  # all six of the first instructions: eight words from each hop
        entries=[P4Entry("this_switch", None, "me", {"id": number}), *entries],
        commands=commands,
    )


def leaf(number):
    parent, worker = NAMES[PARENTS[number]], LEAVES[number]
    report = {
        "source_mac": f"{{mac:{parent}}}",
        "target_mac": f"{{peer_mac:{parent}}}",
        "source": f"{{address:{parent}}}",
        "target": COLLECTOR,
        "port": 6000,
    }
    return switch(
        number,
        P4Entry("sinks", {"egress_spec": f"{{port:{worker}}}"}, "sink", {"session": 1}),
        P4Entry("reports", None, "report", report),
        commands=f"mirroring_add 1 {{port:{parent}}}\n",
    )


TREE = Topology(
    name="tree",
    nodes=[
        Host("outside"),
        Host("collector"),
        *map(Host, LEAVES.values()),
        switch(
            1,
            P4Entry(
                "watchlist",
                {"dst_port": (WATCHED, 0xFFFF)},
                "watch",
                {"instructions": 0xFC00, "hop_words": 8, "hops": 7},
                priority=1,
            ),
        ),
        *map(switch, (2, 3, 4)),
        *map(leaf, LEAVES),
    ],
    links=[
        Link("outside", "s1"),
        Link("s2", "collector", ipv4=("10.50.0.1/24", f"{COLLECTOR}/24")),
        *(Link(NAMES[above], NAMES[below]) for below, above in PARENTS.items()),
        *(Link(NAMES[number], worker) for number, worker in LEAVES.items()),
    ],
)

pytestmark = pytest.mark.topology(TREE, engine="direct")


def way_to(number):
    return (*way_to(PARENTS[number]), NAMES[number]) if number in PARENTS else (NAMES[number],)


def test_the_way_of_each_flow_is_reported(kinda):
    outside = kinda.node("outside")
    with (
        outside.udp() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
    ):
        for count, (number, worker) in enumerate(LEAVES.items(), 1):
            with kinda.node(worker).udp(WATCHED) as server:
                for _ in range(10):
                    client.send(b"data", to=server)
                assert {one.data for one in server.take(10)} == {b"data"}
            reports = collector.take(10 * count)[-10:]
            assert {one.destination for one in reports} == {kinda.node(worker).ip}
            assert {one.path for one in reports} == {way_to(number)}
            print(f"{worker}: {' '.join(reports[0].path)}")


def test_what_workers_send_each_other_is_not_watched(kinda):
    with (
        kinda.node("w4").udp(WATCHED) as server,
        kinda.node("w1").udp() as neighbour,
        kinda.node("outside").udp() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
    ):
        for _ in range(10):
            neighbour.send(b"inside", to=server)
        server.take(10)
        client.send(b"outside", to=server)
        (report,) = collector.take(1)
        assert (report.source, collector.reports) == (client.address, (report,))
