"""Traces from packets that were seen at several interfaces."""

from pytest_kinda.testbed.layers import Packet
from pytest_kinda.testbed.tracing import PATTERN, trace_of
from tests.support import frames

OURS = frames.ipv4("10.9.0.1", "10.9.0.9", 1, frames.echo(payload=bytes.fromhex(PATTERN) * 4))
OTHER = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 1, frames.echo(payload=b"x" * 44)))
MAC = "02:00:00:00:00:02"  # that of the frames' destination


def seen(time, interface, direction, data=None):
    data = data or frames.ethernet(OURS)
    return Packet(time, interface, direction, len(data), data)


def test_sightings_are_ordered_and_others_left_out():
    tunnelled = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 47, frames.gre(OURS)))
    packets = [
        seen(3, "r1:eth0", "in", tunnelled),
        seen(1, "w1:eth1", "out", tunnelled),
        seen(2, "w1:eth1", "out", OTHER),
    ]
    found = trace_of(packets, {}, arrived=True)
    assert found
    assert found.nodes == ("w1", "r1")
    assert [one.tunnelled for one in found.sightings] == [True, True]
    assert "r1:eth0 (GRE)" in str(found)


def test_a_frame_overheard_on_a_hub_is_left_out():
    packets = [seen(1, "a:eth0", "out"), seen(2, "b:eth0", "in"), seen(3, "c:eth0", "in")]
    macs = {"b:eth0": MAC, "c:eth0": "02:00:00:00:00:77"}
    assert trace_of(packets, macs, arrived=False).nodes == ("a", "b")


def test_nothing_seen():
    assert str(trace_of([], {}, arrived=False)) == "seen nowhere"
