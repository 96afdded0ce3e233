"""Captures on a network of devices."""

import pytest

from pytest_kinda.errors import CaptureError
from tests.support.topologies import PAIR, PAIR_DIRECT

pytestmark = pytest.mark.topology(PAIR, PAIR_DIRECT)


def test_a_capture_sees_what_crosses_a_link(kinda):
    h1, h2 = kinda.node("h1"), kinda.node("h2")
    with kinda.capture(kinda.link("r1", "h2"), filter="icmp") as capture:
        assert kinda.ping("h1", "h2", count=3, size=100).received == 3
    assert capture.count() == 6
    assert capture.count("icmp[icmptype] = icmp-echo") == 3
    first = capture.packets[0]
    assert (first.ip.source, first.ip.destination) == (h1.ip, h2.ip)
    assert first.ip.ttl == 63
    assert first.interface == "r1:" + kinda.link("r1", "h2").end("r1").name
    assert [packet.direction for packet in capture.packets[:2]] == ["out", "in"]
    assert first.length == 14 + 20 + 8 + 100
    assert capture.drops == 0


def test_a_capture_everywhere_sees_each_packet_at_each_interface(kinda):
    with kinda.capture(filter="icmp") as capture:
        kinda.ping("h1", "h2", count=1)
    assert capture.count("icmp[icmptype] = icmp-echo") == 4
    assert {packet.interface.partition(":")[0] for packet in capture.packets} == {"h1", "r1", "h2"}


def test_a_bad_filter_is_told(kinda):
    with pytest.raises(CaptureError, match="capture filter 'prot gre'"):
        kinda.capture("h1", filter="prot gre").start()


def test_a_capture_that_a_test_leaves_is_ended(kinda):
    capture = kinda.capture("h1").start()
    kinda.ping("h1", "r1", count=1)
    kinda.put_back()
    assert not capture.running
    assert capture.count("icmp") == 2


def test_a_trace_says_where_a_packet_was_lost(kinda):
    assert kinda.trace("h1", "h2").nodes == ("h1", "r1", "h2")
    with kinda.link("r1", "h2").down():
        found = kinda.trace("h1", "h2")
    assert not found
    assert found.nodes == ("h1", "r1")
    assert "did not come back" in str(found)


def test_two_hundred_thousand_packets_are_taken_or_told(kinda):
    # Everything that crosses the interface, at the highest rate that one sender reaches.
    end = kinda.link("h1", "r1").end("r1")
    with end.node.start("iperf3", "-s", "-1", "--forceflush") as server:
        server.wait_for_output("listening", timeout=20)
        before = end.counters()
        with kinda.capture(end, allow_drops=True) as capture:
            argv = ("iperf3", "-c", end.address, "-u", "-b", "0", "-k", "200000", "-l", "64")
            kinda.node("h1").exec(*argv, timeout=60)
    counted = end.counters() - before
    assert counted.received_packets >= 200_000
    # The counters were read a moment before and after the capture: ARP may have come meanwhile.
    crossed = counted.received_packets + counted.sent_packets
    assert crossed - 5 <= capture.taken + capture.drops <= crossed
    assert capture.drops < 20_000
