"""The program that measures wires: ``python -m pytest_kinda.host.probe``, a child of the keeper.

Frames of a local experimental EtherType go from one interface to another of the same collision
domain, made and seen from the host's side: nothing is needed inside a node, and nobody answers
them. Standard input brings one JSON object, ``{"wires": [...]}``; the answer is one JSON line.
One clock stamps both ends, since all nodes are on one kernel.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host.namespaces import Namespace, entered

ETHERTYPE = 0x88B5
"""IEEE's local experimental one: no network stack answers it."""
WINDOW = 2.0
"""Seconds for which a rate is measured, its queue being full."""
FILLING = 1.0
"""Seconds within which the sender must have filled the queue before the window begins."""
TOGETHER = (4, 500_000_000)
"""Rates are measured side by side: so many at most, and of so many bit/s together."""

_HEAD = struct.Struct("!8sIQ")  # which run, number of the frame, when it was sent
_SMALLEST = 60
_COPIES = 20  # of a frame of the full MTU on a wire that loses some
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("@qq")


@dataclass(frozen=True)
class Tip:
    """One interface: the process that holds its namespace, its name and MAC address."""

    pid: int
    started: int
    interface: str
    mac: str


@dataclass(frozen=True)
class Wire:
    """One direction to be measured, from ``a`` to ``b``; ``rate`` in bit/s, ``longest`` in seconds.

    ``frames`` small ones are sent for delay and loss, ``longest`` is waited for the last of them.
    """

    a: Tip
    b: Tip
    mtu: int
    frames: int
    longest: float
    rate: int = 0
    lossy: bool = False


@dataclass
class Seen:
    """What was measured: delays in nanoseconds in the order of arrival, counts of frames.

    ``mtu`` is that of interface a, ``fits`` and ``refused`` say whether a frame of the planned MTU
    came through and one of a byte more did not. ``received_bytes`` within ``seconds`` are of the
    saturated window; ``full`` counts how often the sender found no room.
    """

    sent: int = 0
    received: int = 0
    delays: list[int] = field(default_factory=list)
    mtu: int = 0
    fits: bool = False
    refused: bool = False
    received_bytes: int = 0
    seconds: float = 0.0
    full: int = 0
    problem: str = ""


def measure(wires: Sequence[Wire]) -> list[Seen]:
    """Measure wires: delay, loss and MTU one after the other, then the rates.

    What is wrong with one wire is told as its ``problem`` and costs no other.
    """
    found = []
    for wire in wires:
        seen = Seen()
        try:
            _probe(wire, seen)
        except (KindaError, OSError) as error:
            seen.problem = str(error)
        found.append(seen)
    for group in _groups([one for one in zip(wires, found, strict=True) if one[0].rate]):
        with ThreadPoolExecutor(len(group)) as pool:
            list(pool.map(lambda one: _saturate(*one), group))
    return found


def _groups(jobs: Iterable[tuple[Wire, Seen]]) -> Iterable[list[tuple[Wire, Seen]]]:
    most, sum_of_rates = TOGETHER
    group: list[tuple[Wire, Seen]] = []
    for job in sorted(jobs, key=lambda one: one[0].rate):
        together = sum(wire.rate for wire, _ in group) + job[0].rate
        if group and (len(group) == most or together > sum_of_rates):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _open(tip: Tip, protocol: int) -> socket.socket:
    """A packet socket on an interface. Raises HostError, OSError."""
    with Namespace.open(tip.pid, tip.started) as place, entered(place):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            raw.bind((tip.interface, protocol))
        except OSError as error:
            raw.close()
            raise HostError(f"interface {tip.interface}: {error.strerror}") from error
    return raw


def _header(wire: Wire) -> bytes:
    macs = (bytes.fromhex(tip.mac.replace(":", "")) for tip in (wire.b, wire.a))
    return b"".join(macs) + ETHERTYPE.to_bytes(2, "big")


def _probe(wire: Wire, seen: Seen) -> None:
    """Small frames for delay and loss, then one of exactly the MTU and one that is too long."""
    run = os.urandom(8)
    with _open(wire.a, 0) as out, _open(wire.b, ETHERTYPE) as into:
        into.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        into.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        header = _header(wire)
        arrived = _Arrivals(into, run)
        # At most half of the rate, so that nothing waits for what was sent before it.
        interval = max(0.0005, 8 * _SMALLEST / (0.5 * wire.rate) if wire.rate else 0.0)
        begun = time.monotonic()
        for number in range(wire.frames):
            while (left := begun + number * interval - time.monotonic()) > 0:
                arrived.take(left)
            head = _HEAD.pack(run, number, time.time_ns())
            out.send((header + head).ljust(_SMALLEST, b"\0"))
        seen.sent = wire.frames
        arrived.await_all(wire.frames, wire.longest)
        seen.received, seen.delays = len(arrived.numbers), arrived.delays
        seen.mtu = _mtu(out, wire)
        for extra in (0, 1):
            number = wire.frames + extra
            try:
                for _ in range(_COPIES if wire.lossy else 1):
                    head = _HEAD.pack(run, number, time.time_ns())
                    out.send(header + head.ljust(wire.mtu + extra, b"\0"))
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
        arrived.await_all(wire.frames + 1, wire.longest)
        seen.fits = wire.frames in arrived.numbers
        seen.refused = wire.frames + 1 not in arrived.numbers


