"""The program that delays packets: ``python -m pytest_kinda.host.hold``, a child of the keeper.

One process holds what leaves one interface. A tc program redirects every packet into a TAP of this
process (``programs/shape.c``); when its time has come the packet leaves the interface by a packet
socket, marked so that the tc program lets it pass. Segmentation and checksum offloads travel in
the virtio header of both, so that a burst of TCP stays one frame of 64 KiB.

Standard input brings one JSON object a line: first what to do, then ``{"do": "status"}``. Each is
answered by one line: ``{"ok": ...}`` or ``{"error": ...}``. It ends with its standard input, and
with the process whose namespace it works in, since it would keep that namespace alive.

Imports are few on purpose: there is one such process for each impaired direction.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from pathlib import Path
from random import random, randrange
from typing import Any

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host.namespaces import Namespace, setns
from pytest_kinda.host.packet_sender import MOST, PacketSender

MARK = 0x6B686F6C
"""What marks a packet that has been held; ``MARK`` in ``programs/shape.c``."""

MEMORY = 256 << 20
"""Bytes that one direction may hold; what comes beyond that is lost, and counted."""

LATE = 200_000
"""Nanoseconds after which a release counts as late."""

_NICE = -10
_QUEUE = 4096  # packets that the TAP keeps while this process does not run
_AWAKE = 60_000  # nanoseconds
_DENSE = 4  # packets that follow within that time: no single one is worth waiting awake for
_PAUSE = 30e-6  # seconds between looks at dense traffic
_BURST = 64  # packets read before the clock is looked at again
_VIRTIO = 10  # bytes of the header before each frame
_FRAME = 70_000

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000
_CSUM, _TSO4, _TSO6, _TSO_ECN, _USO4, _USO6 = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_SIOCSIFTXQLEN = 0x8943
_PR_SET_TIMERSLACK = 29

Held = tuple[int, int, bytes]
"""When a packet is due (monotonic nanoseconds), its number, virtio header and frame."""


class Holder:
    """Holds the packets of one direction. Raises HostError, OSError.

    ``asked``: ``pid`` and ``started`` of the place (0: this machine's own), ``interface``,
    ``delay`` and ``jitter`` in nanoseconds, ``reorder`` and ``corrupt`` from 0 to 1.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.interface = str(asked["interface"])
        self.delay, self.jitter = int(asked["delay"]), int(asked["jitter"])
        self.reorder, self.corrupt = float(asked["reorder"]), float(asked["corrupt"])
        pid = int(asked["pid"])
        with Namespace.open(pid, int(asked["started"])) as place:
            self.place = os.pidfd_open(pid) if pid else None
            setns(place.fileno())
        index = socket.if_nametoindex(self.interface)
        self.tap = f"khold{index}"
        self.source = open_tap(self.tap, offloads=not self.corrupt)
        self.index = socket.if_nametoindex(self.tap)
        self.sink = PacketSender(self.interface, MARK, MEMORY)
        self.taken = self.released = self.late = self.latest = self.lost = 0
        self._bytes = 0
        # In order of their times: as they come unless times vary.
        self._queue: deque[Held] = deque()
        self._heap: list[Held] = []
        self._varies = bool(self.jitter or self.reorder)

    def serve(self, on_input: Callable[[], bool]) -> None:
        """Hold and release, until ``on_input`` says so by False, or the place is gone."""
        waiting = [self.source, 0, *([] if self.place is None else [self.place])]
        more = False
        while True:
            due = self._release()
            limit = 0.0 if more else self._patience(due)
            ready = select.select(waiting, [], [], limit)[0]
            more = self.source in ready and self._take()
            if 0 in ready and not on_input():
                return
            if self.place in ready:
                return

    def _patience(self, due: int | None) -> float | None:
        """Seconds to wait for something to come in, when the next packet is due then.

        Sleeping ends late by what it takes to wake up, so the last bit is waited awake. Where
        packets are dense that would be all of the time, a look at the clock and one at the TAP
        for each: there it is slept instead, and a few go together.
        """
        if due is None:
            return None
        now = time.monotonic_ns()
        if due - now > _AWAKE:
            return (due - now - _AWAKE) / 1e9
        held = self._heap if self._varies else self._queue
        if due > now and len(held) > _DENSE and held[_DENSE][0] - now < _AWAKE:
            time.sleep(_PAUSE)
        return 0.0

    def _take(self) -> bool:
        """Take what has come; whether there may be more."""
        read, source, delay = os.read, self.source, self.delay
        try:
            for _ in range(_BURST):
                frame = read(source, _FRAME)
                self.taken += 1
                if self._bytes + len(frame) > MEMORY:
                    self.lost += 1
                    continue
                self._bytes += len(frame)
                if self.corrupt and random() < self.corrupt:
                    frame = _with_a_wrong_bit(frame)
                now = time.monotonic_ns()
                if not self._varies:
                    self._queue.append((now + delay, self.taken, frame))
                elif self.reorder and random() < self.reorder:
                    heappush(self._heap, (now, self.taken, frame))
                else:
                    vary = int((2 * random() - 1) * self.jitter)
                    heappush(self._heap, (now + max(0, delay + vary), self.taken, frame))
        except BlockingIOError:
            return False
        return True

    def _release(self) -> int | None:
        """Send what is due; when the next one is, None if nothing is held."""
        held: Any = self._heap if self._varies else self._queue
        now = time.monotonic_ns()
        frames: list[bytes] = []
        while held and len(frames) < MOST and (late := now - held[0][0]) >= 0:
            frame = heappop(held)[2] if self._varies else held.popleft()[2]
            if late > LATE:
                self.late += 1
            if late > self.latest:
                self.latest = late
            self._bytes -= len(frame)
            frames.append(frame)
        if frames:
            # the queue behind may be full, or the link down: as on any link they are lost
            sent = self.sink.send(frames)
            self.released += sent
            self.lost += len(frames) - sent
        return int(held[0][0]) if held else None

    def counters(self) -> dict[str, Any]:
        """Packets taken, released, held now, lost (no room, no link) and released late."""
        return {
            "taken": self.taken,
            "released": self.released,
            "held": len(self._queue) + len(self._heap),
            "lost": self.lost + _dropped(self.tap),
            "late": self.late,
            "latest": self.latest,
        }


def open_tap(name: str, *, offloads: bool) -> int:
    """A TAP in this namespace, by its descriptor; it goes away with it. Raises HostError."""
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        request = struct.pack("16sH22x", name.encode(), _TAP | _NO_PI | _VNET_HDR)
        fcntl.ioctl(tap, _TUNSETIFF, request)
    except OSError as error:
        raise HostError(
            f"could not make {name}, which takes the packets to be delayed: {error}",
            remedy="run as root, with /dev/net/tun (modprobe tun)",
        ) from error
    # A wrong bit must not be covered by a checksum that is made afterwards.
    wanted = _CSUM | _TSO4 | _TSO6 | _TSO_ECN
    for features in (wanted | _USO4 | _USO6, wanted) if offloads else (0,):
        try:
            fcntl.ioctl(tap, _TUNSETOFFLOAD, features)
            break
        except OSError:
            continue  # before Linux 6.2 there is no segmentation of UDP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFTXQLEN, struct.pack("16si20x", name.encode(), _QUEUE))
    return tap


def _with_a_wrong_bit(frame: bytes) -> bytes:
    changed = bytearray(frame)
    changed[randrange(_VIRTIO, len(changed))] ^= 1 << randrange(8)
    return bytes(changed)


def _dropped(tap: str) -> int:
    """Packets that found the TAP's queue full."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == tap:
            return int(numbers.split()[11])
    return 0


def _come_first() -> None:
    """Be given a processor before others, nine times as long, but do not starve them.

    This process has a session of its own; where the kernel groups by sessions, niceness counts
    within one only, and the session's own counts against the others.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        Path("/proc/self/autogroup").write_text(str(_NICE))
    except OSError:
        pass  # not root, or no such groups: packets are late more often, which is counted


def main() -> int:
    """Carry out what standard input says; the exit status."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    _come_first()
    asked = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
    if not (line := asked.readline()):
        return 0
    try:
        holder = Holder(json.loads(line))
    except (KindaError, OSError, KeyError, ValueError) as error:
        from pytest_kinda.host.protocol import error_message

        _answer(error_message(error))
        return 1
    _answer({"ok": {"tap": holder.tap, "index": holder.index}})

    def on_input() -> bool:
        if not asked.readline():
            return False
        _answer({"ok": holder.counters()})
        return True

    holder.serve(on_input)
    return 0


def _answer(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
