"""Children that must not be missing: one that ends unasked is started again, so often at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_kinda.errors import HostError
from pytest_kinda.host.children import Child

TRIES = 5
"""How often in a row a child is started again."""
LASTING = 60.0
"""Seconds after which a child that has run so long has all its tries again."""
_FIRST_PAUSE = 0.05  # seconds before the first try, twice as many before each further one

log = logging.getLogger("tending")


@dataclass
class _Tended:
    child: Child
    restarts: int = 0
    broken: str = ""


class Tending:
    """Starts children and watches over each in a thread, until :meth:`stop`."""

    def __init__(self, forget: Callable[[Child], None]) -> None:
        self._forget = forget
        self._over = threading.Event()
        self._tended: dict[str, _Tended] = {}

    def begin(self, name: str, start: Callable[[], Child]) -> None:
        """Start a child and see to it that it runs. Raises HostError where it does not start."""
        tended = self._tended[name] = _Tended(start())
        thread = threading.Thread(
            target=self._tend, args=(name, tended, start), name=name, daemon=True
        )
        thread.start()

    def stop(self) -> None:
        """Start none again: they are about to be ended."""
        self._over.set()

    def states(self) -> list[dict[str, Any]]:
        """``name``, ``pid``, ``restarts`` and ``broken`` (empty: it runs) of each."""
        return [
            {
                "name": name,
                "pid": one.child.pid,
                "restarts": one.restarts,
                "broken": one.broken,
            }
            for name, one in list(self._tended.items())
        ]

    def _tend(self, name: str, tended: _Tended, start: Callable[[], Child]) -> None:
        tries = 0
        while True:
            begun = time.monotonic()
            status = tended.child.wait(None)
            if self._over.is_set():
                return
            self._forget(tended.child)
            lasted = time.monotonic() - begun
            tries = 1 if lasted > LASTING else tries + 1
            what = f"{name} ended after {lasted:.1f} s with status {status}"
            if tries > TRIES:
                tended.broken = f"{what} and was not started again, after {TRIES} tries in a row"
                log.error("%s", tended.broken)
                return
            if self._over.wait(_FIRST_PAUSE * 2 ** (tries - 1)):
                return
            try:
                tended.child = start()
            except (HostError, OSError) as error:
                if self._over.is_set():
                    return
                tended.broken = f"{what} and could not be started again: {error}"
                log.error("%s", tended.broken)
                return
            tended.restarts += 1
            log.warning("%s; started again, the %d. time", what, tended.restarts)
