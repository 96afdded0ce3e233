"""Sockets of the test's own process in the networks of nodes, and UDP over them.

The keeper makes a socket in a node's network namespace and hands it over: what is sent by it leaves
the node as what its own programs send. Nothing has to run, or be installed, on the node.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pytest_kinda.errors import HostError, WaitTimeoutError

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing

ROOM = 8 << 20
"""Bytes of datagrams and frames that wait for a test to receive them."""

_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL = 33, 35, 40  # asm-generic/socket.h
_LARGEST = 65535


class Sockets:
    """Opens sockets in the networks of nodes, and closes those that a test has left open.

    An open socket keeps the namespace of its node alive, so those of a node that is stopped are
    closed with its processes.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self._open: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()

    def open(self, node: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket in the network of a node. Raises HostError."""
        found = self.standing.open_socket(node, family, kind, protocol)
        self._open[found] = node
        return found

    def close(self, node: str | None = None) -> None:
        """Close those of a node, or all."""
        for one, place in list(self._open.items()):
            if node in (None, place):
                one.close()
                self._open.pop(one, None)


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram as it was received, and from whom.

    ``time`` is nanoseconds since the epoch when the node's kernel took it, as a packet's of a
    capture. Sending ``to`` a datagram answers it.
    """

    data: bytes
    source: str
    port: int
    time: int = field(compare=False)


class UdpEnd:
    """A UDP socket of a node; a context manager, closed after the test at the latest. Example::

    with kinda.node("h2").udp(9000) as server, kinda.node("h1").udp() as client:
        client.send(b"who is there?", to=server)
        asked = server.receive()
        server.send(b"h2", to=asked)
        assert client.receive().data == b"h2"
    """

    def __init__(self, opened: socket.socket, node: str, address: str) -> None:
        self.node = node
        self.address = address
        self._socket = opened
        self._dropped = 0
        give_room(opened)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self._socket.getsockname()[1])

    @property
    def dropped(self) -> int:
        """Datagrams that had no room, as far as those received since have told."""
        return self._dropped

    def send(self, data: bytes, to: UdpEnd | Datagram | tuple[str, int]) -> None:
        """Send a datagram to another end, to the sender of a datagram, or to (address, port).

        Raises HostError where the node's kernel refuses it, for example without a route.
        """
        if isinstance(to, Datagram):
            target = (to.source, to.port)
        else:
            target = (to.address, to.port) if isinstance(to, UdpEnd) else to
        try:
            self._socket.settimeout(None)
            self._socket.sendto(data, target)
        except OSError as error:
            raise HostError(
                f"{self}: {len(data)} bytes to {target[0]} port {target[1]}: {error.strerror}"
            ) from error

    def receive(self, *, timeout: float = 10.0) -> Datagram:
        """The next datagram, waited for ``timeout`` seconds at most. Raises WaitTimeoutError."""
        self._socket.settimeout(timeout)
        while True:
            try:
                return self._next()
            except TimeoutError:
                raise WaitTimeoutError(f"{self}: no datagram within {timeout:g} s") from None
            except ConnectionRefusedError:
                continue  # of an earlier send: nobody had that port

    def take(self, count: int, *, timeout: float = 10.0) -> tuple[Datagram, ...]:
        """The next ``count`` datagrams, waited for ``timeout`` seconds together at most.

        Raises WaitTimeoutError with how many there were.
        """
        found: list[Datagram] = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            try:
                found.append(self.receive(timeout=max(0.001, deadline - time.monotonic())))
            except WaitTimeoutError as error:
                raise WaitTimeoutError(
                    f"{self}: {len(found)} of {count} datagrams within {timeout:g} s"
                ) from error
        return tuple(found)

    def waiting(self) -> tuple[Datagram, ...]:
        """The datagrams that have come and were not received yet; none once it is closed."""
        found: list[Datagram] = []
        if self._socket.fileno() < 0:
            return ()
        self._socket.setblocking(False)
        while True:
            try:
                found.append(self._next())
            except ConnectionRefusedError:
                continue
            except BlockingIOError:
                return tuple(found)

    def _next(self) -> Datagram:
        data, extras, _, source = self._socket.recvmsg(_LARGEST, 128)
        at = time.time_ns()
        for level, kind, value in extras:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, rest = struct.unpack("qq", value)
                at = seconds * 1_000_000_000 + rest
            elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                (self._dropped,) = struct.unpack("I", value)
        return Datagram(data, source[0], source[1], at)

    def close(self) -> None:
        """Give the socket up; a second time does nothing."""
        self._socket.close()

    def __enter__(self) -> UdpEnd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"UDP at {self.node}"


def give_room(opened: socket.socket) -> None:
    """Let much wait to be received, more than the system's limit where this process may."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)


def bound(sockets: Sockets, node: str, own: str, port: int, address: str) -> UdpEnd:
    """A UDP end of a node whose own address is ``own``. Raises HostError."""
    family = socket.AF_INET6 if ":" in (address or own) else socket.AF_INET
    opened = sockets.open(node, family, socket.SOCK_DGRAM)
    try:
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise HostError(
            f"{node}: UDP port {port} of {address or 'all addresses'}: {error.strerror}"
        ) from error
    return UdpEnd(opened, node, address or own)
