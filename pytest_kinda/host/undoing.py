"""The undo as the keeper runs it: once, as a child, its lines to everyone who asks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_kinda.errors import HostError
from pytest_kinda.host import children

if TYPE_CHECKING:
    from pytest_kinda.host.keeper import KeeperServer

LEFT = "left: "
"""The undo program's lines that begin so name what could not be removed."""

log = logging.getLogger("undo")


class Undoing:
    """Runs the undo program at most once; ``finished`` is set when it has ended."""

    def __init__(self, argv: tuple[str, ...], keeper: KeeperServer) -> None:
        self.argv = argv
        self.finished = threading.Event()
        self.left: tuple[str, ...] = ()
        self._keeper = keeper
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether it runs or has run: nothing new may be made any more."""
        return self._begun

    def begin(self) -> None:
        """Start it unless it has been started."""
        with self._changed:
            if self._begun:
                return
            self._begun = True
        threading.Thread(target=self._run, name="undo", daemon=True).start()

    def lines(self) -> Iterator[str]:
        """All lines from the first on, as they come, until the end."""
        at = 0
        while True:
            with self._changed:
                while len(self._lines) <= at and not self.finished.is_set():
                    self._changed.wait()
                new = self._lines[at:]
            if not new:
                return
            yield from new
            at += len(new)

    def _run(self) -> None:
        left: list[str] = []
        try:
            left += self._keeper.calls.end_children()
            left += self._run_program()
        except (HostError, OSError) as error:
            left.append(f"the undo program: {error}")
        for one in left:
            log.error("left: %s", one)
        note = {"state": "left", "left": left} if left else {"state": "undone"}
        with suppress(HostError):
            self._keeper.journal.append([{"note": note}])
        self.left = tuple(left)
        with self._changed:
            self.finished.set()
            self._changed.notify_all()
        self._keeper.wake()

    def _run_program(self) -> list[str]:
        log.info("running %s", " ".join(self.argv))
        output, written = os.pipe()
        try:
            child = self._keeper.on_main(
                lambda: children.start(
                    self.argv, number=0, mark=f"undo-{os.getpid()}", stdout=written, stderr=2
                )
            )
        finally:
            os.close(written)
        left: list[str] = []
        with os.fdopen(output, "r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                text = line.rstrip("\n")
                log.info("%s", text)
                if text.startswith(LEFT):
                    left.append(text[len(LEFT) :])
                with self._changed:
                    self._lines.append(text)
                    self._changed.notify_all()
        rc = child.process.wait()
        if rc != 0 and not left:
            left.append(f"the undo program ended with status {rc}: see keeper.log")
        return left
