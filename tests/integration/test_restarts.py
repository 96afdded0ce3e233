"""A device whose container starts again, by whomever, has what it had: links, faults, files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import pytest

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.errors import CommandError, HostError
from pytest_kinda.testbed import Testbed
from pytest_kinda.testbed.left import heal, leave
from tests.support.builds import await_true
from tests.support.topologies import LAN, LAN_DIRECT, PAIR, PAIR_DIRECT, on_direct

PAIRS = pytest.mark.topology(PAIR, PAIR_DIRECT)
SLOW = on_direct(
    Topology(
        name="slow",
        nodes=[Host("h1", startup_commands=["test ! -e /srv/slow || sleep 3"]), Router("r1")],
        links=[Link("h1", "r1")],
    )
)
LANS = pytest.mark.topology(LAN, LAN_DIRECT)

pytestmark = [pytest.mark.slow, pytest.mark.beside]


def by_hand(kinda: Any, *names: str) -> None:
    """Restart containers as a person would, and wait until the testbed says that they are wired."""
    start_again(kinda, *names)
    await_true(lambda: all(is_back(kinda, name) for name in names), f"{names} to be back", 30)


def start_again(kinda: Any, *names: str) -> None:
    containers = [kinda.standing.containers[name] for name in names]
    subprocess.run(["docker", "restart", "-t", "0", *containers], check=True, capture_output=True)


def is_back(kinda: Any, name: str) -> bool:
    told = kinda.standing.keeper.restarts().get(name, {})
    argv = ["docker", "inspect", "-f", "{{.State.Pid}}", kinda.standing.containers[name]]
    pid = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert told.get("state") != "failed", told
    return (told.get("pid"), told.get("state")) == (pid, "ready")


def state_of(kinda: Any) -> dict[str, Any]:
    """What a user can see of the network in every node."""
    found: dict[str, Any] = {}
    for node in kinda.nodes:
        addresses = {
            one["ifname"]: (
                one["address"],
                one["mtu"],
                sorted((each["local"], each["prefixlen"]) for each in one["addr_info"]),
            )
            for one in node.exec("ip", "-j", "addr").json()
            if not one["ifname"].startswith("khold")  # what delays packets here is no part of it
        }
        queues = {
            each.name: node.shell(f"tc qdisc show dev {each.name}").stdout
            for each in node.interfaces
        }
        found[node.name] = {
            "addresses": addresses,
            "routes": sorted(node.exec("ip", "route").lines),
            "queues": queues,
            "hosts": sorted(node.read_text("/etc/hosts").splitlines()),
        }
    return found


@PAIRS
def test_a_router_restarted_by_hand_has_what_it_had(kinda: Any) -> None:
    before = state_of(kinda)
    by_hand(kinda, "r1")
    assert state_of(kinda) == before
    assert kinda.reachability()


@PAIRS
def test_all_devices_restarted_at_once_have_what_they_had(kinda: Any) -> None:
    before = state_of(kinda)
    by_hand(kinda, "h1", "r1", "h2")
    assert state_of(kinda) == before
    assert kinda.reachability()


@LANS
def test_a_member_of_a_hub_has_what_it_had(kinda: Any) -> None:
    before = state_of(kinda)
    by_hand(kinda, "h2")
    assert state_of(kinda) == before
    assert kinda.reachability()


@PAIRS
def test_faults_of_links_outlive_a_restart_and_heal(kinda: Any) -> None:
    before = state_of(kinda)
    slow = kinda.link("h1", "r1").impair(rate="3mbit", delay="5ms")
    shaped = state_of(kinda)
    cut = kinda.link("r1", "h2").down()
    by_hand(kinda, "r1")
    assert ("r1", "h2") in kinda.reachability().missing
    assert ("h1", "r1") not in kinda.reachability().missing
    assert kinda.iperf("h1", "r1", seconds=1).received_bits_per_second < 3.5e6
    assert kinda.ping("h1", "r1", count=3).min_ms >= 10
    cut.heal()
    assert state_of(kinda) == shaped
    slow.heal()
    assert state_of(kinda) == before
    assert kinda.reachability(wait=2.0)


@PAIRS
def test_what_the_command_line_left_on_a_link_outlives_restarts_until_it_is_mended(
    kinda: Any,
) -> None:
    before = state_of(kinda)
    opened = Testbed.open(kinda.directory)  # as each `kinda link` does
    link = opened.link("r1", "h2")
    leave(opened, link, lambda one: one.impair(rate="3mbit"))
    shaped = state_of(kinda)
    leave(opened, link, lambda one: one.down())
    by_hand(kinda, "r1")
    assert ("r1", "h2") in kinda.reachability().missing
    assert "3Mbit" in shaped["r1"]["queues"]["eth1"]
    assert heal(Testbed.open(kinda.directory), link)
    assert state_of(kinda) == before
    by_hand(kinda, "r1")
    assert state_of(kinda) == before
    assert kinda.reachability()


@PAIRS
def test_a_fault_made_after_a_restart_bites_the_new_interface(kinda: Any) -> None:
    by_hand(kinda, "r1")
    with kinda.link("r1", "h2").down():
        assert not kinda.ping("h1", "h2", count=1)
    with kinda.capture(kinda.device("r1").interface("eth1"), filter="icmp") as capture:
        assert kinda.ping("h1", "h2", count=2)
    assert capture.count() == 4


@PAIRS
def test_a_restart_returns_when_packets_cross(kinda: Any) -> None:
    router = kinda.device("r1")
    router.write_file("/srv/note", "of before")
    assert router.restart().healed
    assert kinda.ping("h1", "h2", count=1)
    assert router.read_text("/srv/note") == "of before"
    assert kinda.faults == ()


@PAIRS
def test_a_killed_router_forwards_nothing_until_it_is_healed(kinda: Any) -> None:
    before = state_of(kinda)
    with kinda.device("r1").kill() as fault:
        assert fault in kinda.faults
        assert ("h1", "h2") in kinda.reachability().missing
        with pytest.raises((CommandError, HostError), match="not running"):
            kinda.device("r1").exec("true")
    assert state_of(kinda) == before
    assert kinda.ping("h1", "h2", count=1)


@PAIRS
def test_what_a_test_kills_is_put_back(kinda: Any) -> None:
    kinda.link("h1", "r1").impair(delay="5ms")  # its process is gone with an interface
    kinda.node("h2").kill()
    kinda.device("r1").kill()
    kinda.put_back()
    assert kinda.faults == ()
    assert kinda.reachability()


@PAIRS
def test_a_short_pause_leaves_no_trace(kinda: Any) -> None:
    host = kinda.node("h2")
    for _ in range(10):
        host.pause().heal()
        assert host.exec("true").ok


@PAIRS
def test_a_watch_that_died_is_started_again_and_sees_what_it_missed(kinda: Any) -> None:
    before = state_of(kinda)
    (watch,) = kinda.standing.keeper.tended()
    os.kill(watch["pid"], signal.SIGSTOP)
    start_again(kinda, "r1")
    os.kill(watch["pid"], signal.SIGKILL)
    await_true(lambda: is_back(kinda, "r1"), "r1 to be back", 30)
    (other,) = kinda.standing.keeper.tended()
    assert (other["restarts"], other["broken"]) == (watch["restarts"] + 1, "")
    assert state_of(kinda) == before
    assert kinda.device("r1").restart().healed


@pytest.mark.topology(SLOW)
def test_a_watch_that_dies_while_a_node_starts_is_followed_by_one_that_ends_it(kinda: Any) -> None:
    keeper = kinda.standing.keeper
    kinda.device("h1").write_file("/srv/slow", "")
    start_again(kinda, "h1")

    def starting() -> bool:
        told = keeper.restarts().get("h1", {})
        return told.get("state") == "wiring" and bool(kinda.ping("r1", "h1", count=1))

    await_true(starting, "its start-up commands to run", 30)
    os.kill(keeper.tended()[0]["pid"], signal.SIGKILL)
    await_true(lambda: is_back(kinda, "h1"), "h1 to be back", 30)
    assert kinda.reachability()


@PAIRS
def test_a_capture_goes_on_at_the_new_interface_and_says_when_there_was_none(kinda: Any) -> None:
    link = kinda.link("r1", "h2")
    with kinda.capture(link, filter="icmp", ends="both") as capture:
        kinda.ping("h1", "h2", count=2)
        since = time.time_ns()
        assert kinda.device("r1").restart().healed
        back = time.time_ns()
        kinda.ping("h1", "h2", count=3)
    after = [one for one in capture.packets if one.time > back]
    assert Counter(one.interface for one in after) == {"r1:eth1": 6, "h2:eth0": 6}
    gaps = {one.interface: one for one in capture.gaps}
    # a cable of the direct engine is a new one at both ends
    both = kinda.plan.options.engine == "direct"
    assert set(gaps) == ({"r1:eth1", "h2:eth0"} if both else {"r1:eth1"})
    gap = gaps["r1:eth1"]
    assert gap.until is not None
    assert since < gap.since < gap.until < back
    assert not [
        one
        for one in capture.packets
        if gap.since < one.time < gap.until and one.interface == "r1:eth1"
    ]
    assert b"r1:eth1: the interface was gone from 20" in capture.path.read_bytes()


@PAIRS
def test_a_killed_router_forwards_nothing_although_it_is_captured(kinda: Any) -> None:
    with kinda.capture(kinda.device("r1"), filter="icmp") as capture:
        with kinda.device("r1").kill():
            assert ("h1", "h2") in kinda.reachability().missing
        assert kinda.ping("h1", "h2", count=1)
    assert {one.interface for one in capture.gaps} >= {"r1:eth0", "r1:eth1"}
