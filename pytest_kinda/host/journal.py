"""The journal of a testbed: what must be undone, on disk before it is done.

One JSON object a line in ``journal.jsonl``. The first line says whose it is (``meta``); then lines
with an ``undo`` (a thing that exists or is about to), ``note`` (facts, merged when read),
``reverted`` / ``undone`` (numbers of entries that are no more). A batch is one write and one sync.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_kinda.errors import HostError

FILE = "journal.jsonl"


@dataclass(frozen=True)
class Journal:
    """A journal as it was read.

    ``entries`` are the lines with an ``undo``, newest last, each with its number ``n``; those that
    were reverted or undone are left out. ``damaged`` names lines in the middle that could not be
    read (a torn *last* line is what a crash leaves and is dropped silently).
    """

    meta: Mapping[str, Any]
    entries: tuple[Mapping[str, Any], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    reverted: frozenset[int] = frozenset()
    damaged: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> Journal:
        """The journal of the testbed in ``directory``. Raises HostError if there is none.

        >>> Journal.read(directory).entries[-1]["undo"]         # doctest: +SKIP
        'docker-container'
        """
        path = Path(directory) / FILE
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise HostError(f"{path}: there is no journal here") from error
        lines, _ = _whole_lines(data)
        found: list[dict[str, Any]] = []
        damaged: list[str] = []
        for number, line in enumerate(lines, start=1):
            one = _parsed(line)
            if one is not None:
                found.append(one)
            elif number < len(lines):
                damaged.append(f"{path}:{number}: not a JSON object: {line[:60]!r}")
        meta: dict[str, Any] = {}
        notes: dict[str, Any] = {}
        gone: set[int] = set()
        for one in found:
            meta.update(one.get("meta", {}))
            notes.update(one.get("note", {}))
            for key in ("reverted", "undone"):
                if key in one:
                    gone.update([one[key]] if isinstance(one[key], int) else one[key])
        entries = tuple(one for one in found if "undo" in one and one.get("n") not in gone)
        return cls(meta, entries, notes, frozenset(gone), tuple(damaged))


class JournalWriter:
    """The one writer of a journal; safe to use from several threads.

    Opening an existing journal drops a torn last line and goes on behind the rest.
    Raises HostError where the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / FILE
        self._lock = threading.Lock()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            data = _read_all(self._file)
            lines, self._length = _whole_lines(data)
            if self._length != len(data):
                os.ftruncate(self._file, self._length)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise _write_error(self.path, error) from error
        numbers = [one.get("n", 0) for one in map(_parsed, lines) if one is not None]
        self._next = max(numbers, default=0) + 1

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write lines as one batch, on disk when this returns. Raises HostError."""
        with self._lock:
            self._write([dict(line) for line in lines])

    def record(self, entries: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """Write entries as one batch and give each its number. Raises HostError."""
        with self._lock:
            first = self._next
            self._write([{"n": first + at, **entry} for at, entry in enumerate(entries)])
            self._next = first + len(entries)
            return tuple(range(first, self._next))

    def close(self) -> None:
        """Close the file; the writer is of no use afterwards."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        if not lines:
            return
        try:
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        except (TypeError, ValueError) as error:
            raise HostError(f"{self.path}: an entry has no JSON form: {error}") from error
        data = text.encode()
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._length + done)
            os.fdatasync(self._file)
        except OSError as error:
            # Half a batch must not stay: the next one would be glued to it.
            try:
                os.ftruncate(self._file, self._length)
            except OSError:
                pass  # pwrite at the old length overwrites it, and readers drop a torn last line
            raise _write_error(self.path, error) from error
        self._length += len(data)


def _whole_lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines that end in a newline, and how many bytes they take with it."""
    length = data.rfind(b"\n") + 1
    return data[:length].split(b"\n")[:-1], length


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        one = json.loads(line)
    except ValueError:
        return None
    return one if isinstance(one, dict) else None


def _read_all(file: int) -> bytes:
    chunks = []
    while chunk := os.read(file, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(path: Path, error: OSError) -> HostError:
    remedy = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = f"free space on the file system of {path.parent}, or set XDG_STATE_HOME to another"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "set XDG_STATE_HOME to a directory that may be written"
    return HostError(
        f"{path}: the journal could not be written: {error.strerror}; nothing was done",
        remedy=remedy,
    )
