"""The network as schedulers read it: delay, rate, hops, cost and path of each pair of nodes."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pytest_kinda.errors import FactsError, UnknownNameError
from pytest_kinda.plan.planner import collector_paused
from pytest_kinda.plan.values import NodePlan, Plan
from pytest_kinda.scheduling.costs import Scale, scale_of
from pytest_kinda.scheduling.forwarding import Forwarding, Unknown, Way
from pytest_kinda.scheduling.levels import Level, levels_of
from pytest_kinda.scheduling.tree import Tree, tree_of
from pytest_kinda.scheduling.wires import FREE, Leg
from pytest_kinda.units import format_duration


class Pair(NamedTuple):
    """What lies between two nodes of the cluster, one way.

    ``delay`` in nanoseconds, ``rate`` in bit/s of the narrowest link (None where no link on the
    way declares one), ``hops`` the number of links, ``path`` the nodes with both ends, switches
    included, ``links`` their names. Of several equal-cost ways (``ways``) these are the slowest
    one's, ``quickest`` is the delay of the fastest, and ``rate`` is the least of all of them.
    ``cost`` is the integer that schedulers are told.
    """

    source: str
    target: str
    delay: int
    quickest: int
    rate: int | None
    hops: int
    path: tuple[str, ...]
    links: tuple[str, ...]
    ways: int
    cost: int


Metric = str | Callable[[Pair], float]


class NetworkFacts:
    """Facts of a plan; see :func:`network_facts`."""

    def __init__(
        self,
        plan: Plan,
        *,
        metric: Metric = "delay",
        unit: str | float | None = None,
        assume: str = "",
    ) -> None:
        if metric not in METRICS and not callable(metric):
            raise FactsError(
                f"metric: found {metric!r}; expected {', '.join(METRICS)} or a function of a pair"
            )
        if assume not in ("", "fewest-hops"):
            raise FactsError(f"assume: found {assume!r}; expected 'fewest-hops' or nothing")
        self.plan = plan
        self.metric = metric
        self.assume = assume
        self.planned: dict[str, NodePlan] = {
            one.name: one for one in plan.nodes if one.is_kubernetes and one.endpoint
        }
        self.nodes: tuple[str, ...] = tuple(self.planned)
        if len(self.nodes) < 2:
            raise FactsError(
                f"topology {plan.topology}: {len(self.nodes)} nodes of the cluster are on the "
                "network; expected at least two"
            )
        self._numbers = {name: number for number, name in enumerate(self.nodes)}
        with collector_paused():
            self._ways = Forwarding(plan, assume=bool(assume))
            self._rows: list[_Row] = _rows_of(self)
        self._levels: dict[tuple[str, ...] | None, tuple[Level, ...]] = {}
        self.scale: Scale = scale_of(self, unit)

    # Pairs

    def __getitem__(self, ends: tuple[str, str]) -> Pair:
        """The pair (source, target). Raises UnknownNameError."""
        source, target = ends
        return self._pair(source, target, self.cost(source, target))

    def _pair(self, source: str, target: str, cost: int) -> Pair:
        row, at = self._row(source), self._number(target)
        if source == target:
            return Pair(source, target, 0, 0, None, 0, (source,), (), 1, 0)
        path, links = self._ways.nodes_and_links(source, target)
        ways = 1
        if self._ways.direct(source, target) is None:
            way = self._ways.way(source, target)
            ways = 1 if isinstance(way, Unknown) else way.ways
        rate = row.rate[at]
        return Pair(
            source,
            target,
            row.delay[at],
            row.quick[at],
            None if rate >= FREE else rate,
            row.hops[at],
            path,
            links,
            ways,
            cost,
        )

    def delay(self, source: str, target: str) -> int:
        """Nanoseconds one way, of the slowest equal-cost way."""
        return self._row(source).delay[self._number(target)]

    def rate(self, source: str, target: str) -> int | None:
        """Bit/s of the narrowest link on any equal-cost way; None where none declares a rate."""
        found = self._row(source).rate[self._number(target)]
        return None if found >= FREE else found

    def hops(self, source: str, target: str) -> int:
        """How many links are crossed."""
        return self._row(source).hops[self._number(target)]

    def path(self, source: str, target: str) -> tuple[str, ...]:
        """The nodes that are crossed, both ends included."""
        return self[source, target].path

    def cost(self, source: str, target: str) -> int:
        """What schedulers are told: 0 on the same node, at least 1 elsewhere."""
        return self.costs(source)[self._number(target)]

    def costs(self, source: str) -> list[int]:
        """The costs from one node to all, in the order of ``nodes``."""
        return self.scale.row(self._number(source))

    @property
    def matrix(self) -> Mapping[tuple[str, str], Pair]:
        """Every ordered pair of two nodes."""
        return _Matrix(self)

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            raise UnknownNameError(
                f"no node {name!r} of the cluster is on the network; there are "
                + ", ".join(self.nodes[:20])
            )
        return self._numbers[name]

    def _row(self, name: str) -> _Row:
        return self._rows[self._number(name)]

    @property
    def rows(self) -> list[_Row]:
        """One row a source: arrays of delay, quickest delay, rate (``FREE`` for none), hops."""
        return self._rows

    # Structure

    def levels(self, names: Sequence[str] | None = None) -> tuple[Level, ...]:
        """Which nodes are together at each level of the network, the closest level first.

        A level is a number of links by which every two nodes of a domain reach each other, and no
        node of another domain. Domains are named by the device where ways within them meet.
        ``names`` (``["rack", "spine"]``) replace ``level1``, ``level2``... Raises FactsError when
        their number is another one.
        """
        key = tuple(names) if names is not None else None
        if key not in self._levels:
            self._levels[key] = levels_of(self, key)
        return self._levels[key]

    def tree(self, root: str | None = None) -> Tree:
        """The links as a tree. Raises FactsError which names a cycle where there is one."""
        return tree_of(self.plan, root)

    # Words

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a scheduler that reads these facts should not be trusted with unseen."""
        return tuple(_warnings(self))

    def render(self, form: str, **options: Any) -> Any:
        """These facts for one scheduler: plain objects, or text for ``csv`` and ``json``.

        ``form`` is one of ``pytest_kinda.scheduling.FORMS``. Raises FactsError. Example::

            facts.render("diktyo", zone="node")
        """
        from pytest_kinda.scheduling.forms import render

        return render(self, form, **options)

    def __repr__(self) -> str:
        return f"<facts of {self.plan.topology}: {len(self.nodes)} nodes, {self.scale}>"

    def __str__(self) -> str:
        from pytest_kinda.scheduling.tables import to_text

        return to_text(self)


