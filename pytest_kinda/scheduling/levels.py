"""Levels of a network: which nodes are together in a rack, behind a leaf, below a spine.

A hierarchy is found, not assumed: at a number of links h the nodes fall into groups in which every
two are at most h links apart and no two of different groups are (single-linkage clusters that are
cliques too, as in an ultrametric space). Where there is no such grouping, as on a ring, there is no
such level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_kinda.errors import FactsError
from pytest_kinda.plan.layout import Union

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

_LEVEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class Level:
    """One level: its name, its number from 1 (the closest), the most links within a domain.

    ``domains`` are the nodes of each domain by its name. Example::

        facts.levels(["leaf", "fabric"])[0].domains == {"leaf1": ("c1", "w1"), "leaf2": ("w2",)}
    """

    name: str
    number: int
    hops: int
    domains: dict[str, tuple[str, ...]] = field(hash=False)

    def of(self, node: str) -> str:
        """The domain of a node. Raises KeyError."""
        for name, nodes in self.domains.items():
            if node in nodes:
                return name
        raise KeyError(node)

    @property
    def by_node(self) -> dict[str, str]:
        """The domain of each node."""
        return {node: name for name, nodes in self.domains.items() for node in nodes}


def levels_of(facts: NetworkFacts, names: tuple[str, ...] | None) -> tuple[Level, ...]:
    """The levels of some facts, the closest first. Raises FactsError for names that do not fit."""
    sites = _sites(facts)
    found = _groups(facts, sites)
    if names is None:
        names = tuple(f"level{number}" for number in range(1, len(found) + 1))
    if len(names) != len(found) or len({*names}) != len(names):
        shown = [
            f"{len(groups)} of up to {max(map(len, groups))} nodes, {hops} links apart"
            for hops, groups in found
        ]
        raise FactsError(
            f"levels: found the names {', '.join(names) or 'none'}; expected {len(found)} "
            f"different ones, the closest first: {'; '.join(shown) or 'there is no level'}"
        )
    for name in names:
        if not _LEVEL.fullmatch(name) or len(name) > 40:
            raise FactsError(
                f"levels: found {name!r}; expected small letters, digits and '-', as in a label"
            )
    levels: list[Level] = []
    for number, (name, (hops, groups)) in enumerate(zip(names, found, strict=True), 1):
        levels.append(Level(name, number, hops, _named(facts, groups, levels)))
    return tuple(levels)


def _sites(facts: NetworkFacts) -> list[tuple[str, ...]]:
    """Nodes whose only wire leads to the same device: they are alike, whatever lies behind it."""
    found: dict[object, list[str]] = {}
    kubernetes = facts.planned
    for name, planned in kubernetes.items():
        key: object = name
        if len(planned.interfaces) == 1 and len(planned.interfaces[0].peers) == 1:
            (peer,) = planned.interfaces[0].peers
            if peer not in kubernetes:
                key = ("device", peer)
        found.setdefault(key, []).append(name)
    return [tuple(one) for one in found.values()]


def _groups(
    facts: NetworkFacts, sites: list[tuple[str, ...]]
) -> list[tuple[int, list[tuple[str, ...]]]]:
    """The levels as (links, groups of nodes), those that are a true hierarchy."""
    numbers = {name: number for number, name in enumerate(facts.nodes)}
    first = [numbers[one[0]] for one in sites]
    apart = [[max(facts.rows[a].hops[b], facts.rows[b].hops[a]) for b in first] for a in first]
    within = max((facts.hops(one[0], other) for one in sites for other in one[1:]), default=0)
    levels: list[tuple[int, list[tuple[str, ...]]]] = []
    if within:
        levels.append((within, sites))
    for hops in sorted({apart[a][b] for a in range(len(first)) for b in range(a)}):
        groups = _clusters(apart, hops)
        if not _cliques(apart, groups, hops):
            continue
        joined = [tuple(node for site in group for node in sites[site]) for group in groups]
        if len(joined) < len(facts.nodes) and (not levels or len(joined) < len(levels[-1][1])):
            levels.append((hops, joined))
    return levels


def _clusters(apart: list[list[int]], hops: int) -> list[list[int]]:
    union = Union()
    for a, row in enumerate(apart):
        union.join(str(b) for b, distance in enumerate(row) if b == a or distance <= hops)
    found: dict[str, list[int]] = {}
    for a in range(len(apart)):
        found.setdefault(union.find(str(a)), []).append(a)
    return list(found.values())


def _cliques(apart: list[list[int]], groups: list[list[int]], hops: int) -> bool:
    return all(apart[a][b] <= hops for group in groups for a in group for b in group if a != b)


def _named(
    facts: NetworkFacts, groups: list[tuple[str, ...]], below: list[Level]
) -> dict[str, tuple[str, ...]]:
    """Each group by the device where ways between its parts meet; never by a node's name."""
    kubernetes = {one.name for one in facts.plan.nodes if one.is_kubernetes}
    parts = below[-1].by_node if below else {}
    found: dict[str, tuple[str, ...]] = {}
    for number, group in enumerate(groups, 1):
        name = f"domain{number}"
        one = group[0]
        other = next(
            (node for node in group[1:] if parts.get(node, node) != parts.get(one, one)), ""
        )
        if other:
            path = facts.path(one, other)
            middle = path[len(path) // 2]
        else:
            interfaces = facts.planned[one].interfaces
            middle = interfaces[0].peers[0] if interfaces and interfaces[0].peers else ""
        if middle and middle not in kubernetes:
            name = middle
        plain, count = name, 1
        while name in found or name in kubernetes:
            count += 1
            name = f"{plain}-{count}"
        found[name] = group
    return found
