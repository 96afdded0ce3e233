"""The interfaces of one capture, each with its packet ring, and what becomes of these.

A ring goes with its interface; where a node starts again, a ring on the new interface takes its
place, and the time between is a gap that is told. A ring also holds the namespace that it is in:
it is given up when the node's process ends, or a killed router would forward packets for as long
as it is captured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.host.packet_ring import REJECT_ALL, PacketRing


@dataclass(eq=False)
class Source:
    """A ring, and the time of the newest frame that it has handed over (ns)."""

    ring: PacketRing
    last: int = 0

    def fileno(self) -> int:
        """The ring's, readable when frames or the interface's end have come."""
        return self.ring.fileno()


@dataclass
class Gap:
    """From when to when (ns since the epoch) an interface was not there; 0: it is not yet back."""

    since: int
    until: int = 0

    def __str__(self) -> str:
        end = f"until {_stamp(self.until)}" if self.until else "and it did not come back"
        return f"the interface was gone from {_stamp(self.since)} {end}: nothing was taken"


class Tap:
    """One interface: the ring that takes, and those that hold the last frames of former ones."""

    def __init__(self, place: str, interface: str, program: bytes, memory: int) -> None:
        self.place = place
        self.interface = interface
        self.written = 0
        self.gaps: list[Gap] = []
        self._program = program
        self._memory = memory
        self._taking: Source | None = None
        self._retired: list[Source] = []
        self._packets = self._drops = 0  # of rings that are closed

    @property
    def name(self) -> str:
        """``place:interface``."""
        return f"{self.place}:{self.interface}"

    @property
    def sources(self) -> list[Source]:
        """All rings that may have frames, oldest first."""
        return [*self._retired, *([self._taking] if self._taking else [])]

    @property
    def taking(self) -> bool:
        """Whether its interface is there."""
        return self._taking is not None

    def open(self, namespace: Namespace) -> None:
        """Begin to take, or begin again. Raises HostError."""
        with entered(namespace):
            self._taking = Source(PacketRing(self.interface, self._program, self._memory))
        if self.gaps and not self.gaps[-1].until:
            self.gaps[-1].until = time.time_ns()

    def retire(self) -> None:
        """Its interface is gone, or its node; what the ring still holds is read yet."""
        if self._taking is None:
            return
        self._taking.ring.attach(REJECT_ALL)
        self._retired.append(self._taking)
        self._taking = None
        self.gaps.append(Gap(time.time_ns()))

    def look(self) -> None:
        """Retire the ring where its interface has been deleted."""
        if self._taking is not None and self._taking.ring.lost():
            self.retire()

    def close_retired(self) -> None:
        """Give up former rings that hold nothing any more."""
        for source in list(self._retired):
            if not source.ring.pending()[1]:
                self._close(source)
                self._retired.remove(source)

    def close(self) -> None:
        """Give up all rings."""
        for source in self.sources:
            self._close(source)
        self._taking, self._retired = None, []

    def counters(self) -> tuple[int, int]:
        """Packets that the kernel has seen fit the filter, and how many of them it dropped."""
        packets, drops = self._packets, self._drops
        for source in self.sources:
            source.ring.read_statistics()
            packets += source.ring.packets
            drops += source.ring.drops
        return packets, drops

    def _close(self, source: Source) -> None:
        source.ring.read_statistics()
        self._packets += source.ring.packets
        self._drops += source.ring.drops
        source.ring.close()


class Nodes:
    """The processes whose namespaces are captured, by place; the machine itself has none."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._handles: dict[str, int] = {}

    def enter(self, place: str, pid: int, started: int) -> None:
        """From now on this process is the place. Raises GoneError."""
        self.forget(place)
        self._known[place] = (pid, started)
        if pid:
            try:
                self._handles[place] = os.pidfd_open(pid)
            except ProcessLookupError as error:
                raise GoneError(f"process {pid} is gone") from error

    def namespace(self, place: str) -> Namespace:
        """Its network namespace. Raises GoneError, HostError."""
        return Namespace.open(*self._known[place])

    def is_new(self, place: str, pid: int, started: int) -> bool:
        """Whether a place is another process than the one known."""
        return self._known.get(place) != (pid, started)

    @property
    def handles(self) -> Mapping[str, int]:
        """A descriptor for each place, readable when its process has ended."""
        return self._handles

    def forget(self, place: str) -> None:
        """Its process has ended."""
        if (handle := self._handles.pop(place, None)) is not None:
            os.close(handle)

    def close(self) -> None:
        """Let go of all."""
        for place in list(self._handles):
            self.forget(place)


def reopen(tap: Tap, nodes: Nodes) -> bool:
    """Take from the interface that is there now; False where it is not there either."""
    with suppress(GoneError, HostError):
        with nodes.namespace(tap.place) as namespace:
            tap.open(namespace)
        return True
    return False


def _stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
