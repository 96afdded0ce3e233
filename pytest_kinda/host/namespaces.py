"""Network namespaces of running processes: hold one open, step into it, step out again.

A namespace belongs to a *thread* in Linux, so :func:`entered` moves only the calling thread; the
keeper's main thread never calls it with anything but short work, and children are started outside.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from pytest_kinda.errors import GoneError, HostError

CLONE_NEWNET = 0x40000000


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot (field 22 of ``/proc/PID/stat``).

    Raises GoneError if there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise GoneError(f"process {pid} is gone") from error
    # The command's name stands in parentheses and may hold spaces and parentheses itself.
    return int(text.rpartition(")")[2].split()[19])


class Namespace:
    """The network namespace of a process, held open by a descriptor.

    Holding it keeps the namespace alive after the process has ended, so close it: it is a context
    manager. ``pid`` is 0 for the machine's own.
    """

    def __init__(self, descriptor: int, pid: int) -> None:
        self._descriptor = descriptor
        self.pid = pid

    @classmethod
    def open(cls, pid: int, started: int = 0) -> Namespace:
        """Hold the network namespace of process ``pid``; 0 means this program's own.

        ``started`` is what :func:`start_time` must say of it; 0 leaves that unchecked.
        Raises GoneError if the process is gone or its number has been given to another one.
        """
        path = f"/proc/{pid}/ns/net" if pid else "/proc/self/ns/net"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise GoneError(f"process {pid} is gone") from error
        except PermissionError as error:
            raise HostError(
                f"the network namespace of process {pid} may not be opened", remedy="run as root"
            ) from error
        # Checked after opening: if it is still that process now, it was when we opened.
        try:
            if pid and started and start_time(pid) != started:
                raise GoneError(f"process {pid} is gone: another one has its number now")
        except GoneError:
            os.close(descriptor)
            raise
        return cls(descriptor, pid)

    def fileno(self) -> int:
        """The open descriptor, as netlink's ``net_ns_fd`` and ``setns`` want it."""
        if self._descriptor < 0:
            raise HostError("the namespace has been closed")
        return self._descriptor

    @property
    def inode(self) -> int:
        """What tells one namespace from another."""
        return os.fstat(self.fileno()).st_ino

    @property
    def root(self) -> Path:
        """The root directory of the process, as seen from here."""
        return Path(f"/proc/{self.pid}/root") if self.pid else Path("/")

    def close(self) -> None:
        """Let go of it; twice is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def setns(descriptor: int) -> None:
    """Move the calling thread into the network namespace behind a descriptor.

    By ctypes: ``os.setns`` came with Python 3.12. Raises HostError.
    """
    if _libc().setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise HostError(
            f"could not enter a network namespace: {os.strerror(number)}", remedy="run as root"
        )


def unshare_network() -> None:
    """Give the calling thread a new network namespace, for the rest of its life.

    Raises HostError.
    """
    if _libc().unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise HostError(
            f"could not make a network namespace: {os.strerror(number)}", remedy="run as root"
        )


@contextmanager
def entered(namespace: Namespace) -> Iterator[None]:
    """Be in a namespace, this thread only, for the time of the block.

    Sockets made inside stay in it. Raises HostError.

    >>> with Namespace.open(pid) as place, entered(place):      # doctest: +SKIP
    ...     socket.if_nameindex()
    """
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace.fileno())
        try:
            yield
        finally:
            setns(back)
    finally:
        os.close(back)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
