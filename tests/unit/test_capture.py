"""Captures over files that a stand-in for the keeper's child has written."""

import pytest

from pytest_kinda.errors import CaptureError
from pytest_kinda.testbed.capture import Capture
from tests.support import frames

INNER = frames.ipv4("10.244.1.2", "10.244.2.2", 17, frames.udp(1000, 2000, b"x" * 100))
GRE = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 47, frames.gre(INNER)))
PING = frames.ethernet(frames.ipv4("10.9.0.1", "10.9.0.9", 1, frames.echo()))


class Recorder:
    """Writes a file with known packets where a capture's child would write those it sees."""

    def __init__(self, drops=0):
        self.drops = drops
        self.started = []

    def capture_start(self, name, points, expression, path, snaplen):
        self.started.append((name, tuple(points), expression, snaplen))
        path.write_bytes(
            frames.section()
            + frames.interface("r1:eth1")
            + frames.packet(0, 30, GRE, flags=1)
            + frames.packet(0, 10, PING, flags=2)
            + frames.packet(0, 20, GRE, flags=1)
        )
        return "1"

    def capture_flush(self, identity):
        self.flushed = True
        return {}

    def capture_stop(self, identity):
        return {"packets": 3, "drops": self.drops}


def test_a_capture_counts_selects_and_sorts(tmp_path):
    recorder = Recorder()
    with Capture(recorder, [("r1", "eth1")], tmp_path / "a.pcapng", expression="ip") as capture:
        assert capture.running
        assert capture.count() == 3
        assert recorder.flushed
    assert not capture.running
    assert recorder.started == [("a", (("r1", "eth1"),), "ip", 262144)]
    assert capture.count() == 3
    assert capture.count("proto gre") == 2
    assert [packet.time for packet in capture.packets] == [10, 20, 30]
    assert [packet.direction for packet in capture.select("icmp")] == ["out"]
    assert capture.drops == 0


def test_flows_are_those_inside_gre(tmp_path):
    with Capture(Recorder(), [("r1", "eth1")], tmp_path / "a.pcapng") as capture:
        pass
    first, second = capture.flows()
    assert (first.source, first.destination, first.protocol) == ("10.244.1.2", "10.244.2.2", "udp")
    assert (first.packets, first.bytes, first.destination_port) == (2, 2 * len(GRE), 2000)
    assert second.protocol == "icmp"


def test_lost_packets_are_never_silent(tmp_path):
    with (
        pytest.raises(CaptureError, match=r"r1:eth1 lost 7 packets"),
        Capture(Recorder(7), [("r1", "eth1")], tmp_path / "a.pcapng"),
    ):
        pass
    with Capture(Recorder(7), [("r1", "eth1")], tmp_path / "b.pcapng", allow_drops=True) as capture:
        pass
    assert capture.drops == 7


def test_a_failing_block_keeps_its_own_error(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        Capture(Recorder(7), [("r1", "eth1")], tmp_path / "a.pcapng"),
    ):
        raise ZeroDivisionError
