"""Captures: packets of interfaces, links, nodes or everything, taken by the keeper's children."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from pytest_kinda.errors import CaptureError
from pytest_kinda.testbed.filters import PacketFilter
from pytest_kinda.testbed.layers import Packet
from pytest_kinda.testbed.pcapng import RawPacket, read_packets


class Capturer(Protocol):
    """The keeper, as far as captures need it."""

    def capture_start(
        self,
        name: str,
        points: Sequence[tuple[str, str]],
        expression: str,
        path: Path,
        snaplen: int,
    ) -> str:
        """Begin; the capture's id. Raises CaptureError for a bad filter, HostError."""
        ...

    def capture_flush(self, identity: str) -> Mapping[str, Any]:
        """Have everything that came until now in the file."""
        ...

    def capture_stop(self, identity: str) -> Mapping[str, Any]:
        """End it: ``packets`` written and ``drops``."""
        ...


@dataclass(frozen=True)
class Flow:
    """Packets of one conversation, one way, inside GRE where there is GRE.

    ``bytes`` is the sum of lengths on the wire; ports are 0 where the protocol has none.
    """

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: str
    packets: int
    bytes: int


@dataclass(frozen=True)
class Gap:
    """A time in which an interface (``node:interface``) was not there: its node was started again.

    ``since`` and ``until`` are nanoseconds since the epoch, as packets' ``time``; ``until`` is None
    where it did not come back before the capture ended.
    """

    interface: str
    since: int
    until: int | None

    @property
    def seconds(self) -> float | None:
        """How long it was; None where it did not end."""
        return None if self.until is None else (self.until - self.since) / 1e9

    def __str__(self) -> str:
        took = "to the end" if self.seconds is None else f"for {self.seconds:.3f} s"
        return f"{self.interface} was not there {took}"


class Capture:
    """Packets of one or several interfaces, in a pcapng file; a context manager.

    A capture that lost packets raises CaptureError at its end unless it was made with
    ``allow_drops=True``. Where a node starts again it goes on at the new interface; ``gaps`` says
    when there was none. Example::

        with kinda.capture(kinda.link("r1", "r2"), filter="proto gre") as capture:
            client.exec("ping", "-c", "3", server.ip)
        assert capture.count("icmp or proto gre") >= 6
    """

    def __init__(
        self,
        capturer: Capturer,
        points: Sequence[tuple[str, str]],
        path: Path,
        *,
        expression: str = "",
        snaplen: int = 262144,
        allow_drops: bool = False,
    ) -> None:
        self._capturer = capturer
        self.points = tuple(points)
        self.path = path
        self.filter = expression
        self._allow_drops = allow_drops
        self._snaplen = snaplen
        self._identity: str | None = None
        self._statistics: Mapping[str, Any] | None = None

    def start(self) -> Capture:
        """Begin; packets from now on are taken. Raises CaptureError, HostError."""
        if self._identity is None:
            self._identity = self._capturer.capture_start(
                self.path.stem, self.points, self.filter, self.path, self._snaplen
            )
        return self

    def stop(self) -> Capture:
        """End it and close the file; a second time does nothing.

        Raises CaptureError when packets were lost and that was not allowed.
        """
        if self._identity is not None and self._statistics is None:
            self._statistics = self._capturer.capture_stop(self._identity)
            if self.drops and not self._allow_drops:
                raise CaptureError(
                    f"the capture of {self.where} lost {self.drops} packets "
                    f"beside {self._statistics.get('packets', 0)} taken",
                    remedy="narrow it by filter= or snaplen=, or pass allow_drops=True",
                )
        return self

    @property
    def where(self) -> str:
        """The interfaces, as text."""
        return ", ".join(f"{node}:{interface}" for node, interface in self.points)

    @property
    def running(self) -> bool:
        """Whether packets are taken now."""
        return self._identity is not None and self._statistics is None

    @property
    def drops(self) -> int:
        """Packets that the kernel could not hand over; known at the end."""
        return int(self._statistics.get("drops", 0)) if self._statistics else 0

    @property
    def taken(self) -> int:
        """Packets that were written to the file; known at the end."""
        return int(self._statistics.get("packets", 0)) if self._statistics else 0

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """When interfaces were not there, as their nodes were started again; known at the end."""
        found = self._statistics.get("gaps", ()) if self._statistics else ()
        return tuple(
            Gap(str(one["interface"]), int(one["since"]), int(one["until"]) or None)
            for one in found
        )

    def catch_up(self) -> None:
        """Have everything that came until now in the file.

        It takes from all interfaces then that its nodes, started again, had got before. Raises
        HostError.
        """
        if self._identity is not None and self.running:
            self._capturer.capture_flush(self._identity)

    def _raw(self, expression: str | None) -> Iterator[RawPacket]:
        self.catch_up()
        if not self.path.exists():
            return
        if not expression:
            yield from read_packets(self.path)
            return
        with PacketFilter(expression) as wanted:
            for raw in read_packets(self.path):
                if wanted.matches(raw.data, raw.length):
                    yield raw

    def select(self, expression: str | None = None) -> tuple[Packet, ...]:
        """The packets that a filter in tcpdump's language fits, oldest first."""
        found = (Packet.of(raw) for raw in self._raw(expression))
        return tuple(sorted(found, key=lambda packet: packet.time))

    @property
    def packets(self) -> tuple[Packet, ...]:
        """All its packets, oldest first."""
        return self.select()

    def count(self, expression: str | None = None) -> int:
        """How many packets it has, or how many of them a filter fits. Raises CaptureError.

        A link that is captured at both ends shows each packet twice.
        """
        return sum(1 for _ in self._raw(expression))

    def flows(self) -> tuple[Flow, ...]:
        """The conversations in it, the one with most bytes first."""
        packets: Counter[tuple[str, int, str, int, str]] = Counter()
        sizes: Counter[tuple[str, int, str, int, str]] = Counter()
        for packet in self.packets:
            if (head := packet.inner or packet.ip) is None:
                continue
            ports = packet.tcp or packet.udp
            key = (
                head.source,
                ports.source_port if ports else 0,
                head.destination,
                ports.destination_port if ports else 0,
                head.protocol_name,
            )
            packets[key] += 1
            sizes[key] += packet.length
        return tuple(Flow(*key, packets[key], size) for key, size in sizes.most_common())

    def __enter__(self) -> Capture:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except CaptureError:
            if kind is None:
                raise

    def __repr__(self) -> str:
        return f"<capture of {self.where}{' (running)' if self.running else ''}>"
