"""Delay and loss of links as a test declares and changes them, by netem or by what we have."""

import os
import signal
from pathlib import Path

import pytest

from pytest_kinda.errors import KindaError
from tests.support.topologies import SLOW_PAIR, SLOW_PAIR_DIRECT

pytestmark = pytest.mark.topology(SLOW_PAIR, SLOW_PAIR_DIRECT)


def round_trip(kinda, *, count=10):
    found = kinda.ping("h1", "h2", count=count, interval=0.05)
    assert found.min_ms is not None  # the shortest: this machine may be busy
    return found.min_ms


def test_what_is_declared_is_there(kinda):
    """10 ms each way, half of the answers lost, and all of it after the link's rate is changed."""
    link = kinda.link("r1", "h2")
    with link.impair(loss=0):
        assert 20 <= round_trip(kinda) < 30
        with link.impair(rate="5mbit"):
            assert 20 <= round_trip(kinda) < 30
            assert kinda.iperf("h1", "h2", seconds=1).received_bits_per_second < 6e6
    answers = kinda.ping("h1", "h2", count=60, interval=0.02).received
    assert 12 <= answers <= 48  # 30 are expected


def test_an_impairment_is_taken_back(kinda):
    link = kinda.link("h1", "r1")
    plain = kinda.node("h1").exec("ip", "-br", "link").stdout
    with kinda.link("r1", "h2").impair(loss=0):
        with link.impair(delay="30ms", jitter="1ms", direction="h1->r1"):
            assert 49 <= round_trip(kinda) < 60
        with link.impair(loss="100%", direction="h1->r1"):
            assert not kinda.ping("h1", "h2", count=3, interval=0.1)
        assert 20 <= round_trip(kinda) < 30
    assert kinda.node("h1").exec("ip", "-br", "link").stdout == plain


def test_a_link_that_was_cut_is_delayed_again(kinda):
    link = kinda.link("r1", "h2")
    with link.impair(loss=0):
        with link.down():
            assert not kinda.ping("h1", "h2", count=1)
        assert round_trip(kinda) >= 20


def test_a_restarted_node_delays_as_before_and_as_impaired(kinda):
    with kinda.link("r1", "h2").impair(loss=0):
        with kinda.link("r1", "h2").impair(delay="40ms", direction="r1->h2"):
            kinda.node("r1").restart()
            assert 50 <= round_trip(kinda) < 70
        assert 20 <= round_trip(kinda) < 40


def test_a_dead_link_is_told_after_the_test(kinda):
    keeper = kinda.standing.keeper
    if not keeper.holders():
        pytest.skip("kernel with netem: no process delays packets")
    fault = kinda.link("h1", "r1").impair(delay="5ms", direction="r1->h1")
    pids = holders_of(keeper.hello()["pid"])
    assert len(pids) == len(keeper.holders()) == 3
    os.kill(max(pids), signal.SIGKILL)  # the newest
    with pytest.raises(KindaError, match=r"of r1: the process that delays .* ended with status -9"):
        kinda.put_back()
    assert fault.healed
    kinda.put_back()


def holders_of(keeper):
    found = []
    for one in Path("/proc").iterdir():
        try:
            text = (one / "cmdline").read_bytes()
            parent = int((one / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if b"pytest_kinda.host.hold\0" in text and parent == keeper:
            found.append(int(one.name))
    return found