METRICS = ("delay", "rate", "hops")


def network_facts(
    of: Any, *, metric: Metric = "delay", unit: str | float | None = None, assume: str = ""
) -> NetworkFacts:
    """The facts of a plan, of a topology (which is planned), or of a testbed's plan.

    ``metric`` is what costs are made from: ``delay`` (of one way), ``rate`` (the bottleneck's),
    ``hops`` (links), or a function of a :class:`Pair`. ``unit`` is what a cost of 1 stands for: a
    duration, or the rate that costs 1, or a number; left out, the largest power of ten that loses
    nothing. Ways are those of the plan's routes. Where a router finds its routes by itself the plan
    does not say them, and that is an error unless ``assume="fewest-hops"``.

    Raises FactsError: no way is known, or two different values would become one cost. Example::

        facts = network_facts(TRIANGLE, unit="100us")
        facts["w1", "w2"].path == ("w1", "r1", "r2", "w2")
    """
    plan = getattr(of, "plan", of)
    if not isinstance(plan, Plan):
        from pytest_kinda.plan import plan as make_plan
        from pytest_kinda.plan.values import USUAL

        # what a machine can do changes nothing of what is declared
        plan = make_plan(of, facts=USUAL)
    return NetworkFacts(plan, metric=metric, unit=unit, assume=assume)


class _Row(NamedTuple):
    delay: array[int]
    quick: array[int]
    rate: array[int]
    hops: array[int]

    def put(self, at: int, delay: int, quick: int, rate: int, hops: int) -> None:
        self.delay[at], self.quick[at], self.rate[at], self.hops[at] = delay, quick, rate, hops


class _Matrix(Mapping[tuple[str, str], Pair]):
    """Pairs are made when they are looked at: a fabric has a million of them."""

    def __init__(self, facts: NetworkFacts) -> None:
        self._facts = facts

    def __getitem__(self, ends: tuple[str, str]) -> Pair:
        return self._facts[ends]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return itertools.permutations(self._facts.nodes, 2)

    def __len__(self) -> int:
        count = len(self._facts.nodes)
        return count * (count - 1)


def _rows_of(facts: NetworkFacts) -> list[_Row]:
    ways, nodes = facts._ways, facts.nodes
    numbers = facts._numbers
    last = [ways.last(name) for name in nodes]
    lost: dict[str, list[tuple[str, str]]] = {}
    routers: dict[str, _Row | None] = {}
    uncovered: dict[object, list[int]] = {}
    rows = []
    for number, source in enumerate(nodes):
        leaving = ways.exit(source)
        single: Sequence[int] = range(len(nodes))
        row = None
        if leaving is not None:
            leg, router, prefixes = leaving
            if router not in routers:
                routers[router] = _router_row(ways, router, nodes, last)
            base = routers[router]
            if base is not None:
                row = _behind(leg, base)
                if prefixes not in uncovered:
                    uncovered[prefixes] = [
                        at for at, name in enumerate(nodes) if not ways.covers(prefixes, name)
                    ]
                near = [numbers[one] for one in ways.neighbours(source) if one in numbers]
                single = [*uncovered[prefixes], *near]
        if row is None:
            row = _Row(*(array("q", bytes(8 * len(nodes))) for _ in range(4)))
        for at in single:
            if at != number:
                reason = _single(ways, source, nodes[at], last[at], row, at)
                if reason:
                    lost.setdefault(reason, []).append((source, nodes[at]))
        row.put(number, 0, 0, FREE, 0)
        rows.append(row)
    if lost:
        raise _no_ways(facts, lost)
    return rows


