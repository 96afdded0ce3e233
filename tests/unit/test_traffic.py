from types import SimpleNamespace
from typing import Any

import pytest

from pytest_kinda.errors import CommandError, KindaError
from pytest_kinda.testbed.results import Result
from pytest_kinda.testbed.traffic import iperf, parse_iperf, parse_ping

IPUTILS = b"""PING 10.9.0.2 (10.9.0.2) 56(84) bytes of data.

--- 10.9.0.2 ping statistics ---
4 packets transmitted, 3 received, 25% packet loss, time 3062ms
rtt min/avg/max/mdev = 0.045/0.055/0.066/0.009 ms
"""
BUSYBOX = b"""3 packets transmitted, 3 packets received, 0% packet loss
round-trip min/avg/max = 0.1/0.2/0.3 ms
"""


def test_ping_of_iputils_and_busybox():
    found = parse_ping(Result(0, IPUTILS, b""))
    assert (found.sent, found.received, found.loss) == (4, 3, 0.25)
    assert (found.min_ms, found.mean_ms, found.max_ms) == (0.045, 0.055, 0.066)
    assert parse_ping(Result(0, BUSYBOX, b"")).mean_ms == 0.2


def test_a_ping_without_answer_is_falsy_and_has_no_times():
    found = parse_ping(Result(1, b"3 packets transmitted, 0 received, 100% packet loss", b""))
    assert not found
    assert found.loss == 1
    assert found.mean_ms is None


def test_no_ping_at_all():
    with pytest.raises(CommandError, match="no ping's output"):
        parse_ping(Result(2, b"", b"ping: bad address", argv=("ping",), where="w1"))


def test_iperf_over_tcp_and_udp():
    tcp = {"bits_per_second": 95e6, "bytes": 1000, "seconds": 3.0, "retransmits": 7}
    found = parse_iperf({"end": {"sum_sent": tcp, "sum_received": {**tcp, "bytes": 900}}})
    assert (found.received_bits_per_second, found.received_bytes, found.retransmits) == (
        95e6,
        900,
        7,
    )
    assert found.lost_packets is None
    udp = {**tcp, "lost_packets": 2, "packets": 100, "jitter_ms": 0.5}
    found = parse_iperf({"end": {"sum": udp, "sum_sent": tcp, "sum_received": tcp}})
    assert (found.lost_packets, found.packets, found.jitter_ms) == (2, 100, 0.5)
    assert found.retransmits is None


def test_iperfs_own_error():
    with pytest.raises(KindaError, match="unable to connect"):
        parse_iperf({"error": "unable to connect to server", "end": {}})


@pytest.mark.parametrize("seconds", [0, 0.5, 2.5, -1])
def test_iperf3_counts_whole_seconds(seconds: float) -> None:
    place: Any = SimpleNamespace(ip="10.0.0.1")
    with pytest.raises(KindaError, match=f"seconds: found {seconds:g}; iperf3 counts whole"):
        iperf(place, place, seconds=seconds)
