"""File mode: a native program as a plain process, packets in and packets out, no interface.

This is how programs are tested without a network, and compared with another implementation.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from pytest_kinda.errors import ProgramError
from pytest_kinda.p4.control import Control
from pytest_kinda.p4.program import Program

_COMMAND = 0xFFFFFFFF
_HEAD = struct.Struct("!II")
LIMIT = 60.0
"""Seconds for one exchange with the process."""


@dataclass(frozen=True)
class Frame:
    """A packet and the port that it comes in by or goes out of."""

    port: int
    data: bytes


class FileSwitch:
    """A compiled program that takes packets by call.

    Timestamps are 0 always, so that equal inputs give equal outputs. Use it as a context manager.

    Example:
        >>> with FileSwitch(program, binary) as switch:  # doctest: +SKIP
        ...     switch.control.table("ipv4_lpm").add(...)
        ...     out = switch.send([Frame(1, bytes(60))])
    """

    def __init__(self, program: Program, binary: Path) -> None:
        self.control = Control(program, self)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the switch
        self._process = subprocess.Popen(
            [str(binary), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> FileSwitch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:  # it has ended already
                    pass
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def send(self, frames: Iterable[Frame]) -> list[Frame]:
        """Send packets in this order; answer what came out, in the order in which it did.

        Raises:
            ProgramError: The process ended; with what it wrote.
        """
        parts = [_HEAD.pack(frame.port, len(frame.data)) + frame.data for frame in frames]
        found, _ = self._exchange([*parts, _line("program")], 1)
        return found

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Carry out control commands; see ``Control``."""
        found, answers = self._exchange([_line(line) for line in lines], len(lines))
        if found:
            raise ProgramError("packets came out that no call had sent")
        return answers

    def _exchange(
        self, parts: Sequence[bytes], answers_count: int
    ) -> tuple[list[Frame], list[list[str]]]:
        frames: list[Frame] = []
        answers: list[list[str]] = []
        assert self._process.stdin
        stdin = self._process.stdin

        def write() -> None:
            try:
                for part in parts:
                    stdin.write(part)
                stdin.flush()
            except (BrokenPipeError, ValueError):
                pass  # the reader sees the end, and says why

        # both ends may be full: one thread writes, this one reads
        writer = threading.Thread(target=write, daemon=True)
        limit = threading.Timer(LIMIT, self._process.kill)
        limit.daemon = True
        limit.start()
        writer.start()
        try:
            while len(answers) < answers_count:
                port, data = self._record()
                if port == _COMMAND:
                    answers.append(data.decode().splitlines())
                else:
                    frames.append(Frame(port, data))
        finally:
            limit.cancel()
        writer.join()
        return frames, answers

    def _record(self) -> tuple[int, bytes]:
        assert self._process.stdout
        head = self._process.stdout.read(_HEAD.size)
        if len(head) == _HEAD.size:
            port, size = _HEAD.unpack(head)
            data = self._process.stdout.read(size)
            if len(data) == size:
                return port, data
        status = self._process.wait(LIMIT)
        self._errors.seek(0)
        end = self._errors.read().decode("utf-8", "replace")[-4000:]
        raise ProgramError(f"the program ended with status {status}:\n{end}")


def _line(text: str) -> bytes:
    data = text.encode()
    return _HEAD.pack(_COMMAND, len(data)) + data
