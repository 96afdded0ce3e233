"""Faults of links: cut and impaired ends, in any order, each healed to what is still meant.

Two faults may hold the same interface. What it does to packets is what was declared, changed by
every fault that is still open, in the order of their making; its carrier is back when the last
fault that took it is healed. What healing has done is looked at, not believed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import HostError
from pytest_kinda.operations import Operation, SetCarrier, SetShape, Shape
from pytest_kinda.testbed.faults import Fault, Ledger
from pytest_kinda.testbed.interfaces import InterfaceHandle

_Key = tuple[str, str]


class Applier(Protocol):
    """Who carries operations out, through the journal."""

    def apply(self, operations: Sequence[Operation]) -> tuple[int, ...]:
        """Carry out; the journal's numbers. Raises HostError."""
        ...

    def settled(self, numbers: Sequence[int]) -> None:
        """These need no undo any more."""
        ...


class NetworkFaults:
    """Makes and heals faults of interfaces."""

    def __init__(self, ledger: Ledger, applier: Applier) -> None:
        self._ledger = ledger
        self._applier = applier
        self._lock = threading.RLock()
        self._cuts: dict[_Key, list[object]] = {}
        self._changes: dict[_Key, list[tuple[object, Mapping[str, Any]]]] = {}
        self._found: dict[_Key, str] = {}

    def shape_of(self, end: InterfaceHandle) -> Shape:
        """What is on an interface now, as far as the open faults say."""
        with self._lock:
            shape = end.shape
            for _, changes in self._changes.get(_key(end), ()):
                shape = replace(shape, **changes)
            return shape

    def is_cut(self, end: InterfaceHandle) -> bool:
        """Whether an open fault has taken its carrier."""
        with self._lock:
            return bool(self._cuts.get(_key(end)))

    def cut(self, what: str, ends: Sequence[InterfaceHandle]) -> Fault:
        """Take the carrier of interfaces away until the fault is healed."""
        token = object()
        numbers: list[int] = []

        def bite() -> None:
            with self._lock:
                for end in ends:
                    self._cuts.setdefault(_key(end), []).append(token)
                numbers.extend(self._apply([SetCarrier(*_key(end), up=False) for end in ends]))

        def heal() -> None:
            with self._lock:
                free = []
                for end in ends:
                    holders = self._cuts.get(_key(end), [])
                    others = [one for one in holders if one is not token]
                    if not others:
                        free.append(end)
                numbers.extend(self._apply([SetCarrier(*_key(end), up=True) for end in free]))
                for end in ends:
                    holders = self._cuts.get(_key(end), [])
                    self._cuts[_key(end)] = [one for one in holders if one is not token]
                self._applier.settled(numbers)
            for end in free:
                _await_carrier(end)

        return self._ledger.inflict(what, bite, heal)

    def impair(
        self, what: str, ends: Sequence[InterfaceHandle], changes: Mapping[str, Any]
    ) -> Fault:
        """Change the shape of interfaces until the fault is healed."""
        token = object()
        numbers: list[int] = []

        def bite() -> None:
            with self._lock:
                before = {_key(end): self.shape_of(end) for end in ends}
                for end in ends:
                    if not self._changes.get(_key(end)):
                        self._found[_key(end)] = _queueing(end)
                    self._changes.setdefault(_key(end), []).append((token, dict(changes)))
                numbers.extend(self._reshape(ends, before))

        def heal() -> None:
            with self._lock:
                before = {_key(end): self.shape_of(end) for end in ends}
                old = {_key(end): self._changes.get(_key(end), []) for end in ends}
                for key, entries in old.items():
                    self._changes[key] = [one for one in entries if one[0] is not token]
                try:
                    numbers.extend(self._reshape(ends, before))
                except BaseException:
                    self._changes.update(old)
                    raise
                self._applier.settled(numbers)
                for end in ends:
                    if not self._changes[_key(end)]:
                        _check_queueing(end, self._found.pop(_key(end), ""))

        return self._ledger.inflict(what, bite, heal)

    def _reshape(
        self, ends: Sequence[InterfaceHandle], before: Mapping[_Key, Shape]
    ) -> tuple[int, ...]:
        return self._apply(
            [SetShape(*_key(end), self.shape_of(end), before[_key(end)]) for end in ends]
        )

    def _apply(self, operations: Sequence[Operation]) -> tuple[int, ...]:
        return self._applier.apply(operations) if operations else ()


def _key(end: InterfaceHandle) -> _Key:
    return end.node.name, end.name


def _await_carrier(end: InterfaceHandle) -> None:
    def look() -> str:
        found = end.node.exec("cat", f"/sys/class/net/{end.name}/carrier", check=False)
        return (
            "" if found.lines == ["1"] else f"it has none ({found.stderr.strip() or 'carrier 0'})"
        )

    wait_until(look, f"the carrier of {end} after its link was healed", limit=10.0)


def _queueing(end: InterfaceHandle) -> str:
    """The queueing disciplines as tc tells them; empty where the node has no tc."""
    return end.node.exec("tc", "qdisc", "show", "dev", end.name, check=False).stdout


def _check_queueing(end: InterfaceHandle, before: str) -> None:
    if before and (now := _queueing(end)) != before:
        raise HostError(
            f"{end} was healed, but what it does to packets is not what it was: "
            f"expected {before.strip()!r}, found {now.strip()!r}"
        )
