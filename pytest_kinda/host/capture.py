"""The program of one capture: ``python -m pytest_kinda.host.capture``, a child of the keeper.

Standard input brings one JSON object a line: first what to capture, then ``{"do": "flush"}`` and
``{"do": "stop"}``. Each is answered by one line: ``{"ok": counters}`` or ``{"error": ...}``. After
the answer to a flush, every frame that the kernel had seen by then is in the file. The end of
standard input is a stop. ``{"do": "follow", "places": ...}``, which has no answer, says where nodes
are that have started again.
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
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_kinda.errors import GoneError, HostError, KindaError
from pytest_kinda.host.packet_filter import compile_filter
from pytest_kinda.host.packet_ring import REJECT_ALL, RETIRE, Frame
from pytest_kinda.host.pcapng_writer import PcapngWriter
from pytest_kinda.host.taps import Nodes, Source, Tap, reopen

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
        memory = min(MEMORY // 2, MEMORY // max(1, len(points)))
        self._held: list[tuple[int, Frame]] = []
        self.nodes = Nodes()
        self.taps = [Tap(one["place"], one["interface"], program, memory) for one in points]
        try:
            for one, tap in zip(points, self.taps, strict=True):
                if self.nodes.is_new(tap.place, one["pid"], one["started"]):
                    self.nodes.enter(tap.place, one["pid"], one["started"])
                with self.nodes.namespace(tap.place) as namespace:
                    tap.open(namespace)
            self.writer = PcapngWriter(
                Path(asked["path"]),
                [tap.name for tap in self.taps],
                comments=[f"interface {tap.interface} of {tap.place}" for tap in self.taps],
                snaplen=snaplen,
                expression=str(asked["filter"]),
                comment=str(asked.get("comment", "")),
            )
        except (KindaError, OSError):
            self._close()
            raise

    @property
    def sources(self) -> list[Source]:
        """All rings that may have frames."""
        return [source for tap in self.taps for source in tap.sources]

    def look(self, ready: Sequence[Any]) -> None:
        """See to interfaces that are gone; ``ready`` is what select found of ``waiting``."""
        for place, handle in list(self.nodes.handles.items()):
            if handle in ready:
                self.nodes.forget(place)
                for tap in self.taps:
                    if tap.place == place:
                        tap.retire()
        for tap in self.taps:
            if any(source in ready for source in tap.sources):
                tap.look()

    @property
    def waiting(self) -> list[Any]:
        """What is readable when there is something to do."""
        return [*self.sources, *self.nodes.handles.values()]

    def follow(self, places: Mapping[str, Mapping[str, int]]) -> None:
        """Take from the interfaces that nodes which started again, and their neighbours, have."""
        for place, process in places.items():
            changed = self.nodes.is_new(place, process["pid"], process["started"])
            if changed:
                with suppress(GoneError):
                    self.nodes.enter(place, process["pid"], process["started"])
            for number, tap in enumerate(self.taps):
                if tap.place != place:
                    continue
                if changed:
                    tap.retire()
                tap.look()
                if not tap.taking and reopen(tap, self.nodes):
                    told = f"{tap.name}: {tap.gaps[-1]}"
                    self.writer.statistics(number, tap.counters(), time.time_ns(), told)

    def drain(self) -> None:
        """Write what the kernel has handed over, as far as no earlier frame can still come."""
        for number, tap in enumerate(self.taps):
            for source in tap.sources:
                before = len(self._held)
                self._held += [(number, frame) for frame in source.ring.frames()]
                if some := len(self._held) - before:
                    source.last = self._held[-1][1].time
                    tap.written += some
            tap.close_retired()
        # Of a ring with frames that it has not handed over, none is older than its last.
        waiting = [source.last for source in self.sources if source.ring.pending()[1]]
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
        waiting = [(one, at) for one in self.sources for at, some in (one.ring.pending(),) if some]
        deadline = time.monotonic() + _FLUSH_LIMIT
        while waiting:
            if time.monotonic() > deadline:
                names = ", ".join(one.ring.interface for one, _ in waiting)
                raise HostError(f"the kernel kept packets of {names} for {_FLUSH_LIMIT:g} s")
            ready, _, _ = select.select([one for one, _ in waiting], [], [], RETIRE / 1000)
            self.look(ready)
            self.drain()
            there = self.sources
            waiting = [
                (one, at) for one, at in waiting if one in there and one.ring.pending()[0] == at
            ]
        self._write(now)

    def stop(self) -> None:
        """Take no more, write what has come, and close the file."""
        for source in self.sources:
            source.ring.attach(REJECT_ALL)
        self.flush()
        self._write(_EVER)
        now = time.time_ns()
        for number, tap in enumerate(self.taps):
            told = "" if tap.taking else f"{tap.name}: {tap.gaps[-1]}"
            self.writer.statistics(number, tap.counters(), now, told)
        self.writer.close()
        self._close()

    def _close(self) -> None:
        for tap in self.taps:
            tap.close()
        self.nodes.close()

    def counters(self) -> dict[str, Any]:
        """Packets written and dropped, in all and by interface; when interfaces were not there."""
        drops = {tap.name: tap.counters()[1] for tap in self.taps}
        return {
            "packets": sum(tap.written for tap in self.taps),
            "drops": sum(drops.values()),
            "interfaces": {
                tap.name: {"packets": tap.written, "drops": drops[tap.name]} for tap in self.taps
            },
            "gaps": [
                {"interface": tap.name, "since": gap.since, "until": gap.until}
                for tap in self.taps
                for gap in tap.gaps
            ],
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
            ready, _, _ = select.select([*recording.waiting, 0, stop_from], [], [])
            recording.look(ready)
            recording.drain()
            if stop_from in ready:
                break
            if 0 in ready:
                for command in asked.available():
                    if command is None or command.get("do") == "stop":
                        recording.stop()
                        _answer({"ok": recording.counters()})
                        return 0
                    if command.get("do") == "follow":  # has no answer: nobody waits for it
                        recording.follow(command["places"])
                        continue
                    recording.flush()
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
