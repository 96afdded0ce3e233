"""A link that goes down and up again and again, until it is healed."""

from __future__ import annotations

import threading

from pytest_kinda.errors import KindaError
from pytest_kinda.testbed.faults import Fault, Ledger
from pytest_kinda.testbed.links import LinkHandle


def flap(link: LinkHandle, ledger: Ledger, *, period: float, down: float | None = None) -> Fault:
    """Take a link down for ``down`` seconds (half the period) in every ``period`` seconds.

    It begins with the first cut, before this returns. Healing ends it with the link up and raises
    what went wrong on the way. Raises KindaError for times that are none, HostError.
    """
    down = period / 2 if down is None else down
    if not 0 < down < period:
        raise KindaError(
            f"flapping {link.name}: found period={period:g} and down={down:g}; "
            "expected 0 < down < period, in seconds"
        )
    flapping = _Flapping(link, down, period - down)
    return ledger.inflict(f"link {link.name} flapping", flapping.begin, flapping.end)


class _Flapping:
    def __init__(self, link: LinkHandle, down: float, up: float) -> None:
        self._link = link
        self._down = down
        self._up = up
        self._stop = threading.Event()
        self._error: KindaError | None = None
        self._cut: Fault | None = None
        self._thread = threading.Thread(target=self._run, name=f"flap {link.name}", daemon=True)

    def begin(self) -> None:
        self._cut = self._link.down()
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._down):
                if self._cut is not None:
                    self._cut.heal()
                if self._stop.wait(self._up):
                    return
                self._cut = self._link.down()
        except KindaError as error:
            self._error = error

    def end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30.0)
        if self._cut is not None:
            self._cut.heal()
        error, self._error = self._error, None
        if error is not None:
            raise error
