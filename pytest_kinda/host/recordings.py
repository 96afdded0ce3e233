"""The keeper's side of captures: one child a capture, asked by lines over its streams."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pytest_kinda.errors import CaptureError, HostError, KindaError
from pytest_kinda.host import dialogue
from pytest_kinda.host.children import Child
from pytest_kinda.operations import HOST, Place

_WHO = "the capture's process"

PROGRAM = (sys.executable, "-m", "pytest_kinda.host.capture")
GRACE = 10.0
"""Seconds that a capture may take to write its last packets when it is told to end."""


class Recordings:
    """Captures by their id; ``start_child`` starts a child of the keeper."""

    def __init__(self, start_child: Callable[..., Child], forget: Callable[[Child], None]) -> None:
        self._start_child = start_child
        self._forget = forget
        self._running: dict[str, tuple[Child, threading.Lock]] = {}
        self._points: dict[str, frozenset[str]] = {}

    def start(
        self,
        points: Sequence[Sequence[str]],
        places: Mapping[str, Place],
        *,
        expression: str,
        path: str,
        snaplen: int,
        comment: str,
    ) -> str:
        """Begin one; its id. From its return on every packet is taken. Raises HostError."""
        if not points:
            raise CaptureError("a capture of no interface", remedy="name a node or a link")
        found = []
        for name, interface in points:
            place = places.get(name, Place() if name == HOST else None)
            if place is None:
                known = ", ".join(sorted(places)) or "none"
                raise HostError(f"there is no place {name!r}; known are: {known}")
            where = {"pid": place.pid, "started": place.started}
            found.append({"place": name, "interface": interface, **where})
        child = self._start_child(
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, grace=GRACE
        )
        asked = {
            "points": found,
            "filter": expression,
            "path": path,
            "snaplen": snaplen,
            "comment": comment,
        }
        try:
            dialogue.ask(child, asked, _WHO)
        except KindaError:
            self._close(child)
            raise
        identity = str(child.number)
        self._points[identity] = frozenset(one[0] for one in points)
        self._running[identity] = (child, threading.Lock())
        return identity

    def follow(self, places: Mapping[str, Place]) -> None:
        """Nodes have been wired anew: captures of them go on at the interfaces they have now.

        Nobody waits for them: a capture may be busy with its reader. When each interface was not
        there is among the counters.
        """
        for identity, (child, _) in list(self._running.items()):
            told = {
                name: {"pid": places[name].pid, "started": places[name].started}
                for name in self._points.get(identity, ())
                if name in places
            }
            if told:
                with suppress(OSError, ValueError):  # it is ending at this moment
                    dialogue.tell(child, {"do": "follow", "places": told})

    def flush(self, identity: str) -> Mapping[str, Any]:
        """Have all that came until now in the file; the counters. Raises HostError."""
        child, lock = self._get(identity)
        with lock:
            return dialogue.ask(child, {"do": "flush"}, _WHO)

    def stop(self, identity: str) -> Mapping[str, Any]:
        """End one; the counters. Raises HostError."""
        child, lock = self._get(identity)
        with lock:
            self._running.pop(identity, None)
            self._points.pop(identity, None)
            try:
                return dialogue.ask(child, {"do": "stop"}, _WHO)
            finally:
                self._close(child)

    def _get(self, identity: str) -> tuple[Child, threading.Lock]:
        if identity not in self._running:
            raise HostError(f"there is no capture {identity} (any more)")
        return self._running[identity]

    def _close(self, child: Child) -> None:
        dialogue.end(child)
        self._forget(child)
