"""The program that relays connections: ``python -m pytest_kinda.host.relay``, the keeper's child.

A switch reaches its controller without an interface more: it connects to a port of its own
loopback, and what it says goes on, over a connection that is made in the network namespace of
whoever has the controller, to the port where that listens. One process has all relays of a
testbed. Sockets stay in the namespace that they are made in, so that it steps into one for as long
as it takes to make a socket.

Standard input brings one JSON object a line (``do``: open, aim, close, follow, status), each
answered by one line: ``{"ok": ...}`` or ``{"error": ...}``. It ends with its standard input. What
it has open in a namespace would keep that alive: it is closed when the process ends that the
namespace is named by, and a relay listens again when ``follow`` names another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pytest_kinda.errors import GoneError, HostError, KindaError
from pytest_kinda.host.namespaces import Namespace, entered

LOOPBACK = "127.0.0.1"
CONNECT_LIMIT = 5.0
"""Seconds that a connection may take to be made: a switch asks again by itself."""

_BACKLOG = 16
_PIECE = 65536


@dataclass(frozen=True)
class Target:
    """Where connections go: a port at one of these addresses, tried in turn, seen from a place."""

    place: str
    addresses: tuple[str, ...]
    port: int

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> Target | None:
        """What a message says; None where there is nobody (yet)."""
        if data is None:
            return None
        return cls(str(data["place"]), tuple(data["addresses"]), int(data["port"]))


@dataclass(eq=False)
class Relay:
    """One port and where it leads; ``error`` is why the last connection did not get there."""

    place: str
    port: int
    target: Target | None
    error: str = ""
    listening: asyncio.Task[None] | None = None
    carrying: dict[asyncio.Task[None], str] = field(default_factory=dict)


class Relays:
    """All relays of this process, by name; used by its one thread."""

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._handles: dict[str, int] = {}

    async def carry_out(self, message: Mapping[str, Any]) -> Any:
        """What a line of standard input asks for. Raises KindaError, OSError, KeyError."""
        name = str(message.get("name", ""))
        what = message["do"]
        self._follow(message.get("places", {}))
        if what == "open":
            await self._close(name)
            relay = Relay(message["place"], int(message["port"]), Target.of(message["to"]))
            relay.error = str(message.get("why", ""))
            if message.get("again"):  # its place may be gone: it listens when that is back
                await self._listen_again(relay)
            else:
                await self._listen(relay)
            self._relays[name] = relay
            return {"port": relay.port}
        if what == "aim":
            relay = self._relays[name]
            relay.target, relay.error = Target.of(message["to"]), str(message.get("why", ""))
            await _ended([*relay.carrying])  # they went to where it led before
        elif what == "close":
            await self._close(name)
        elif what == "follow":
            for relay in self._relays.values():
                await self._listen_again(relay)
        return {"relays": {name: _state(one) for name, one in self._relays.items()}}

    def _follow(self, places: Mapping[str, Any]) -> None:
        """These are the places now; what was open in a former one is closed."""
        for name, told in places.items():
            now = (int(told["pid"]), int(told["started"]))
            if self._places.get(name) == now:
                continue
            self._leave(name)
            self._places[name] = now
            if now[0]:
                with suppress(ProcessLookupError):  # whoever enters it is told
                    self._handles[name] = handle = os.pidfd_open(now[0])
                    asyncio.get_running_loop().add_reader(handle, self._leave, name)

    def _leave(self, place: str) -> None:
        """The process of a place has ended: let go of its namespace."""
        if (handle := self._handles.pop(place, None)) is not None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
        for one in self._relays.values():
            for task, where in one.carrying.items():
                if place in (one.place, where):
                    task.cancel()
            if one.place == place and one.listening is not None:
                one.listening.cancel()
                one.listening = None

    def _socket(self, place: str) -> socket.socket:
        """A TCP socket in the network of a place. Raises GoneError, HostError."""
        if place not in self._places:
            raise HostError(f"there is no place {place!r}")
        try:
            with Namespace.open(*self._places[place]) as namespace, entered(namespace):
                made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except GoneError as error:
            raise GoneError(f"{place} does not run: {error.message}") from error
        made.setblocking(False)
        return made

    async def _listen(self, relay: Relay) -> None:
        """Accept connections at its port. Raises HostError."""
        listener = self._socket(relay.place)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, relay.port))
        except OSError as error:
            listener.close()
            raise HostError(
                f"{relay.place}: port {relay.port} of {LOOPBACK}, where a relay to a controller is "
                f"to listen: {error.strerror}",
                remedy="see who has it: kinda exec NODE -- ss -ltnp",
            ) from error
        listener.listen(_BACKLOG)
        relay.port = int(listener.getsockname()[1])
        relay.listening = asyncio.get_running_loop().create_task(self._accept(relay, listener))

    async def _listen_again(self, relay: Relay) -> None:
        """Listen, where it does not because its place was gone; why it cannot stays to be asked."""
        if relay.listening is None or relay.listening.done():
            try:
                await self._listen(relay)
                relay.error = ""
            except HostError as error:
                relay.error = error.message

    async def _accept(self, relay: Relay, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                accepted, _ = await loop.sock_accept(listener)
                accepted.setblocking(False)
                carrying = loop.create_task(self._carry(relay, accepted))
                relay.carrying[carrying] = relay.target.place if relay.target else ""
                carrying.add_done_callback(lambda task: relay.carrying.pop(task, None))

    async def _carry(self, relay: Relay, near: socket.socket) -> None:
        """Carry bytes both ways until one side has ended."""
        with near:
            try:
                far = await self._connected(relay)
            except (HostError, OSError) as error:
                relay.error = error.message if isinstance(error, KindaError) else str(error)
                return
            relay.error = ""
            with far:
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                loop = asyncio.get_running_loop()
                both = [loop.create_task(_pump(*way)) for way in ((near, far), (far, near))]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await _ended(both)

    async def _connected(self, relay: Relay) -> socket.socket:
        """A connection to where the relay leads. Raises HostError with what each address said."""
        target = relay.target
        if target is None:
            raise HostError(relay.error or "it leads nowhere")
        said = []
        for address in target.addresses:
            far = self._socket(target.place)
            try:
                await connect(far, address, target.port)
                return far
            except BaseException as error:
                far.close()
                if not isinstance(error, OSError):
                    raise
                why = os.strerror(error.errno) if error.errno else str(error)
                said.append(f"{address} port {target.port}: {why}")
        raise HostError(f"seen from {target.place}, {'; '.join(said)}")

    async def _close(self, name: str) -> None:
        if (relay := self._relays.pop(name, None)) is not None:
            listening = [relay.listening] if relay.listening is not None else []
            await _ended([*listening, *relay.carrying])


async def connect(far: socket.socket, address: str, port: int) -> None:
    """Connect within the limit. Raises OSError.

    Not by ``asyncio.wait_for``, which until Python 3.12 drops a cancellation that comes together
    with the connection: whoever ends this then waits for ever.
    """
    loop = asyncio.get_running_loop()
    connecting = loop.create_task(loop.sock_connect(far, (address, port)))
    try:
        done, _ = await asyncio.wait({connecting}, timeout=CONNECT_LIMIT)
    finally:
        if not connecting.done():
            await _ended([connecting])
    if not done:
        raise OSError(f"no answer within {CONNECT_LIMIT:g} s")
    connecting.result()


async def _pump(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):  # a side that is gone ends the connection as one that has closed it
        while piece := await loop.sock_recv(source, _PIECE):
            await loop.sock_sendall(target, piece)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _state(relay: Relay) -> dict[str, Any]:
    listening = relay.listening is not None and not relay.listening.done()
    return {
        "place": relay.place,
        "port": relay.port,
        "listening": listening,
        "connections": len(relay.carrying),
        "error": relay.error,
    }


async def serve() -> None:
    """Carry out what standard input says, until it ends."""
    from pytest_kinda.host.protocol import error_message

    relays = Relays()
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        try:
            answer = {"ok": await relays.carry_out(json.loads(line))}
        except (KindaError, OSError, KeyError, ValueError) as error:
            answer = error_message(error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
