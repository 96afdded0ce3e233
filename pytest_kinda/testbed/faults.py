"""Faults: what a test does to the network, and how it is taken back whatever happens.

Every fault is known to its testbed from before it bites until it is healed. The plugin heals what
a test has left; the keeper's journal knows the operations as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from pytest_kinda.errors import KindaError


class Fault:
    """One fault: it bites from its making until ``heal``; a context manager heals it at its end.

    Example::

        with kinda.link("r1", "r2").down():
            assert not kinda.node("w1").exec("ping", "-c1", "-W1", w2.ip, check=False).ok
    """

    def __init__(self, what: str, heal: Callable[[], None], ledger: Ledger) -> None:
        self.what = what
        self._heal = heal
        self._ledger = ledger
        self._lock = threading.Lock()
        self._healed = False

    @property
    def healed(self) -> bool:
        """Whether it has been taken back."""
        return self._healed

    def heal(self) -> None:
        """Take it back; a second time does nothing. Raises HostError."""
        with self._lock:
            if self._healed:
                return
            self._heal()
            self._healed = True
        self._ledger.forget(self)

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.heal()

    def __repr__(self) -> str:
        return f"<fault {self.what}{' (healed)' if self._healed else ''}>"


class Ledger:
    """The faults of a testbed that are not healed, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Fault] = []

    def inflict(self, what: str, bite: Callable[[], object], heal: Callable[[], None]) -> Fault:
        """Note a fault, then let it bite. One that fails half-way is healed; its error comes."""
        fault = Fault(what, heal, self)
        with self._lock:
            self._open.append(fault)
        try:
            bite()
        except BaseException:
            fault.heal()
            raise
        return fault

    def forget(self, fault: Fault) -> None:
        """It is healed."""
        with self._lock:
            if fault in self._open:
                self._open.remove(fault)

    @property
    def open(self) -> tuple[Fault, ...]:
        """What is not healed, oldest first."""
        with self._lock:
            return tuple(self._open)

    def heal_all(self) -> tuple[str, ...]:
        """Heal the newest first and go on past errors; the errors as text.

        What fails is tried once more at the end: a link on a paused node heals after the node.
        """
        errors: list[str] = []
        for _ in range(2):
            errors = []
            for fault in reversed(self.open):
                try:
                    fault.heal()
                except (KindaError, OSError) as error:
                    errors.append(f"{fault.what}: {error}")
            if not errors:
                break
        return tuple(errors)


class Faults:
    """Several faults healed together, the newest first; a context manager."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)

    def heal(self) -> None:
        """Heal all of them. The first error is raised after all have been tried."""
        first: BaseException | None = None
        for fault in reversed(self.faults):
            try:
                fault.heal()
            except (KindaError, OSError) as error:
                first = first or error
        if first is not None:
            raise first

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.heal()
