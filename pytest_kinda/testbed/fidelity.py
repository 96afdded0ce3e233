"""Fidelity: what was declared, measured on what is there, and whether the two agree.

Rates are compared in bytes of whole frames, as queues count them; delays one way, by one clock.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import HostError
from pytest_kinda.operations import Place, Shape
from pytest_kinda.plan.paths import Ways
from pytest_kinda.testbed.crossing import ipv6_address, own_address, ways_taken
from pytest_kinda.testbed.load import Load, LoadWatch
from pytest_kinda.testbed.reachability import tries_of
from pytest_kinda.units import format_duration, format_fraction, format_rate

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.host.probe import Seen, Wire
    from pytest_kinda.testbed.interfaces import InterfaceHandle
    from pytest_kinda.testbed.links import LinkHandle
    from pytest_kinda.testbed.nodes import NodeHandle
    from pytest_kinda.testbed.testbed import Testbed

RATE = 0.03
"""Share of a declared rate by which a measured one may differ."""
DELAY = (200_000, 0.02)
"""Nanoseconds, and share of a declared delay, by which a measured one may differ."""
CONFIDENCE = 0.99
"""Of the binomial interval that the number of lost frames must be in."""
FEW, MOST = 100, 5000
"""Frames sent where no loss is declared, and at most where one is."""
STRAGGLERS = 0.3
"""Seconds that a frame may be later than its declared delay before it counts as lost."""
_FULL = 3  # a queue that was full less often was not saturated


@dataclass(frozen=True)
class Row:
    """One declared property and what was measured: ``well`` is None where it could not be.

    ``declared`` says whether its author wrote it, or it is what holds without a word.
    """

    what: str
    where: str
    expected: str
    measured: str
    well: bool | None
    declared: bool = True

    def __str__(self) -> str:
        return f"{self.what} of {self.where}: expected {self.expected}, measured {self.measured}"


@dataclass(frozen=True)
class Fidelity:
    """What was declared beside what was measured. Truthy when nothing differs; its text a table.

    ``load`` is what the machine did meanwhile: a busy one is not faithful.
    """

    rows: tuple[Row, ...]
    load: Load = field(default_factory=lambda: Load(0.0))

    @property
    def problems(self) -> tuple[str, ...]:
        """What differs, in words."""
        return tuple(str(row) for row in self.rows if row.well is False)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be measured, in words."""
        return tuple(str(row) for row in self.rows if row.well is None)

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        shown = [row for row in self.rows if row.declared or row.well is not True]
        cells = [("", "where", "expected", "measured", "")]
        marks = {True: "yes", False: "NO", None: "?"}
        cells += [
            (row.what, row.where, row.expected, row.measured, marks[row.well]) for row in shown
        ]
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        ]
        quiet: dict[str, int] = {}
        for row in self.rows:
            if row not in shown:
                quiet[row.what] = quiet.get(row.what, 0) + 1
        if quiet:
            counts = ", ".join(f"{what} of {count}" for what, count in quiet.items())
            lines.append(f"as expected where nothing was declared: {counts} directions")
        if not self.load:
            lines.append(f"the machine was too busy to be faithful: {self.load}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Direction:
    """One direction of a link: the interface that sends, and one that receives."""

    link: str
    sender: InterfaceHandle
    receiver: InterfaceHandle
    shape: Shape

    def __str__(self) -> str:
        return f"{self.link} {self.sender.node.name}->{self.receiver.node.name}"


def directions(
    links: Iterable[LinkHandle], interfaces: Mapping[tuple[str, str], InterfaceHandle]
) -> list[Direction]:
    """Both directions of each link; behind a hub the first other member receives."""
    found = []
    for link in links:
        for sender in link.interfaces:
            members = [
                interfaces[member.node, member.interface]
                for member in link.segment.members
                if (member.node, member.interface) in interfaces
            ]
            others = [one for one in members if str(one) != str(sender)]
            preferred = [one for one in link.interfaces if str(one) != str(sender)]
            for receiver in (preferred + others)[:1]:
                found.append(Direction(link.name, sender, receiver, sender.shape))
    return found


def binomial_interval(count: int, share: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The central interval that a binomial number of ``count`` trials is in, ends included.

    >>> binomial_interval(2000, 0.01)
    (10, 32)
    """
    if share <= 0 or share >= 1:
        return (count, count) if share >= 1 else (0, 0)
    tail = (1 - confidence) / 2
    low, cumulated = -1, 0.0
    for number in range(count + 1):
        cumulated += math.exp(
            math.lgamma(count + 1)
            - math.lgamma(number + 1)
            - math.lgamma(count - number + 1)
            + number * math.log(share)
            + (count - number) * math.log1p(-share)
        )
        if low < 0 and cumulated > tail:
            low = number
        if cumulated >= 1 - tail:
            return low, number
    return max(low, 0), count


def frames_for(loss: float) -> int:
    """How many frames show a declared loss: some twenty of them should be lost."""
    return FEW if not loss else max(1000, min(MOST, math.ceil(20 / loss)))


def rows_of(direction: Direction, wire: Wire, seen: Seen) -> list[Row]:
    """What one direction's measurement says."""
    shape, where = direction.shape, str(direction)
    if seen.problem:
        return [Row("frames", where, "to be measured", seen.problem, None)]
    rows = [] if not shape.rate else [_rate(shape.rate, where, seen)]
    return [*rows, _delay(shape, where, seen), _loss(shape, where, seen), _mtu(wire, where, seen)]


def _rate(rate: int, where: str, seen: Seen) -> Row:
    measured = seen.received_bytes * 8 / seen.seconds if seen.seconds else 0.0
    well: bool | None = abs(measured - rate) <= RATE * rate
    text = f"{measured / 1e6:.4g} Mbit/s"
    if not well and measured < rate and seen.full < _FULL:
        well, text = None, f"{text}: this machine sends no faster"
    return Row("rate", where, format_rate(rate), text, well)


def _delay(shape: Shape, where: str, seen: Seen) -> Row:
    declared = format_duration(shape.delay)
    if not seen.delays:
        return Row("delay", where, declared, "nothing arrived", False, bool(shape.delay))
    middle = statistics.median(seen.delays)
    least, part = DELAY
    # The middle of frames that jitter spreads is itself spread, by the root of their number.
    allowed = least + part * shape.delay + 3 * shape.jitter / math.sqrt(len(seen.delays))
    well = abs(middle - shape.delay) <= allowed
    return Row("delay", where, declared, f"{middle / 1e6:.3f} ms", well, bool(shape.delay))


def _loss(shape: Shape, where: str, seen: Seen) -> Row:
    lost = seen.sent - seen.received
    low, high = binomial_interval(seen.sent, shape.loss)
    expected = format_fraction(shape.loss)
    if shape.loss:
        expected += f" ({low} to {high} of {seen.sent})"
    measured = f"{lost} of {seen.sent}"
    return Row("loss", where, expected, measured, low <= lost <= high, bool(shape.loss))


def _mtu(wire: Wire, where: str, seen: Seen) -> Row:
    found = f"{seen.mtu}"
    if not seen.fits:
        found += f", and a frame of {wire.mtu} does not arrive"
    if not seen.refused:
        found += f", and a frame of {wire.mtu + 1} arrives"
    well = seen.mtu == wire.mtu and seen.fits and seen.refused
    return Row("mtu", where, str(wire.mtu), found, well, declared=False)


def path_rows(
    taken: Mapping[tuple[str, str], tuple[str, ...]],
    planned: Mapping[tuple[str, str], frozenset[tuple[str, ...]]],
    family: str = "",
) -> list[Row]:
    """One row for all pairs whose packets went as planned, and one for each other pair.

    A pair of which the plan does not say its way is left out. ``family`` is added to what the
    rows are about.
    """
    compared = {pair: way for pair, way in taken.items() if planned.get(pair)}
    wrong = {pair: way for pair, way in compared.items() if way not in planned[pair]}
    rows = []
    if compared:
        measured = f"{len(compared) - len(wrong)} of {len(compared)} pairs"
        rows.append(Row(f"path{family}", "all nodes", "as planned", measured, not wrong))
    for (a, b), way in wrong.items():
        expected = " or ".join(" ".join(one) for one in sorted(planned[a, b]))
        seen = " ".join(way) or "seen nowhere"
        rows.append(Row(f"path{family}", f"{a}->{b}", expected, seen, False))
    return rows


def cut_short(way: tuple[str, ...], planned: frozenset[tuple[str, ...]]) -> bool:
    """Whether a way is the beginning of a planned one and not all of it."""
    return any(way != one and way == one[: len(way)] for one in planned)


def measure_links(standing: Standing, wanted: Sequence[Direction]) -> list[Row]:
    """Measure directions by the keeper's probe; what differs is measured a second time.

    Whatever else uses a machine can spoil one measurement; what is wrong is wrong twice. Raises
    HostError.
    """
    rows = _measure_once(standing, wanted)
    again = [
        number for number, found in enumerate(rows) if any(row.well is not True for row in found)
    ]
    if again:
        second = _measure_once(standing, [wanted[number] for number in again])
        for number, found in zip(again, second, strict=True):
            rows[number] = found
    return [row for found in rows for row in found]


def _measure_once(standing: Standing, wanted: Sequence[Direction]) -> list[list[Row]]:
    from pytest_kinda.host.probe import FILLING, WINDOW, Seen

    places = standing.keeper.places(standing.places)
    wires = [_wire(places, one) for one in wanted]
    if not wires:
        return []
    limit = 60.0 + sum(
        one.frames * max(0.001, 1000 / one.rate if one.rate else 0.0)
        + 2 * one.longest
        + (FILLING + WINDOW + 1.0 if one.rate else 0.0)
        for one in wires
    )
    argv = (sys.executable, "-m", "pytest_kinda.host.probe")
    data = json.dumps({"wires": [asdict(one) for one in wires]}).encode()
    finished = standing.keeper.run(argv, stdin=data, timeout=limit)
    if finished.rc != 0:
        said = finished.stderr.decode(errors="replace").strip()
        raise HostError(f"the probe of links ended with status {finished.rc}: {said[-2000:]}")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return [
        rows_of(direction, wire, Seen(**seen))
        for direction, wire, seen in zip(wanted, wires, answer["seen"], strict=True)
    ]


def _wire(places: Mapping[str, Place], direction: Direction) -> Wire:
    from pytest_kinda.host.probe import Tip, Wire

    def tip(end: InterfaceHandle) -> Tip:
        place = places[end.node.name]
        return Tip(place.pid, place.started, end.name, end.mac)

    shape = direction.shape
    longest = (shape.delay + 4 * shape.jitter) / 1e9 + STRAGGLERS
    return Wire(
        tip(direction.sender),
        tip(direction.receiver),
        direction.sender.mtu,
        frames_for(shape.loss),
        longest,
        shape.rate or 0,
        lossy=shape.loss > 0,
    )


def _paths(
    testbed: Testbed, planned: Ways, address: Callable[[NodeHandle], str], family: str = ""
) -> list[Row]:
    taken = ways_taken(testbed, address)
    targets = {node.name: address(node) for node in testbed.nodes}
    expected = {(a, b): planned.between(a, b, targets[b]) for a, b in taken}
    # A packet that was lost on its way, as declared, has shown the beginning of it only.
    for _ in range(tries_of(testbed.plan) - 1):
        short = [pair for pair in taken if cut_short(taken[pair], expected[pair])]
        if not short:
            break
        again = ways_taken(testbed, address)
        taken.update((pair, again[pair]) for pair in short if pair in again)
    return path_rows(taken, expected, family)


def fidelity_of(testbed: Testbed) -> Fidelity:
    """Measure all links in both directions, then the ways between all nodes. Raises HostError.

    Nodes whose links have IPv6 addresses are asked by those too.
    """
    interfaces = {(node.name, end.name): end for node in testbed.nodes for end in node.interfaces}
    planned = Ways(testbed.plan)
    with LoadWatch() as watch:
        rows = measure_links(testbed.standing, directions(testbed.links, interfaces))
        rows += _paths(testbed, planned, own_address)
        rows += _paths(testbed, planned, ipv6_address, " (IPv6)")
    return Fidelity(tuple(rows), watch.load)
