"""Child processes of the keeper, each with a session of its own, and how they are ended.

They are started by the main thread only: the kernel takes the end of the *thread* that started a
child for the end of its parent, and a child must die with the keeper (PR_SET_PDEATHSIG). A mark
in the environment finds what a child has started even where it has left the session.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host.namespaces import start_time, unshare_network

MARK = "KINDA_CHILD"
"""The environment variable that all processes below a child carry."""

_PR_SET_PDEATHSIG = 1
_AWAIT = 30.0  # seconds for killed processes to be gone


@dataclass
class Child:
    """A child that was started; ``process`` is this keeper's handle on it."""

    number: int
    argv: tuple[str, ...]
    process: subprocess.Popen[bytes]
    pid: int
    started: int
    mark: str
    grace: float = 0.0

    @property
    def ended(self) -> int | None:
        """Its exit status (negative: the signal), None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None, *others: Any) -> int | None:
        """Wait for its end, ``timeout`` seconds, or until something of ``others`` is readable."""
        if self.ended is not None:
            return self.ended
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return self.process.wait()
        try:
            limit = None if timeout is None else max(0.0, timeout)
            select.select([handle, *others], [], [], limit)
        finally:
            os.close(handle)
        return self.ended

    def end(self) -> None:
        """End it and all that it started. Raises HostError if something does not go."""
        end_processes(self.pid, self.started, self.mark, grace=self.grace)
        self.process.wait()


def start(
    argv: Sequence[str],
    *,
    number: int,
    mark: str,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    own_network: bool = False,
    grace: float = 0.0,
) -> Child:
    """Start a child; to be called by the main thread. Raises HostError.

    ``env`` is added to the keeper's own. ``grace`` is how long (seconds) it may take to end by
    itself after SIGTERM. ``own_network`` gives it a network namespace of its own.
    """
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for one in (signal.SIGINT, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)
        if own_network:
            unshare_network()

    try:
        process = subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **(env or {}), MARK: mark},
            start_new_session=True,
            preexec_fn=prepare,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise HostError(f"{argv[0]!r} could not be started: {error}") from error
    try:
        started = start_time(process.pid)
    except GoneError:
        started = 0
    return Child(number, tuple(argv), process, process.pid, started, mark, grace)


def end_from_entry(entry: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """End what a journal's ``process`` entry says, keeper or not; idempotent. Raises HostError.

    ``notes`` are the journal's: ``child-N`` holds the pid and its start time once it had one.
    """
    known = notes.get(f"child-{entry.get('n')}", {})
    end_processes(int(known.get("pid", 0)), int(known.get("started", 0)), str(entry["mark"]))


def end_processes(pid: int, started: int, mark: str, *, grace: float = 0.0) -> None:
    """End the session that ``pid`` leads and everything that carries the mark.

    Waits until they are gone. Raises HostError naming those that are not.
    """

    def find() -> set[int]:
        return _members(pid, started, mark)

    if grace and (found := find()):
        _signal(found, signal.SIGTERM)
        _await_gone(found, grace)
    deadline = time.monotonic() + _AWAIT
    # Again until a look finds none: what is being killed may just have started another.
    while found := find():
        _signal(found, signal.SIGKILL)
        _await_gone(found, deadline - time.monotonic())
        if time.monotonic() > deadline and (found := find()):
            raise HostError(f"processes {sorted(found)} do not end after SIGKILL")


def _members(pid: int, started: int, mark: str) -> set[int]:
    # The leader's number is not given to another process while its session has a member.
    try:
        ours = pid > 0 and (not started or start_time(pid) == started)
    except GoneError:
        ours = pid > 0
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            state, session = _state_and_session(folder)
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue  # gone meanwhile
        if state in "ZX":
            continue
        if (ours and session == pid) or wanted in environment:
            found.add(int(folder.name))
    return found


def _state_and_session(folder: Path) -> tuple[str, int]:
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[3])


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _await_gone(pids: set[int], limit: float) -> None:
    """Return when all are gone, or after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(handle)
