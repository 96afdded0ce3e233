"""A device whose container starts again, by whomever, has what it had: links, faults, files."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from pytest_kinda.errors import CommandError, HostError
from tests.support.builds import await_true
from tests.support.topologies import LAN, LAN_DIRECT, PAIR, PAIR_DIRECT

PAIRS = pytest.mark.topology(PAIR, PAIR_DIRECT)
LANS = pytest.mark.topology(LAN, LAN_DIRECT)

pytestmark = pytest.mark.slow


def by_hand(kinda: Any, *names: str) -> None:
    """Restart containers as a person would, and wait until the testbed says that they are wired."""
    containers = [kinda.standing.containers[name] for name in names]
    subprocess.run(["docker", "restart", "-t", "0", *containers], check=True, capture_output=True)
    await_true(lambda: all(is_back(kinda, name) for name in names), f"{names} to be back", 30)


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
