"""The control channel of a running native switch: its Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from pytest_kinda.errors import P4ControlError

LIMIT = 30.0
"""Seconds for one exchange."""

AT_ONCE = 500
"""Commands that are sent before their answers are read."""


class SocketChannel:
    """Commands over a Unix socket; a context manager.

    Raises P4ControlError where nothing listens, or the switch does not answer in time.

    Example:
        >>> with SocketChannel(Path("control.sock")) as channel:  # doctest: +SKIP
        ...     Control(program, channel).table("ipv4_lpm").clear()
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(LIMIT)
        try:
            self._socket.connect(str(path))
        except OSError as problem:
            self._socket.close()
            raise P4ControlError(f"{path}: no switch answers there: {problem}") from problem
        self._answers = Answers()

    def __enter__(self) -> SocketChannel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; the switch goes on."""
        self._socket.close()

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Carry out commands; see ``Control``."""
        answers: list[list[str]] = []
        # a part at a time: a switch that has too much to answer stops reading
        for start in range(0, len(lines), AT_ONCE):
            part = lines[start : start + AT_ONCE]
            wanted = start + len(part)
            try:
                self._socket.sendall("".join(f"{line}\n" for line in part).encode())
                while len(answers) < wanted:
                    data = self._socket.recv(65536)
                    if not data:
                        raise OSError("it closed the connection")
                    answers += self._answers.of(data)
            except OSError as problem:
                raise P4ControlError(f"{self._path}: the switch is gone: {problem}") from problem
        return answers


class Answers:
    """Answers out of a stream that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def of(self, data: bytes) -> list[list[str]]:
        """The answers that are complete with this piece, each as its lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = []
        for line in lines:
            self._lines.append(line.decode())
            if line.startswith((b"ok", b"error")):
                found.append(self._lines)
                self._lines = []
        return found
