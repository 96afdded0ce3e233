"""The program of one capture: ``python -m pytest_kinda.host.capture``, a child of the keeper.

Standard input brings one JSON object a line: first what to capture, then ``{"do": "flush"}`` and
``{"do": "stop"}``. Each is answered by one line: ``{"ok": counters}`` or ``{"error": ...}``. After
the answer to a flush, every frame that the kernel had seen by then is in the file. The end of
standard input is a stop.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.host.packet_filter import compile_filter
from pytest_kinda.host.packet_ring import REJECT_ALL, RETIRE, Frame, PacketRing
from pytest_kinda.host.pcapng_writer import PcapngWriter

MEMORY = 128 << 20
"""Bytes that all rings of a capture may take together; one takes a half of it at most."""

_EVER = 1 << 63
_FLUSH_LIMIT = 30.0  # seconds for the kernel to hand over what it has


class Recording:
    """Rings of all interfaces into one file. Raises HostError, CaptureError, OSError.

    ``asked``: ``points`` (place, pid, started, interface), ``filter``, ``path``, ``snaplen``.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        points: Sequence[Mapping[str, Any]] = asked["points"]
        snaplen = int(asked["snaplen"])
        program = compile_filter(str(asked["filter"]), snaplen)
        names = [f"{one['place']}:{one['interface']}" for one in points]
        memory = min(MEMORY // 2, MEMORY // max(1, len(points)))
        self.written = [0] * len(points)
        self._last = [0] * len(points)  # time of the newest frame that a ring has handed over
        self._held: list[tuple[int, Frame]] = []
        self.rings: list[PacketRing] = []
        try:
            for one in points:
                with Namespace.open(one["pid"], one["started"]) as place, entered(place):
                    self.rings.append(PacketRing(one["interface"], program, memory))
            self.writer = PcapngWriter(
                Path(asked["path"]),
                names,
                comments=[f"interface {one['interface']} of {one['place']}" for one in points],
                snaplen=snaplen,
                expression=str(asked["filter"]),
                comment=str(asked.get("comment", "")),
            )
        except (KindaError, OSError):
            for ring in self.rings:
                ring.close()
            raise
        self.names = names

    def drain(self) -> None:
        """Write what the kernel has handed over, as far as no earlier frame can still come."""
        for number, ring in enumerate(self.rings):
            for frame in ring.frames():
                self._held.append((number, frame))
                self.written[number] += 1
                self._last[number] = frame.time
        # Of a ring with frames that it has not handed over, none is older than its last.
        waiting = [
            last for ring, last in zip(self.rings, self._last, strict=True) if ring.pending()[1]
        ]
        self._write(min(waiting, default=_EVER))

    def _write(self, until: int) -> None:
        if not self._held:
            return
        self._held.sort(key=lambda one: one[1].time)
        count = bisect_right(self._held, until, key=lambda one: one[1].time)
        self.writer.write(self._held[:count])
        del self._held[:count]

    def flush(self) -> None:
        """Have everything in the file that came until now. Raises HostError if it does not come."""
        now = time.time_ns()
        self.drain()
        # The block that is being filled is handed over when it is full or RETIRE has passed twice.
        waiting = [(ring, at) for ring in self.rings for at, some in (ring.pending(),) if some]
        deadline = time.monotonic() + _FLUSH_LIMIT
        while waiting:
            if time.monotonic() > deadline:
                names = ", ".join(ring.interface for ring, _ in waiting)
                raise HostError(f"the kernel kept packets of {names} for {_FLUSH_LIMIT:g} s")
            select.select([ring for ring, _ in waiting], [], [], RETIRE / 1000)
            self.drain()
            waiting = [(ring, at) for ring, at in waiting if ring.pending()[0] == at]
        self._write(now)

    def stop(self) -> None:
        """Take no more, write what has come, and close the file."""
        for ring in self.rings:
            ring.attach(REJECT_ALL)
        self.flush()
        self._write(_EVER)
        for ring in self.rings:
            ring.read_statistics()
        self.writer.close([(ring.packets, ring.drops) for ring in self.rings], time.time_ns())
        for ring in self.rings:
            ring.close()

    def counters(self) -> dict[str, Any]:
        """Packets written and dropped, in all and by interface."""
        return {
            "packets": sum(self.written),
            "drops": sum(ring.drops for ring in self.rings),
            "interfaces": {
                name: {"packets": written, "drops": ring.drops}
                for name, written, ring in zip(self.names, self.written, self.rings, strict=True)
            },
        }


def main() -> int:
    """Carry out what standard input says; the exit status."""
    asked = _Lines(0)
    stop_from, stop_to = os.pipe()
    os.set_blocking(stop_to, False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.set_wakeup_fd(stop_to)
    try:
        first = asked.next()
        if first is None:
            return 0
        recording = Recording(first)
    except (KindaError, OSError, KeyError, ValueError) as error:
        _answer(_error(error))
        return 1
    _answer({"ok": recording.counters()})
    try:
        while True:
            waiting: list[Any] = [*recording.rings, 0, stop_from]
            ready, _, _ = select.select(waiting, [], [])
            recording.drain()
            if stop_from in ready:
                break
            if 0 in ready:
                for command in asked.available():
                    if command is None or command.get("do") == "stop":
                        recording.stop()
                        _answer({"ok": recording.counters()})
                        return 0
                    recording.flush()
                    for ring in recording.rings:
                        ring.read_statistics()
                    _answer({"ok": recording.counters()})
        recording.stop()
    except (KindaError, OSError) as error:
        _answer(_error(error))
        return 1
    return 0


class _Lines:
    """JSON lines of a descriptor, as they come."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def next(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        while b"\n" not in self._rest:
            if not self._read():
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        found = json.loads(line)
        return found if isinstance(found, dict) else {}

    def available(self) -> list[dict[str, Any] | None]:
        """The lines that are there; None at the end."""
        if not self._read():
            return [None]
        found: list[dict[str, Any] | None] = []
        while b"\n" in self._rest:
            found.append(self.next())
        return found

    def _read(self) -> bool:
        data = os.read(self._descriptor, 1 << 20)
        self._rest += data
        return bool(data)


def _error(error: Exception) -> dict[str, Any]:
    from pytest_kinda.host.protocol import error_message

    return error_message(error)


def _answer(message: Mapping[str, Any]) -> None:
    data = memoryview((json.dumps(message) + "\n").encode())
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        pass  # nobody listens any more; the file is what counts


if __name__ == "__main__":
    sys.exit(main())
