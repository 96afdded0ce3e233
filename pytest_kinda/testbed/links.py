"""Links that a test holds: their ends, counters, and faults that bite and heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from pytest_kinda.errors import KindaError, UnknownNameError
from pytest_kinda.plan.values import LinkPlan, SegmentPlan
from pytest_kinda.testbed.faults import Fault
from pytest_kinda.testbed.interfaces import Counters, InterfaceHandle
from pytest_kinda.testbed.networkfaults import NetworkFaults
from pytest_kinda.units import parse_duration, parse_fraction, parse_rate, parse_size

Direction = str | tuple[str, str] | None


@dataclass(frozen=True)
class LinkCounters:
    """What crossed a link, per direction, as its ends count what they send.

    ``a_to_b`` are the counters of end a, ``b_to_a`` those of end b. Bytes are those of frames
    without the FCS. A drop is counted where the packet was dropped.
    """

    a: Counters
    b: Counters

    @property
    def bytes_a_to_b(self) -> int:
        """Bytes that end a has sent."""
        return self.a.sent_bytes

    @property
    def bytes_b_to_a(self) -> int:
        """Bytes that end b has sent."""
        return self.b.sent_bytes

    @property
    def packets_a_to_b(self) -> int:
        """Packets that end a has sent."""
        return self.a.sent_packets

    @property
    def packets_b_to_a(self) -> int:
        """Packets that end b has sent."""
        return self.b.sent_packets

    @property
    def drops_a_to_b(self) -> int:
        """Packets on their way from a to b that a's queue, a or b have dropped."""
        return self.a.queue_drops + self.a.sent_drops + self.b.received_drops

    @property
    def drops_b_to_a(self) -> int:
        """Packets on their way from b to a that b's queue, b or a have dropped."""
        return self.b.queue_drops + self.b.sent_drops + self.a.received_drops

    @property
    def drops(self) -> int:
        """Packets dropped either way."""
        return self.drops_a_to_b + self.drops_b_to_a

    def __sub__(self, earlier: LinkCounters) -> LinkCounters:
        """What crossed since ``earlier``."""
        return LinkCounters(self.a - earlier.a, self.b - earlier.b)


class Measurement:
    """What crossed a link within a ``with`` block; ``counters`` once it has ended."""

    def __init__(self, link: LinkHandle) -> None:
        self._link = link
        self._before: LinkCounters | None = None
        self._counters: LinkCounters | None = None

    @property
    def counters(self) -> LinkCounters:
        """What crossed. Raises KindaError before the block has ended."""
        if self._counters is None:
            raise KindaError(f"the measurement of {self._link.name} has not ended yet")
        return self._counters

    def __enter__(self) -> Measurement:
        self._before = self._link.counters()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._before is not None:
            self._counters = self._link.counters() - self._before


