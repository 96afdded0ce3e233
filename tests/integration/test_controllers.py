"""Switches that controllers drive: on a node, in the test's own process, gone and back again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_kinda.errors import UnknownNameError, WaitTimeoutError
from pytest_kinda.host.relays import NAME as RELAY
from tests.support.builds import await_true
from tests.support.documents import ROOT, examples, execute
from tests.support.openflow import Hub

pytestmark = [pytest.mark.slow, pytest.mark.beside]

LEARNING = ROOT / "examples" / "controllers" / "learning.py"
LIMIT = 60.0


def documented() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, text in examples().items():
        if place.startswith("controllers.md") and "connect_controller" in text:
            found |= execute(place, text)
    return found


DOCUMENTED = documented()
ON_DRIVEN = pytest.mark.topology(DOCUMENTED["DRIVEN"], engine="direct")
DECLARED = "priority=7,udp,tp_dst=7,actions=drop"


@ON_DRIVEN
def test_the_documented_controller(kinda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    DOCUMENTED["test_os_ken_drives_the_switch"](kinda)


def flows(s1: Any) -> list[tuple[str, str]]:
    return sorted((one.match, one.actions) for one in s1.flows())


def await_told(s1: Any) -> None:
    """Wait until the controller that is connected has told the switch to ask it."""
    s1.await_flow(lambda one: "CONTROLLER" in one.actions, timeout=LIMIT)


@contextmanager
def os_ken_on(place: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The example's controller, in the network of a node, at OpenFlow's port."""
    argv = ["nsenter", "-t", str(place.pid), "-n", sys.executable, str(LEARNING)]
    with subprocess.Popen([*argv, "--ofp-tcp-listen-port", "6653"]) as process:
        try:
            yield process
        finally:
            process.kill()


@ON_DRIVEN
def test_a_controller_on_a_node_drives_the_switch_until_it_dies(kinda: Any) -> None:
    s1 = kinda.device("s1")
    told = r"controllers of s1; last seen: c1:6653 is not connected \(.*127\.0\.0\.1 port 6653: Con"
    await_true(lambda: "refused" in s1.controllers[0].error, "the first try", LIMIT)
    with pytest.raises(WaitTimeoutError, match=told):
        s1.await_controllers(timeout=0.2)
    assert flows(s1) == [("udp,tp_dst=7", "drop")]
    assert not kinda.ping("h1", "h2", count=1)
    with os_ken_on(kinda.standing.places["c1"]) as process:
        (state,) = s1.await_controllers(timeout=LIMIT)
        assert (state.name, state.connected, state.state) == ("c1:6653", True, "ACTIVE")
        await_told(s1)
        assert kinda.ping("h1", "h2")
        await_true(lambda: len(s1.flows()) >= 4, "the flows that were learnt", 30)
        process.kill()
        await_true(lambda: not s1.controllers[0].connected, "the end to be seen", LIMIT)
        assert kinda.ping("h1", "h2")  # by the flows that are there: it is secure
        assert "c1:6653 is not connected" in str(s1.controllers[0])
    # no interface and no address is its controller's
    assert [one["ifname"] for one in kinda.exec("c1", "ip", "-j", "link").json()] == ["lo"]
    s1.ofctl("del-flows", "br0")
    s1.ofctl("add-flow", "br0", DECLARED)


@ON_DRIVEN
def test_a_switch_and_a_controller_that_start_again_find_each_other(kinda: Any) -> None:
    s1, c1 = kinda.device("s1"), kinda.node("c1")
    with Hub(c1.socket(), 6653) as hub:
        s1.await_controllers(timeout=LIMIT)
        s1.restart()
        s1.await_controllers(timeout=LIMIT)
        await_true(lambda: len(hub.switches) >= 2, "the switch to come again", LIMIT)
    assert len(set(hub.switches)) == 1
    c1.restart()
    with Hub(c1.socket(), 6653, "0.0.0.0") as hub:
        s1.await_controllers(timeout=LIMIT)
        await_told(s1)
        assert kinda.ping("h1", "h2")
        assert hub.packets > 0
        (pid,) = (one["pid"] for one in kinda.standing.keeper.tended() if one["name"] == RELAY)
        os.kill(pid, signal.SIGKILL)
        await_true(lambda: len(hub.switches) >= 2, "the switch by another relay", LIMIT)
        s1.await_controllers(timeout=LIMIT)
    kinda.put_back()  # a relay that was started again is no damage
    s1.ofctl("del-flows", "br0")
    s1.ofctl("add-flow", "br0", DECLARED)


@ON_DRIVEN
def test_a_controller_in_this_process_until_it_is_taken_back(kinda: Any) -> None:
    s1 = kinda.device("s1")
    before, relays = flows(s1), kinda.standing.keeper.relays()
    with Hub(socket.socket()) as hub:
        with s1.connect_controller(("127.0.0.1", hub.port), timeout=LIMIT):
            (state,) = s1.controllers
            assert state.name == f"127.0.0.1:{hub.port} of this machine"
            assert ("udp,tp_dst=7", "drop") in flows(s1)
            await_told(s1)
            assert kinda.ping("h1", "h2")
            assert hub.packets >= 2
            assert len(kinda.standing.keeper.relays()) == len(relays) + 1
        assert flows(s1) == before
        assert [one.name for one in s1.controllers] == ["c1:6653"]
        assert s1.vsctl("get", "bridge", "br0", "fail_mode").stdout.strip() == "secure"
        assert kinda.standing.keeper.relays().keys() == relays.keys()
        packets = hub.packets
        assert not kinda.ping("h1", "h2", count=1)
        assert hub.packets == packets
        s1.connect_controller(("127.0.0.1", hub.port), fail_mode=None, timeout=LIMIT)
        await_told(s1)
        assert kinda.ping("h1", "h2")
        kinda.put_back()
    assert flows(s1) == before


@ON_DRIVEN
def test_a_controller_that_is_not_there_is_told_and_changes_nothing(kinda: Any) -> None:
    s1 = kinda.device("s1")
    before = flows(s1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        here = f"127.0.0.1:{port} of this machine"
        with s1.connect_controller(("127.0.0.1", port), wait=False):
            await_true(lambda: "refused" in s1.controllers[0].error, "the first try", LIMIT)
            assert str(s1.controllers[0]).startswith(f"{here} is not connected (")
        with pytest.raises(WaitTimeoutError, match=f"{here} is not connected"):
            s1.connect_controller(("127.0.0.1", port), timeout=0.2)
    with pytest.raises(UnknownNameError, match=r"no node 'c9' .*there are s1, h1, h2, c1"):
        s1.connect_controller("c9")
    assert flows(s1) == before
    assert [one.name for one in s1.controllers] == ["c1:6653"]
