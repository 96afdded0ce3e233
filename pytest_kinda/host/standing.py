"""What the keeper knows of what stands: each place's newest namespaces, and what was set on ends.

A container that starts again has other namespaces and fresh interfaces. Clients go on naming the
place that they know; the newest one is what is meant. What faults have done to an interface is
remembered, because the interface that takes its place must do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pytest_kinda.errors import HostError
from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.operations import (
    Operation,
    Place,
    SetCarrier,
    SetInterface,
    SetShape,
    Shape,
    decode,
)

_End = tuple[str, str]


class StandingState:
    """Places, shapes and cuts; safe to use from several threads."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._acting = 0
        self._rewiring = False
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}
        self._shapes: dict[_End, SetShape] = {}
        self._cuts: dict[_End, None] = {}

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Carry operations out, beside others who do, but never within a re-wiring."""
        with self._turn:
            self._turn.wait_for(lambda: not self._rewiring)
            self._acting += 1
        try:
            yield
        finally:
            with self._turn:
                self._acting -= 1
                self._turn.notify_all()

    @contextmanager
    def rewiring(self) -> Iterator[None]:
        """Wire a node anew while nobody else changes anything."""
        with self._turn:
            self._turn.wait_for(lambda: not self._rewiring)
            self._rewiring = True
            self._turn.wait_for(lambda: self._acting == 0)
        try:
            yield
        finally:
            with self._turn:
                self._rewiring = False
                self._turn.notify_all()

    def places(self, told: Mapping[str, Place] | None = None) -> dict[str, Place]:
        """Every place as it is now; ``told`` is what a client knows of some of them."""
        with self._lock:
            for name, place in (told or {}).items():
                known = self._places.get(name)
                # start times only grow: of two processes of one container the later is the one
                stale = (
                    known is not None
                    and place.container != ""
                    and known.container == place.container
                    and known.started > place.started
                )
                if not stale:
                    self._places[name] = place
            return dict(self._places)

    def heard(self, operations: Iterable[Operation]) -> None:
        """Remember what these set on ends."""
        with self._lock:
            for one in operations:
                if isinstance(one, SetShape):
                    self._shapes[one.place, one.interface] = one
                elif isinstance(one, SetCarrier):
                    if one.up:
                        self._cuts.pop((one.place, one.interface), None)
                    else:
                        self._cuts[one.place, one.interface] = None

    def as_of_now(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """A journal's entry about the shape or the carrier of an end, with its newest places.

        The end may be another interface since: what was set on it has been set on that one, too.
        """
        if entry["undo"] != "operation" or not isinstance(_of(entry), (SetShape, SetCarrier)):
            return entry
        told = {name: from_json(Place, one) for name, one in entry.get("places", {}).items()}
        known = self.places(told)
        return {**entry, "places": {name: to_json(known[name]) for name in told}}

    def taken_back(self, entry: Mapping[str, Any]) -> None:
        """Remember that what an entry says is so no more."""
        if entry["undo"] != "operation":
            return
        operation = _of(entry)
        if isinstance(operation, SetShape):
            self.heard([replace(operation, shape=operation.before)])
        elif isinstance(operation, SetCarrier):
            self.heard([replace(operation, up=not operation.up)])

    def as_it_was(self, operations: Sequence[Operation]) -> list[Operation]:
        """Operations that wire a node as planned, changed to what faults have made of it.

        Shapes are those that were set last; ends that were cut are cut again at the end.
        """
        found: list[Operation] = []
        # what is configured is there; a cable to a node that does not run is not
        present = dict.fromkeys(
            (one.place, one.interface)
            for one in operations
            if isinstance(one, SetInterface) and one.rename is None
        )
        with self._lock:
            for one in operations:
                if isinstance(one, SetShape):
                    self._shapes.setdefault((one.place, one.interface), one)
                else:
                    found.append(one)
            found += [
                replace(shape, before=Shape())
                for end in present
                if (shape := self._shapes.get(end)) is not None and not shape.shape.empty
            ]
            found += [SetCarrier(*end, up=False) for end in self._cuts if end in present]
        return found


def _of(entry: Mapping[str, Any]) -> Operation:
    """The operation of a journal's entry. Raises HostError."""
    try:
        return decode(entry["operation"])
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"journal entry {entry.get('n')}: no operation: {error}") from error
