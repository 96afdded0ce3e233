"""What a build tells while it works; the plugin and the CLI render it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """Told of each step; called from several threads, so an implementation locks."""

    def start(self, step: str) -> None:
        """A step begins; several may run at once."""

    def done(self, step: str, seconds: float) -> None:
        """A step ended well."""

    def failed(self, step: str, text: str) -> None:
        """A step ended badly."""

    def info(self, text: str) -> None:
        """Something worth a line that is no step."""


class Silent:
    """Says nothing."""

    def start(self, step: str) -> None:
        """Nothing."""

    def done(self, step: str, seconds: float) -> None:
        """Nothing."""

    def failed(self, step: str, text: str) -> None:
        """Nothing."""

    def info(self, text: str) -> None:
        """Nothing."""


class Lines:
    """A line when a step ends: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def start(self, step: str) -> None:
        """Nothing: the line comes at the end."""

    def done(self, step: str, seconds: float) -> None:
        """One line with the duration."""
        self._print(f"kinda: {step} ({seconds:.1f} s)")

    def failed(self, step: str, text: str) -> None:
        """One line with the cause."""
        self._print(f"kinda: {step} FAILED: {text}")

    def info(self, text: str) -> None:
        """The text as it is."""
        self._print(f"kinda: {text}")

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, file=self._stream, flush=True)


@contextmanager
def step(progress: Progress, name: str) -> Iterator[None]:
    """Report one step: its begin, and its end with the duration or the cause."""
    progress.start(name)
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        lines = str(error).splitlines() or [type(error).__name__]
        progress.failed(name, lines[0])
        raise
    progress.done(name, time.monotonic() - began)