class LinkHandle:
    """A link. Example::

        link = kinda.link("r1", "r2")
        with link.impair(rate="10mbit"), link.measure() as measured: ...

    A hub is a wire and has no interfaces: a link to one has a single end, at the other node.
    """

    def __init__(
        self,
        planned: LinkPlan,
        segment: SegmentPlan,
        a: InterfaceHandle | None,
        b: InterfaceHandle | None,
        faults: NetworkFaults,
    ) -> None:
        self.planned = planned
        self.segment = segment
        self._a = a
        self._b = b
        self._faults = faults

    @property
    def name(self) -> str:
        """Its name, ``a--b`` unless declared otherwise."""
        return self.planned.name

    @property
    def a(self) -> InterfaceHandle:
        """Its end at the node named first. Raises KindaError where that is a hub."""
        return self._a or self._no_end(self.nodes[0])

    @property
    def b(self) -> InterfaceHandle:
        """Its end at the node named second. Raises KindaError where that is a hub."""
        return self._b or self._no_end(self.nodes[1])

    def _no_end(self, hub: str) -> NoReturn:
        raise KindaError(
            f"link {self.name} has no interface at {hub}, which is a hub",
            remedy=f"its interface is {self.interfaces[0]}",
        )

    @property
    def interfaces(self) -> tuple[InterfaceHandle, ...]:
        """Its ends: two, or one where the other is a hub."""
        return tuple(one for one in (self._a, self._b) if one is not None)

    @property
    def nodes(self) -> tuple[str, str]:
        """The names of the nodes that it joins."""
        return self.planned.a.node, self.planned.b.node

    def end(self, node: str) -> InterfaceHandle:
        """The end at a node. Raises UnknownNameError."""
        for one in self.interfaces:
            if one.node.name == node:
                return one
        raise UnknownNameError(
            f"link {self.name} has no end at {node!r}; it has "
            + " and ".join(map(str, self.interfaces))
        )

    def counters(self) -> LinkCounters:
        """What crossed it since it was made.

        A hub counts nothing: what it sent is what the other end has received.
        """
        a = self._a.counters() if self._a else None
        b = self._b.counters() if self._b else None
        return LinkCounters(a or (b or Counters()).mirrored, b or (a or Counters()).mirrored)

    def measure(self) -> Measurement:
        """Count what crosses it within a ``with`` block."""
        return Measurement(self)

    def _senders(self, direction: Direction) -> tuple[InterfaceHandle, ...]:
        if direction is None:
            return self.interfaces
        ends = (
            tuple(part.strip() for part in direction.split("->"))
            if isinstance(direction, str)
            else tuple(direction)
        )
        one, two = self.nodes
        senders: dict[tuple[str, ...], InterfaceHandle | None]
        senders = {(one, two): self._a, (two, one): self._b}
        if found := senders.get(ends):
            return (found,)
        known = [f"'{a}->{b}'" for (a, b), sender in senders.items() if sender]
        raise UnknownNameError(
            f"link {self.name} has no direction {direction!r}; "
            f"it has {' and '.join(known)}, and None for {'both' if len(known) > 1 else 'the same'}"
        )

    def down(self) -> Fault:
        """Cut it: both ends lose their carrier, until the fault is healed.

        Use it as a call or as a context manager. Raises HostError.
        """
        return self._faults.cut(f"link {self.name} down", self.interfaces)

    def impair(
        self,
        *,
        rate: str | int | None = None,
        delay: str | int | None = None,
        jitter: str | int | None = None,
        loss: str | float | None = None,
        corrupt: str | float | None = None,
        duplicate: str | float | None = None,
        reorder: str | float | None = None,
        burst: str | int | None = None,
        latency: str | int | None = None,
        direction: Direction = None,
    ) -> Fault:
        """Change what it does to packets, until the fault is healed.

        What is not named stays as declared; 0 is a value (``loss=0`` takes a declared loss away).
        Rates read like ``"10mbit"``, durations like ``"20ms"``, fractions like ``"1%"``.
        ``direction`` is ``"r1->r2"`` for one way; both without it. Raises UnitError,
        UnknownNameError, HostError. Example::

            with kinda.link("r1", "r2").impair(delay="20ms", loss="1%"): ...
        """
        given: dict[str, tuple[object, Callable[[object], int | float]]] = {
            "rate": (rate, parse_rate),
            "burst": (burst, parse_size),
            "latency": (latency, parse_duration),
            "delay": (delay, parse_duration),
            "jitter": (jitter, parse_duration),
            "loss": (loss, parse_fraction),
            "corrupt": (corrupt, parse_fraction),
            "duplicate": (duplicate, parse_fraction),
            "reorder": (reorder, parse_fraction),
        }
        changes = {key: parse(value) for key, (value, parse) in given.items() if value is not None}
        if not changes:
            raise KindaError(
                f"link {self.name}: nothing to impair was named; "
                f"impair takes {', '.join(given)} and direction"
            )
        words = ", ".join(f"{key}={value}" for key, value in changes.items())
        return self._faults.impair(
            f"link {self.name} impaired ({words})", self._senders(direction), changes
        )

    def __repr__(self) -> str:
        one, two = self.nodes
        return f"<link {self.name}: {self._a or one} - {self._b or two}>"
