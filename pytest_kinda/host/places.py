"""The table of places, opened: which namespace an operation's place name means."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.operations import (
    HOST,
    AddBridgePort,
    AddVeth,
    Operation,
    Place,
)


def places_of(operation: Operation) -> tuple[str, ...]:
    """The names of the places that an operation touches, the one it is carried out from first."""
    if isinstance(operation, AddVeth):
        return tuple(dict.fromkeys((operation.a.place, operation.b.place)))
    if isinstance(operation, AddBridgePort):
        return tuple(dict.fromkeys((HOST, operation.end.place)))
    return (operation.place,)


class OpenPlaces:
    """Namespaces by place name, opened when first asked for and held until the block ends.

    Asking for a place that is not in the table raises HostError, for one whose process is gone
    (or whose number another process has now) GoneError.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._open: dict[str, Namespace] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Namespace:
        with self._lock:
            if name not in self._open:
                self._open[name] = self._stack.enter_context(_opened(name, self._places))
            return self._open[name]

    def enter(self, name: str) -> Callable[[], AbstractContextManager[None]]:
        """What makes a context in which the calling thread is in that place."""
        namespace = self[name]
        return lambda: entered(namespace)

    def all_present(self) -> dict[str, Namespace]:
        """Every place of the table that still exists."""
        found = {}
        for name in (HOST, *self._places):
            try:
                found[name] = self[name]
            except GoneError:
                continue
        return found

    def __enter__(self) -> OpenPlaces:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _opened(name: str, places: Mapping[str, Place]) -> Namespace:
    place = places.get(name)
    if place is None and name == HOST:
        place = Place()
    if place is None:
        known = ", ".join(sorted(places)) or "none"
        raise HostError(f"there is no place {name!r}; known are: {known}")
    if place.pid == 0 and name != HOST:
        raise HostError(f"place {name}: no process is named; only {HOST} has none")
    try:
        return Namespace.open(place.pid, place.started)
    except GoneError as error:
        raise GoneError(
            f"place {name} (container {place.container[:12] or '?'}): {error}"
        ) from error
