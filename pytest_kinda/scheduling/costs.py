"""From delays, rates and hops to the integers that schedulers are told, losing no difference.

A scheduler's cost is a whole number of at least 0; 0 is the node itself. Two values that differ may
not become one number unseen: that is how a slow link disappears from an experiment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import gcd
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling.wires import FREE
from pytest_kinda.units import format_duration, format_rate, parse_duration, parse_rate

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

_DECADES: tuple[int, ...] = tuple(10**power for power in range(10, -1, -1))
LARGEST = (1 << 63) - 1
"""What an int64 holds: costs are int64 in every resource that has them."""


class Scale:
    """How values become costs: ``unit`` says what one stands for."""

    def __init__(
        self, metric: str, unit: str, table: Mapping[Any, int], values: list[Any] | None
    ) -> None:
        self.metric = metric
        self.unit = unit
        self._table = table
        self._values = values

    def row(self, number: int) -> list[int]:
        """The costs from one node to all."""
        assert self._values is not None
        # the node itself may hold a value that no pair has
        found = [self._table.get(value, 0) for value in self._values[number]]
        found[number] = 0
        return found

    def __str__(self) -> str:
        return f"cost = {self.metric}" + (f" in {self.unit}" if self.unit else "")


def scale_of(facts: NetworkFacts, unit: str | float | None) -> Scale:
    """The scale of some facts. Raises FactsError where two values would become one cost."""
    rows = facts.rows
    if facts.metric == "delay":
        step = int(parse_duration(unit)) if unit is not None else 0
        values: list[Any] = [row.delay for row in rows]
        distinct = _distinct(values)
        step = step or exact_step(distinct)
        table = {value: _whole(Decimal(value) / step) for value in distinct}
        _told_apart(table, lambda value: format_duration(int(value)), format_duration(step))
        return Scale("delay", format_duration(step), table, values)
    if facts.metric == "rate":
        values = [row.rate for row in rows]
        distinct = _distinct(values)
        reference = int(parse_rate(unit)) if unit is not None else _reference(distinct)
        table = _shares(distinct, reference)
        _told_apart(table, _rate, format_rate(reference))
        return Scale(f"{format_rate(reference)} / rate", "", table, values)
    if unit is not None and not callable(facts.metric):
        raise FactsError(f"unit: found {unit!r}; hops have none")
    if facts.metric == "hops":
        values = [row.hops for row in rows]
        return Scale("hops", "", {value: max(1, value) for value in _distinct(values)}, values)
    return _own(facts, unit)


def _own(facts: NetworkFacts, unit: str | float | None) -> Scale:
    """A function's values, in multiples of a number."""
    measure: Any = facts.metric
    step = 1.0 if unit is None else float(unit)
    if step <= 0:
        raise FactsError(f"unit: found {unit!r}; expected a number above 0")
    values = [
        [
            float(measure(facts._pair(source, target, 0))) if source != target else 0.0
            for target in facts.nodes
        ]
        for source in facts.nodes
    ]
    distinct = {
        value for number, row in enumerate(values) for at, value in enumerate(row) if at != number
    }
    if bad := [value for value in distinct if not 0 <= value < float("inf")]:
        raise FactsError(f"metric: the function gave {bad[0]}; expected a number of at least 0")
    table = {value: _whole(Decimal(value) / Decimal(step)) for value in distinct}
    _told_apart(table, str, f"{step:g}")
    name = getattr(measure, "__name__", "function")
    return Scale(str(name), f"{step:g}" if unit is not None else "", table, values)


def exact_step(delays: Iterable[int]) -> int:
    """The largest power of ten of nanoseconds that every delay is a multiple of.

    Where some pairs have no delay at all it is so small that the least other delay is more than 1,
    which stands for none.

    >>> exact_step([500_000, 20_000_000])
    100000
    """
    values = sorted({*delays} - {0})
    whole = gcd(*values) if values else 1
    none = 0 in {*delays}
    for step in _DECADES:
        if whole % step == 0 and (not none or not values or values[0] // step > 1):
            return step
    return 1


def _distinct(rows: Iterable[Iterable[int]]) -> set[int]:
    """The values of all pairs of two nodes; the node itself is no pair."""
    found: set[int] = set()
    for number, row in enumerate(rows):
        listed = list(row)
        found.update(itertools.chain(listed[:number], listed[number + 1 :]))
    return found


def _whole(value: Decimal) -> int:
    return max(1, int(value.to_integral_value()))


def _reference(rates: set[int]) -> int:
    """A rate that costs 1 or more and tells all rates apart, in steps of ten above the highest."""
    finite = {one for one in rates if one < FREE}
    if not finite:
        return 1_000_000_000
    reference = max(finite) * (10 if FREE in rates else 1)
    for _ in range(6):
        if len({*_shares(rates, reference).values()}) == len(rates):
            return reference
        reference *= 10
    return reference


def _shares(rates: set[int], reference: int) -> dict[int, int]:
    return {one: 1 if one >= FREE else _whole(Decimal(reference) / Decimal(one)) for one in rates}


def _rate(rate: Any) -> str:
    return "no declared rate" if rate >= FREE else format_rate(int(rate))


def _told_apart(table: dict[Any, int], words: Any, unit: str) -> None:
    """Raise FactsError where two values have one cost, or one is too large for an int64."""
    holders: dict[int, list[Any]] = {}
    for value, cost in sorted(table.items()):
        holders.setdefault(cost, []).append(value)
    merged = {cost: values for cost, values in holders.items() if len(values) > 1}
    if merged:
        lines = [
            f"  - {', '.join(words(value) for value in values)} would all cost {cost}"
            for cost, values in list(merged.items())[:8]
        ]
        raise FactsError(
            f"in units of {unit} different values become one cost:\n" + "\n".join(lines),
            remedy="a smaller unit, or none: then one is chosen that loses nothing",
        )
    if holders and max(holders) > LARGEST:
        raise FactsError(
            f"in units of {unit} a cost is {max(holders)}, more than an int64 holds",
            remedy="a larger unit",
        )
