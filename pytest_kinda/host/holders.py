"""The keeper's side of delays: one child for each interface whose packets are held.

A child that has died or does not answer leaves a link that carries nothing. It is never taken for
a working one: :meth:`Holders.states` says so (the testbed asks after each test), and whoever ends
the delay is told.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kinda.errors import GoneError, HostError, KindaError
from pytest_kinda.host import dialogue
from pytest_kinda.host.children import Child
from pytest_kinda.host.namespaces import start_time
from pytest_kinda.operations import Place, Shape

_WHO = "the process that delays packets"
PROGRAM = (sys.executable, "-m", "pytest_kinda.host.hold")
LIMIT = 10.0
"""Seconds that a child may take to begin."""
STALLED = 3.0
"""Seconds without an answer after which a child counts as stalled: it answers between packets."""

log = logging.getLogger("holders")


@dataclass
class _Holding:
    child: Child
    place: Place
    broken: str = ""


class Holders:
    """The children that hold packets, by place and interface."""

    def __init__(self, start_child: Callable[..., Child], forget: Callable[[Child], None]) -> None:
        self._start_child = start_child
        self._forget = forget
        self._running: dict[tuple[str, str], _Holding] = {}
        self._lock = threading.Lock()

    def start(self, name: str, place: Place, interface: str, shape: Shape) -> int:
        """Start one; the index of its TAP, which packets are to be redirected to.

        The TAP is there but down. Raises HostError.
        """
        child = self._start_child(
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None
        )
        asked = {
            "pid": place.pid,
            "started": place.started,
            "interface": interface,
            "delay": shape.delay,
            "jitter": shape.jitter,
            "reorder": shape.reorder,
            "corrupt": shape.corrupt,
        }
        try:
            answer = dialogue.ask(child, asked, _WHO, LIMIT)
        except KindaError:
            self._close(child)
            raise
        with self._lock:
            self._running[name, interface] = _Holding(child, place)
        return int(answer["index"])

    def end(self, name: str, interface: str) -> str:
        """End the one of an interface, if any; what was wrong with it, empty if nothing."""
        with self._lock:
            holding = self._running.pop((name, interface), None)
        if holding is None:
            return ""
        self._look(name, interface, holding)
        self._close(holding.child)
        return holding.broken

    def states(self) -> list[dict[str, Any]]:
        """``place``, ``interface``, ``broken`` (empty: it works) and counters of each."""
        with self._lock:
            running = dict(self._running)
        found = []
        for (name, interface), holding in running.items():
            counters = self._look(name, interface, holding)
            if not holding.broken and holding.child.ended is not None:
                with self._lock:  # it went with its container
                    self._running.pop((name, interface), None)
                self._close(holding.child)
                continue
            what = {"place": name, "interface": interface, "broken": holding.broken}
            found.append({**what, **counters})
        return found

    def _look(self, name: str, interface: str, holding: _Holding) -> Mapping[str, Any]:
        """Its counters; notes in ``broken`` what is wrong, and ends what is stalled."""
        if holding.broken:
            return {}
        child = holding.child
        try:
            return dialogue.ask(child, {"do": "status"}, _WHO, STALLED)
        except HostError as error:
            if child.wait(0.5) is not None and _gone(holding.place):
                return {}
            rc = child.ended
            what = f"does not answer ({error.message})" if rc is None else f"ended with status {rc}"
            holding.broken = (
                f"interface {interface} of {name}: the process that delays its packets {what}; "
                "since then nothing has left it"
            )
            log.error("%s", holding.broken)
            child.end()
            return {}

    def _close(self, child: Child) -> None:
        dialogue.end(child)
        self._forget(child)


def _gone(place: Place) -> bool:
    """Whether the process whose namespace it worked in has ended."""
    if not place.pid:
        return False
    try:
        return start_time(place.pid) != place.started
    except GoneError:
        return True