def _mtu(out: socket.socket, wire: Wire) -> int:
    """The interface's MTU, as the kernel says it in the namespace of its socket."""
    import fcntl

    asked = struct.pack("16si", wire.a.interface.encode(), 0) + b"\0" * 16
    return int(struct.unpack("16si", fcntl.ioctl(out, 0x8921, asked)[:20])[1])


class _Arrivals:
    """The frames of one run as they come: their numbers, and how long each took."""

    def __init__(self, into: socket.socket, run: bytes) -> None:
        self._into = into
        self._run = run
        self.numbers: set[int] = set()
        self.delays: list[int] = []

    def take(self, wait: float) -> bool:
        """Take what comes within ``wait`` seconds; whether anything came."""
        if not select.select([self._into], [], [], max(0.0, wait))[0]:
            return False
        data, more, _, _ = self._into.recvmsg(1 << 16, 64)
        stamps = [value for _, kind, value in more if kind == _SO_TIMESTAMPNS]
        if len(data) < 14 + _HEAD.size or not stamps:
            return True
        run, number, sent = _HEAD.unpack_from(data, 14)
        if run == self._run and number not in self.numbers:
            self.numbers.add(number)
            seconds, nanoseconds = _STAMP.unpack(stamps[0][: _STAMP.size])
            self.delays.append(seconds * 1_000_000_000 + nanoseconds - sent)
        return True

    def await_all(self, count: int, limit: float) -> None:
        """Take until so many have come or ``limit`` seconds have passed without all of them."""
        end = time.monotonic() + limit
        while len(self.numbers) < count and (left := end - time.monotonic()) > 0:
            self.take(left)


def _saturate(wire: Wire, seen: Seen) -> None:
    """Fill the queue of a's interface and count what b's interface receives in the window."""
    if seen.problem:
        return
    try:
        with _open(wire.a, 0) as out:
            # More than the queue takes: it is the queue that is full, not the socket.
            out.setsockopt(
                socket.SOL_SOCKET, _SO_SNDBUFFORCE, min(max(1 << 20, wire.rate // 8), 1 << 29)
            )
            out.setblocking(False)
            flood = _Flood(out, _header(wire).ljust(wire.mtu + 14, b"\0"))
            with flood:
                flood.filled.wait(FILLING)
                before, full, begun = _received(wire.b), flood.full, time.monotonic()
                flood.ended.wait(WINDOW)
                seen.received_bytes = _received(wire.b) - before
                seen.seconds = time.monotonic() - begun
                seen.full = flood.full - full
            seen.problem = flood.problem
    except (KindaError, OSError) as error:
        seen.problem = str(error)


class _Flood:
    """A thread that sends one frame again and again, as fast as there is room for it."""

    def __init__(self, out: socket.socket, frame: bytes) -> None:
        self._out = out
        self._frame = frame
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = False
        self.filled, self.ended = threading.Event(), threading.Event()
        self.full = 0
        self.problem = ""

    def __enter__(self) -> _Flood:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        send, frame, out = self._out.send, self._frame, self._out
        try:
            while not self._over:
                try:
                    send(frame)
                except OSError as error:
                    if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                        raise
                    self.full += 1
                    self.filled.set()
                    # A full socket says when it has room again, a full queue does not.
                    if error.errno == errno.EAGAIN:
                        select.select([], [out], [], 0.1)
                    else:
                        select.select([], [], [], 0.001)
        except OSError as error:
            self.problem = str(error)
            self.ended.set()


def _received(tip: Tip) -> int:
    """Bytes that an interface has received: of whole frames without the FCS."""
    with Namespace.open(tip.pid, tip.started) as place, entered(place):
        text = Path("/proc/thread-self/net/dev").read_text()
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() == tip.interface:
            return int(rest.split()[0])
    raise HostError(f"interface {tip.interface} is gone")


def wire_of(data: Mapping[str, Any]) -> Wire:
    """A wire from JSON data."""
    return Wire(**{**data, "a": Tip(**data["a"]), "b": Tip(**data["b"])})


def main() -> int:
    """Measure what standard input asks for and print what was seen; the exit status."""
    from dataclasses import asdict

    wires = [wire_of(one) for one in json.load(sys.stdin)["wires"]]
    print(json.dumps({"seen": [asdict(one) for one in measure(wires)]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
