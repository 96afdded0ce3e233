"""How a build's steps are shown: a live list on a terminal, a line for each step elsewhere.

Each class here has the four methods of :class:`pytest_kinda.build.progress.Progress`. Steps may
run side by side and report from several threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table


class Quiet:
    """Says nothing."""

    def start(self, step: str) -> None:
        """A step begins."""

    def done(self, step: str, seconds: float) -> None:
        """A step has ended well."""

    def info(self, text: str) -> None:
        """Something worth a line."""

    def failed(self, step: str, text: str) -> None:
        """A step has failed."""


class Lines:
    """A line for each step as it ends, for logs and pipes."""

    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream = stream
        self._title = title
        self._lock = threading.Lock()

    def _write(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{self._title}: {text}\n")
            self._stream.flush()

    def start(self, step: str) -> None:
        """A step begins."""
        self._write(f"{step} ...")

    def done(self, step: str, seconds: float) -> None:
        """A step has ended well."""
        self._write(f"{step} {seconds:.1f} s")

    def info(self, text: str) -> None:
        """Something worth a line."""
        self._write(text)

    def failed(self, step: str, text: str) -> None:
        """A step has failed."""
        self._write(f"{step} FAILED: {text}")


class Live:
    """The steps with their running times; rich draws it anew several times a second."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._running: dict[str, float] = {}
        self._ended: dict[str, tuple[bool, float, str]] = {}
        self._info = ""
        self._lock = threading.Lock()

    def start(self, step: str) -> None:
        """A step begins."""
        with self._lock:
            self._running[step] = time.monotonic()

    def done(self, step: str, seconds: float) -> None:
        """A step has ended well."""
        with self._lock:
            self._running.pop(step, None)
            self._ended[step] = (True, seconds, "")

    def info(self, text: str) -> None:
        """Something worth a line."""
        with self._lock:
            self._info = text

    def failed(self, step: str, text: str) -> None:
        """A step has failed."""
        with self._lock:
            seconds = time.monotonic() - self._running.pop(step, time.monotonic())
            self._ended[step] = (False, seconds, text)

    def __rich__(self) -> Table:
        """What rich draws."""
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        table.add_row(Text(self._title, style="bold"), Text(f"{now - self._begun:.1f} s"), "")
        with self._lock:
            for step, (well, seconds, text) in self._ended.items():
                mark = Text("  ok ", style="green") if well else Text("  failed ", style="red")
                table.add_row(mark.append(step, style="none"), f"{seconds:.1f} s", Text(text))
            for step, begun in self._running.items():
                running = Text("  … ", style="yellow").append(step, style="none")
                table.add_row(running, f"{now - begun:.1f} s", "")
            if self._info:
                table.add_row(Text("  " + self._info, style="dim"), "", "")
        return table


@contextlib.contextmanager
def display(stream: TextIO, title: str, *, terminal: bool) -> Iterator[Lines | Live]:
    """Show the steps on this stream until the block ends."""
    if not terminal:
        yield Lines(stream, title)
        return
    from rich.console import Console
    from rich.live import Live as Drawing

    shown = Live(title)
    console = Console(file=stream, force_terminal=True)
    with Drawing(shown, console=console, refresh_per_second=8, redirect_stdout=False):
        yield shown
