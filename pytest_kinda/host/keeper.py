"""The keeper: carries out host operations, is the only writer of the journal, starts the undo.

Its main thread waits for connections, leases and signals, and starts all children; it never
changes its namespace. Each connection is served by a thread. An owner's lease is a connection
that stays open, together with a pidfd of the owner: either's end ends the lease (a child forked
by a test keeps the socket open, hence the pidfd). When the last owner is gone and the testbed is
not kept, the undo program is started, and the keeper ends after it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import selectors
import signal
import socket
import stat
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host import protocol
from pytest_kinda.host.calls import Calls
from pytest_kinda.host.journal import FILE, Journal, JournalWriter
from pytest_kinda.host.namespaces import start_time
from pytest_kinda.host.undoing import Undoing

SOCKET = "keeper.sock"
FIRST_OWNER = 30.0
"""Seconds that the first owner may take to come."""

_LONGEST_PATH = 100  # bytes; the kernel's limit of a socket's path is 107
_FAREWELL = 10.0  # seconds for answers to be delivered at the end

Value = TypeVar("Value")
log = logging.getLogger("keeper")


@dataclass
class Lease:
    """An owner: its connection and its process."""

    stream: socket.socket
    pidfd: int
    pid: int

    def close(self) -> None:
        """Let go of both descriptors."""
        self.stream.close()
        os.close(self.pidfd)


class KeeperServer:
    """The keeper of the testbed in ``directory``; ready for clients once it is made.

    Raises HostError where another keeper serves the same directory, OSError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        testbed: str = "",
        undo_program: tuple[str, ...] = (),
        starter: int = 0,
    ) -> None:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(threadName)s %(levelname)s %(message)s"
        )
        for one in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(one, signal.SIG_IGN)
        self.directory = directory
        self._lock_file = _only_keeper(directory)  # before the writer cuts a torn line off
        self.journal = JournalWriter(directory)
        kept = Journal.read(directory).notes.get("kept", False) if testbed == "" else False
        self.kept = bool(kept)
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._wake_from, self._wake_to = os.pipe()
        os.set_blocking(self._wake_to, False)
        self._terminate = False
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.set_wakeup_fd(self._wake_to, warn_on_full_buffer=False)
        self._leases: list[Lease] = []
        self._had_owner = False
        self._starter = _watch(starter) if starter else None
        self._starter_gone = starter > 0 and self._starter is None
        self._began = time.monotonic()
        self._serving: set[threading.Thread] = set()
        program = undo_program or (sys.executable, "-m", "pytest_kinda.build.undo")
        self.undoing = Undoing((*program, str(directory)), self)
        self.calls = Calls(self)
        self.socket_path = _socket_path(directory)
        self._listener = _listen(self.socket_path)
        pid = os.getpid()
        meta = {"testbed": testbed} if testbed else {}
        meta |= {
            "socket": str(self.socket_path),
            "pid": str(pid),
            "started": str(start_time(pid)),
            "format": "1",
        }
        self.journal.append([{"meta": meta}])
        log.info("keeper of %s, pid %d, socket %s", directory, pid, self.socket_path)

    def on_main(self, job: Callable[[], Value]) -> Value:
        """Have the main thread do something; its result, or the error that it raised."""
        if threading.current_thread() is threading.main_thread():
            return job()
        done: Future[Value] = Future()
        self._jobs.put((job, done))
        self.wake()
        return done.result()

    def wake(self) -> None:
        """Make the main thread look around."""
        try:
            os.write(self._wake_to, b".")
        except BlockingIOError:
            pass  # it has been told already

    def serve(self) -> int:
        """Serve clients until the testbed is undone; the exit status."""
        threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
        with selectors.DefaultSelector() as selector:
            self._selector = selector
            selector.register(self._listener, selectors.EVENT_READ, self._accept)
            selector.register(self._wake_from, selectors.EVENT_READ, self._woken)
            if self._starter is not None:
                selector.register(self._starter, selectors.EVENT_READ, self._end_of_starter)
            while not self.undoing.finished.is_set():
                for key, _ in selector.select(self._until_first_owner()):
                    key.data()
                self._check_owners()
            self._listener.close()
        self._run_jobs()
        deadline = time.monotonic() + _FAREWELL
        while self._serving and time.monotonic() < deadline:
            for thread in list(self._serving):
                thread.join(0.1)
            self._run_jobs()
        self.calls.end_children()
        self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent != self.directory:
            with suppress(OSError):
                self.socket_path.parent.rmdir()
        log.info("keeper ends")
        return 0

    def keep(self, keep: bool) -> None:
        """Whether the testbed outlives its owners."""
        self.journal.append([{"note": {"kept": keep}}])
        self.kept = keep
        self.wake()

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError as error:
            log.warning("accept: %s", error)
            return
        thread = threading.Thread(target=self._serve_one, args=(stream,), daemon=True)
        self._serving.add(thread)
        thread.start()

    def _serve_one(self, stream: socket.socket) -> None:
        keep_open = False
        try:
            request = protocol.receive(stream)
            if request is None:
                return
            if request.get("call") == "lease":
                self.on_main(lambda: self._add_lease(stream))
                keep_open = True
                protocol.send(stream, {"ok": None})
                return
            try:
                found = self.calls.answer(request, stream)
                if isinstance(found, socket.socket):
                    with found:
                        protocol.send(stream, {"ok": None}, giving=found)
                    return
                answer = {"ok": found}
            except (KindaError, OSError, ValueError, KeyError, TypeError) as error:
                if not isinstance(error, KindaError):
                    log.exception("call %s", request.get("call"))
                answer = protocol.error_message(error)
            protocol.send(stream, answer)
        except (HostError, OSError) as error:
            log.warning("a client: %s", error)
        finally:
            if not keep_open:
                stream.close()
            self._serving.discard(threading.current_thread())

    def _add_lease(self, stream: socket.socket) -> None:
        pid = _peer_pid(stream)
        try:
            lease = Lease(stream, os.pidfd_open(pid), pid)
        except OSError as error:
            raise HostError(f"owner {pid} is gone already") from error
        self._leases.append(lease)
        self._had_owner = True
        for what in (lease.stream, lease.pidfd):
            self._selector.register(what, selectors.EVENT_READ, lambda: self._end_lease(lease))
        log.info("owner %d", pid)

    def _end_lease(self, lease: Lease) -> None:
        if lease not in self._leases:
            return  # both its socket and its process have ended
        self._leases.remove(lease)
        self._selector.unregister(lease.stream)
        self._selector.unregister(lease.pidfd)
        lease.close()
        log.info("owner %d is gone; %d left", lease.pid, len(self._leases))

    def _until_first_owner(self) -> float | None:
        if self._had_owner or self.kept:
            return None
        if self._starter_gone:
            return 0.0  # it was killed before it could become the owner
        return max(0.0, self._began + FIRST_OWNER - time.monotonic())

    def _end_of_starter(self) -> None:
        assert self._starter is not None
        self._selector.unregister(self._starter)
        self._starter_gone = True

    def _check_owners(self) -> None:
        if self._terminate:
            self._terminate = False
            if self.kept:
                self.undoing.finished.set()
            else:
                self.undoing.begin()
        late = self._until_first_owner() == 0.0
        if not self.kept and not self._leases and (self._had_owner or late):
            self.undoing.begin()

    def _woken(self) -> None:
        os.read(self._wake_from, 4096)
        self._run_jobs()

    def _run_jobs(self) -> None:
        while not self._jobs.empty():
            job, done = self._jobs.get()
            try:
                done.set_result(job())
            except BaseException as error:
                done.set_exception(error)

    def _on_terminate(self, number: int, frame: object) -> None:
        self._terminate = True


def _warm_up() -> None:
    """Import what the first operation needs, while nobody waits for it."""
    import pytest_kinda.host.carry  # noqa: F401


def _watch(pid: int) -> int | None:
    """A pidfd of a process; None if it is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _only_keeper(directory: Path) -> int:
    handle = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise HostError(f"{directory}: another keeper serves this testbed") from error
    return handle


def _socket_path(directory: Path) -> Path:
    path = directory / SOCKET
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/run", tempfile.gettempdir()):
        if candidate and os.access(candidate, os.W_OK) and len(candidate) < _LONGEST_PATH - 40:
            folder = Path(tempfile.mkdtemp(prefix="kinda-", dir=candidate))
            return folder / "k.sock"
    raise HostError(f"{path}: too long for a socket, and there is no shorter place")


def _listen(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # of a keeper that died: the lock says that none lives
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def _peer_pid(stream: socket.socket) -> int:
    found = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[0])
