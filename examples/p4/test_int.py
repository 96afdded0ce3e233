"""In-band network telemetry over three switches: what happened to each packet of one flow.

The first switch writes telemetry into the packets of a watched flow, each switch adds what it
knows, and the last one takes all of it out again and sends it to a collector.
"""

from __future__ import annotations

import socket

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

NAMES = {1: "s1", 2: "s2", 3: "s3"}
WATCHED = 7777


def switch(name, number, *entries, commands=""):
    return P4Switch(
        name,
        program="int.json",
        forwarding=ROUTES,
        entries=[P4Entry("this_switch", None, "me", {"id": number}), *entries],
        commands=commands,
    )


INT = Topology(
    name="int",
    nodes=[
        Host("h1"),
        Host("h2"),
        Host("collector"),
        # all six of the first instructions: eight words from each hop, of seven hops at most
        switch(
            "s1",
            1,
            P4Entry(
                "watchlist",
                {"dst_port": (WATCHED, 0xFFFF)},
                "watch",
                {"instructions": 0xFC00, "hop_words": 8, "hops": 7},
                priority=1,
            ),
        ),
        switch("s2", 2),
        switch(
            "s3",
            3,
            P4Entry("sinks", {"egress_spec": "{port:h2}"}, "sink", {"session": 1}),
            P4Entry(
                "reports",
                None,
                "report",
                {
                    "source_mac": "{mac:collector}",
                    "target_mac": "{peer_mac:collector}",
                    "source": "{address:collector}",
                    "target": "{peer_address:collector}",
                    "port": 6000,
                },
            ),
            commands="mirroring_add 1 {port:collector}\n",
        ),
    ],
    # a full packet of a host, and 16 bytes and 32 from each of three switches
    links=[
        Link("h1", "s1"),
        Link("s1", "s2", mtu=1612),
        Link("s2", "s3", mtu=1612),
        Link("s3", "h2"),
        Link("s3", "collector"),
    ],
)

pytestmark = pytest.mark.topology(INT, engine="direct")


def test_each_packet_of_a_watched_flow_is_reported_once(kinda):
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    sent = [f"{number}".encode() * 20 for number in range(100)]
    with (
        h2.udp(WATCHED) as server,
        h1.udp() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
    ):
        for data in sent:
            client.send(data, to=server)
        received = server.take(len(sent))
        reports = collector.take(len(sent))

    # not in order: those that waited for the answer to ARP may be overtaken
    assert sorted(one.data for one in received) == sorted(sent)
    assert len(reports) == len(sent)
    assert collector.lost() == 0
    assert {one.flow for one in reports} == {(h1.ip, client_port(received), h2.ip, WATCHED, "udp")}
    assert {one.path for one in reports} == {("s1", "s2", "s3")}
    way = [("h1", "s1", "s2"), ("s1", "s2", "s3"), ("s2", "s3", "h2")]
    for report in reports:
        for (before, name, behind), hop in zip(way, report.hops, strict=True):
            device = kinda.device(name)
            assert (hop.ingress_port, hop.egress_port) == (device.port(before), device.port(behind))
            assert hop.arrived <= hop.left
        assert min(report.link_delays()) >= 0
    assert len(collector.rows()) == 3 * len(sent)

    spent = sorted(one.hops[-1].left - one.hops[0].arrived for one in reports)
    print(f"{len(reports)} reports; from s1 to s3 in {spent[len(spent) // 2]} µs (median)")


def client_port(received):
    (port,) = {one.port for one in received}
    return port


def test_a_flow_that_is_not_watched_gives_no_report(kinda):
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    with (
        h2.udp(WATCHED + 1) as other,
        h2.udp(WATCHED) as server,
        h1.udp() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
    ):
        for _ in range(20):
            client.send(b"not watched", to=other)
        client.send(b"watched", to=server)  # behind the others on the same way
        other.take(20)
        (report,) = collector.take(1)
        assert (report.destination_port, collector.reports) == (WATCHED, (report,))


def test_tcp_is_delivered_as_it_was_sent(kinda):
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    data = bytes(range(256)) * 150
    with (
        h2.socket() as listener,
        h1.socket() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
        kinda.capture(h1.interfaces[0], filter=f"tcp dst port {WATCHED}") as capture,
    ):
        listener.bind((h2.ip, WATCHED))
        listener.listen()
        client.settimeout(10)
        client.connect((h2.ip, WATCHED))
        server, _ = listener.accept()
        with server:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            server.settimeout(10)
            assert b"".join(iter(lambda: server.recv(65536), b"")) == data
        client.recv(1)  # the end of the connection
        reports = collector.take(capture.count())
    assert max(one.length for one in capture.packets) == 1514
    assert len(reports) == capture.count()
    assert {one.path for one in reports} == {("s1", "s2", "s3")}


def test_a_queue_is_seen_where_it_is(kinda):
    h1, h2, s2 = kinda.node("h1"), kinda.node("h2"), kinda.device("s2")
    s2.control.queue_rate(50, s2.port("s3"))  # packets a second
    with (
        h2.udp(WATCHED) as server,
        h1.udp() as client,
        kinda.int_collector("collector", names=NAMES) as collector,
    ):
        for number in range(30):
            client.send(bytes([number]), to=server)
        reports = collector.take(30)
    depths = {name: max(hop.queue_depth for hop in hops(reports, name)) for name in NAMES.values()}
    latency = max(hop.latency for hop in hops(reports, "s2"))
    print(f"queues of {depths} packets; at s2 up to {latency / 1000:.0f} ms")
    assert depths["s2"] > max(10, depths["s1"], depths["s3"])
    assert latency > 100_000


def hops(reports, name):
    return [hop for report in reports for hop in report.hops if hop.switch == name]
