"""A program that the keeper runs for as long as somebody holds it, and no longer."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress

from pytest_kinda.errors import HostError
from pytest_kinda.host import protocol


class Held:
    """A program of ``Keeper.hold``: the connection it was asked for on is what holds it.

    The keeper kills it when the connection ends, be it that its holder was killed.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream: socket.socket | None = stream
        self._lock = threading.Lock()
        self._ended = ""

    @property
    def ended(self) -> str:
        """How it has ended, in words; empty while it runs."""
        with self._lock:
            if self._stream is not None:
                poll = select.poll()
                poll.register(self._stream, select.POLLIN)
                if poll.poll(0):
                    self._hear(self._stream)
            return self._ended

    def end(self) -> None:
        """End it and all that it has started; they are gone when this returns."""
        with self._lock:
            if self._stream is not None:
                with suppress(OSError):  # the keeper may be gone, and its children with it
                    self._stream.shutdown(socket.SHUT_WR)
                self._hear(self._stream)

    def _hear(self, stream: socket.socket) -> None:
        try:
            answer = protocol.receive(stream) or {}
        except (HostError, OSError):
            answer = {}
        stream.close()
        self._stream = None
        if "ok" in answer:
            self._ended = how_ended(int(answer["ok"]["rc"]))
        else:
            gone = {"message": "the keeper is gone, and its children with it"}
            self._ended = str(answer.get("error", gone)["message"])


def how_ended(rc: int | None) -> str:
    """An exit status in words; empty where there is none yet.

    >>> how_ended(1), how_ended(-9), how_ended(None)
    ('exit status 1', 'killed by signal 9', '')
    """
    if rc is None:
        return ""
    return f"killed by signal {-rc}" if rc < 0 else f"exit status {rc}"
