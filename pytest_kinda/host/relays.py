"""The keeper's side of relays: one child for all of a testbed, started again if it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pytest_kinda.errors import HostError
from pytest_kinda.host import dialogue
from pytest_kinda.host.children import Child
from pytest_kinda.host.tending import Tending
from pytest_kinda.operations import HOST, Place

NAME = "the relay between switches and controllers"
PROGRAM = (sys.executable, "-m", "pytest_kinda.host.relay")
LIMIT = 30.0
"""Seconds for one answer: it opens sockets, and waits for nobody."""

Target = Mapping[str, Any] | None
"""``place``, ``addresses`` and ``port``; None leads nowhere."""


@dataclass(frozen=True)
class _Known:
    place: str
    port: int
    to: Target
    why: str = ""

    def places(self, of: Mapping[str, Place]) -> dict[str, dict[str, int]]:
        """The places that it is about, as the child is told them. Raises HostError."""
        named = [self.place, *([str(self.to["place"])] if self.to is not None else [])]
        found = {}
        for name in named:
            place = of.get(name, Place() if name == HOST else None)
            if place is None:
                raise HostError(f"there is no place {name!r}; known are: {', '.join(sorted(of))}")
            found[name] = {"pid": place.pid, "started": place.started}
        return found

    def told(self, name: str, do: str, of: Mapping[str, Place]) -> dict[str, Any]:
        """The line that opens or aims it."""
        said = {"do": do, "name": name, "place": self.place, "port": self.port}
        return said | {"to": self.to, "why": self.why, "places": self.places(of)}


class Relays:
    """The relays of a testbed by name; ``places`` are all of its places as they are now."""

    def __init__(
        self,
        start_child: Callable[..., Child],
        tending: Tending,
        places: Callable[[], Mapping[str, Place]],
    ) -> None:
        self._start_child = start_child
        self._tending = tending
        self._places = places
        self._child: Child | None = None
        self._known: dict[str, _Known] = {}
        self._changed = threading.Condition(threading.RLock())

    def open(self, name: str, place: str, port: int, to: Target) -> int:
        """Listen at a port (0: any) of a place's loopback and lead it to a target; the port.

        Raises HostError where the port is taken or a place is gone.
        """
        with self._changed:
            wanted = _Known(place, port, to)
            answer = self._ask(wanted.told(name, "open", self._places()))
            self._known[name] = replace(wanted, port=int(answer["port"]))
            return int(answer["port"])

    def aim(self, name: str, to: Target, why: str = "") -> None:
        """Lead a relay elsewhere, or nowhere: connections are told ``why``. Raises HostError."""
        with self._changed:
            if name not in self._known:
                raise HostError(f"there is no relay {name!r}")
            known = self._known[name] = replace(self._known[name], to=to, why=why)
            self._ask(known.told(name, "aim", self._places()))

    def close(self, name: str) -> None:
        """Give one up with its connections; one that is not there is no error."""
        with self._changed:
            if self._known.pop(name, None) is not None:
                self._ask({"do": "close", "name": name})

    def follow(self) -> None:
        """Nodes have been wired anew: relays go on in the namespaces that they have now."""
        with self._changed:
            if self._known:
                places = self._places()
                told: dict[str, Any] = {}
                for one in self._known.values():
                    told |= one.places(places)
                self._ask({"do": "follow", "places": told})

    def states(self) -> dict[str, Any]:
        """``place``, ``port``, ``listening``, ``connections`` and the last ``error`` of each."""
        with self._changed:
            if not self._known:
                return {}
            found: dict[str, Any] = self._ask({"do": "status"})["relays"]
            return found

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The child's answer; one that has ended is asked again once it is back."""
        if self._child is None:
            self._tending.begin(NAME, self._begin)
        child = self._child
        assert child is not None
        try:
            return dialogue.ask(child, message, NAME, LIMIT)
        except HostError:
            if child.wait(0.5) is None:
                raise
        if not self._changed.wait_for(lambda: self._child is not child, LIMIT):
            raise HostError(f"{NAME} has ended and was not started again: see keeper.log")
        assert self._child is not None
        return dialogue.ask(self._child, message, NAME, LIMIT)

    def _begin(self) -> Child:
        """Start the child, and open what the former one had open."""
        child = self._start_child(
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None
        )
        with self._changed:
            places = self._places()
            for name, known in self._known.items():
                again = known.told(name, "open", places) | {"again": True}
                dialogue.ask(child, again, NAME, LIMIT)
            former, self._child = self._child, child
            self._changed.notify_all()
        if former is not None:
            for stream in (former.process.stdin, former.process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        return child