def _behind(leg: Leg, base: _Row) -> _Row:
    """What a node sees that sends everything to one router."""
    delay, rate, count = leg.delay, leg.rate, len(leg.links)
    narrow = rate < max(base.rate)
    return _Row(
        array("q", [one + delay for one in base.delay]) if delay else base.delay[:],
        array("q", [one + delay for one in base.quick]) if delay else base.quick[:],
        array("q", [one if one < rate else rate for one in base.rate]) if narrow else base.rate[:],
        array("q", [one + count for one in base.hops]),
    )


def _router_row(
    ways: Forwarding, router: str, nodes: tuple[str, ...], last: list[Leg | None]
) -> _Row | None:
    """From a router to every node; None where a way is not known, which its nodes then tell."""
    columns: tuple[list[int], ...] = ([], [], [], [])
    delays, quicks, rates, hops = columns
    found: dict[int, Way] = {}
    for name, end in zip(nodes, last, strict=True):
        known = id(ways.target(name)[0])
        way = found.get(known)
        if way is None:
            one = ways.way(router, name)
            if isinstance(one, Unknown):
                return None
            way = found[known] = one
        if end is None:
            return None
        delays.append(way.delay + end.delay)
        quicks.append(way.quick + end.delay)
        rates.append(way.rate if way.rate < end.rate else end.rate)
        hops.append(way.links + len(end.links))
    return _Row(*(array("q", one) for one in columns))


def _single(ways: Forwarding, source: str, target: str, end: Leg | None, row: _Row, at: int) -> str:
    """Fill in one pair; why there is no way, else nothing."""
    direct = ways.direct(source, target)
    if direct is not None:
        row.put(at, direct.delay, direct.delay, direct.rate, len(direct.links))
        return ""
    way = ways.way(source, target)
    if isinstance(way, Unknown):
        return way.reason
    if end is None:
        return f"{target} is not on its last router's wire"
    hops = way.links + len(end.links)
    row.put(at, way.delay + end.delay, way.quick + end.delay, min(way.rate, end.rate), hops)
    return ""


def _no_ways(facts: NetworkFacts, lost: Mapping[str, list[tuple[str, str]]]) -> FactsError:
    lines = [
        f"  - {len(pairs)} pairs, such as {pairs[0][0]} to {pairs[0][1]}: {reason}"
        for reason, pairs in list(lost.items())[:10]
    ]
    return FactsError(
        f"topology {facts.plan.topology}: the plan does not say every way\n" + "\n".join(lines),
        remedy="assume='fewest-hops' takes the ways over the fewest routers there, or declare "
        "routers whose routes are planned",
    )


def _warnings(facts: NetworkFacts) -> Iterator[str]:
    nodes = facts.nodes
    left = [
        one.name for one in facts.plan.nodes if one.is_kubernetes and one.name not in facts.planned
    ]
    if left:
        yield f"{', '.join(left)}: no link, so no part of the facts"
    if facts.assume:
        yield "ways through routers that find their routes by themselves are assumed, not planned"
    costs = [facts.costs(name) for name in nodes]
    values = {cost for row in costs for cost in row} - {0}
    if len(values) == 1:
        yield f"every cost is {values.pop()}: a scheduler cannot tell the nodes apart"
    uneven = [
        (nodes[a], nodes[b])
        for a, row in enumerate(costs)
        for b in range(a + 1, len(nodes))
        if row[b] != costs[b][a]
    ]
    if uneven:
        a, b = uneven[0]
        yield (
            f"{len(uneven)} pairs cost differently there and back, such as {a} to {b}: "
            f"{facts.cost(a, b)}, back {facts.cost(b, a)}"
        )
    bare = [
        (nodes[a], nodes[b])
        for a, row in enumerate(facts.rows)
        for b, (delay, rate) in enumerate(zip(row.delay, row.rate, strict=True))
        if a != b and not delay and rate >= FREE
    ]
    if bare:
        yield (
            f"{len(bare)} pairs cross no link with a declared delay or rate, such as "
            f"{bare[0][0]} to {bare[0][1]}: whatever they cost is not felt by their packets"
        )
    spread = [
        (nodes[a], nodes[b], row.quick[b], row.delay[b])
        for a, row in enumerate(facts.rows)
        for b in range(len(nodes))
        if row.quick[b] != row.delay[b]
    ]
    if spread:
        a, b, quick, slow = spread[0]
        yield (
            f"{len(spread)} pairs have equal-cost ways of different delay, such as {a} to {b}: "
            f"{format_duration(quick)} to {format_duration(slow)}; the slowest is told"
        )
