"""The least that a placement can cost: exact where that can be searched, else a lower bound.

A quadratic assignment (Koopmans and Beckmann 1957), searched depth first by branch and bound: the
cost of what is placed already never falls when more is placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_kinda.errors import PlacementError

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

MOST_STEPS = 1_000_000
"""Steps of the search after which only a bound is told: some seconds."""


@dataclass(frozen=True)
class Optimum:
    """The least cost; ``exact``, or a lower bound that may be less than what can be had.

    ``nodes`` is one placement that costs that, by pod; empty for a bound.
    """

    cost: int
    exact: bool
    nodes: dict[str, str] = field(hash=False)


def least_cost(
    facts: NetworkFacts,
    pods: Sequence[str],
    edges: Sequence[tuple[str, str]],
    nodes: Sequence[str],
    slots: int | Mapping[str, int] | None,
    fixed: Mapping[str, str],
) -> Optimum:
    """The least cost of edges between pods on nodes with so many slots each.

    Raises PlacementError where they do not fit.
    """
    free = {
        name: len(pods)
        if slots is None
        else slots
        if isinstance(slots, int)
        else slots.get(name, 0)
        for name in nodes
    }
    room = sum(free.values()) - sum(1 for pod in pods if pod in fixed and fixed[pod] in free)
    loose = [pod for pod in pods if pod not in fixed]
    if room < len(loose):
        raise PlacementError(f"{len(pods)} pods do not fit: the nodes have {room} slots left")
    costs = {
        one: dict(zip(facts.nodes, facts.costs(one), strict=True))
        for one in {*nodes, *fixed.values()}
    }
    search = _Search(costs, edges, free, fixed, loose)
    if search.run():
        return Optimum(search.best, True, search.found)
    return Optimum(_bound(costs, edges, free, fixed), False, {})


class _Search:
    def __init__(
        self,
        costs: Mapping[str, Mapping[str, int]],
        edges: Sequence[tuple[str, str]],
        free: dict[str, int],
        fixed: Mapping[str, str],
        loose: Sequence[str],
    ) -> None:
        self.costs = costs
        self.free = free
        self.placed = dict(fixed)
        self.neighbours: dict[str, list[tuple[str, bool]]] = {}
        for a, b in edges:
            self.neighbours.setdefault(a, []).append((b, True))
            self.neighbours.setdefault(b, []).append((a, False))
        for name in fixed.values():
            if name in free:
                free[name] -= 1
        self.start = sum(costs[fixed[a]][fixed[b]] for a, b in edges if a in fixed and b in fixed)
        # those with many edges first: their cost is known early
        self.loose = sorted(loose, key=lambda pod: -len(self.neighbours.get(pod, ())))
        self.best = -1
        self.found: dict[str, str] = {}
        self.steps = 0

    def run(self) -> bool:
        """Whether the search came to its end."""
        return self._place(0, self.start)

    def _place(self, number: int, cost: int) -> bool:
        if self.best >= 0 and cost >= self.best:
            return True
        if number == len(self.loose):
            self.best, self.found = cost, dict(self.placed)
            return True
        pod = self.loose[number]
        choices = sorted(
            (self._added(pod, node), node) for node, count in self.free.items() if count > 0
        )
        for added, node in choices:
            self.steps += 1
            if self.steps > MOST_STEPS:
                return False
            self.placed[pod] = node
            self.free[node] -= 1
            complete = self._place(number + 1, cost + added)
            self.free[node] += 1
            del self.placed[pod]
            if not complete:
                return False
        return True

    def _added(self, pod: str, node: str) -> int:
        total = 0
        for other, outwards in self.neighbours.get(pod, ()):
            place = self.placed.get(other)
            if place is not None:
                total += self.costs[node][place] if outwards else self.costs[place][node]
        return total


def _bound(
    costs: Mapping[str, Mapping[str, int]],
    edges: Sequence[tuple[str, str]],
    free: Mapping[str, int],
    fixed: Mapping[str, str],
) -> int:
    """What every edge costs at least, each by itself."""
    usable = [name for name, count in free.items() if count > 0]
    total = 0
    for a, b in edges:
        starts = [fixed[a]] if a in fixed else usable
        ends = [fixed[b]] if b in fixed else usable
        both = a not in fixed and b not in fixed
        total += min(
            (
                costs[one][other]
                for one in starts
                for other in ends
                if not (both and one == other and free[one] < 2)
            ),
            default=0,
        )
    return total
