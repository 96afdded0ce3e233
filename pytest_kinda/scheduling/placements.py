"""Where pods are, and what that is worth in the network that was declared."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pytest_kinda.errors import FactsError, PlacementError
from pytest_kinda.scheduling.diktyo import WORKLOAD_LABEL
from pytest_kinda.scheduling.facts import NetworkFacts
from pytest_kinda.scheduling.optimum import Optimum, least_cost

Edge = tuple[str, str]


@dataclass(frozen=True)
class Placement:
    """One pod: ``node`` is empty while it is on none; ``reason`` is then the scheduler's.

    Times are those of the API, in whole seconds: made, bound to its node, its last container
    started; None for what has not happened.
    """

    pod: str
    namespace: str
    workload: str
    node: str
    scheduler: str
    phase: str
    created: datetime
    scheduled: datetime | None
    started: datetime | None
    reason: str = ""


@dataclass(frozen=True)
class Judgement:
    """Whether something holds of placements; its text says why not, with the table of them."""

    holds: bool
    text: str

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        return self.text


class Placements:
    """Pods and where they are. Example::

    placed = kinda.placements("app=shop")
    assert placed.together("level1")
    assert placed.cost([("web", "cart")]) <= placed.optimum([("web", "cart")]).cost * 1.1
    """

    def __init__(
        self, items: Iterable[Placement], facts: Callable[[], NetworkFacts] | NetworkFacts
    ) -> None:
        self.items = tuple(items)
        self._facts = facts

    @property
    def facts(self) -> NetworkFacts:
        """The facts that they are judged by. Raises FactsError."""
        if not isinstance(self._facts, NetworkFacts):
            self._facts = self._facts()
        return self._facts

    def __iter__(self) -> Iterator[Placement]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, pod: str) -> Placement:
        """The placement of a pod by its name. Raises PlacementError."""
        for one in self.items:
            if one.pod == pod:
                return one
        raise PlacementError(
            f"no pod {pod!r} among {', '.join(one.pod for one in self.items) or 'none'}"
        )

    def of(self, workload: str) -> Placements:
        """Those of one workload: the label of an AppGroup's, ``app``, the owner, else the pod."""
        return Placements((one for one in self if one.workload == workload), self._facts)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that hold any of them, in the order of names."""
        return tuple(sorted({one.node for one in self if one.node}))

    @property
    def pending(self) -> tuple[Placement, ...]:
        """Those that are on no node."""
        return tuple(one for one in self if not one.node)

    def domain(self, level: str) -> dict[str, str]:
        """The domain of each pod at a level of the facts, by pod; empty text while on no node.

        Raises FactsError for a level that is not there.
        """
        known = {one.name: one for one in self.facts.levels()}
        if level not in known:
            raise FactsError(f"level: found {level!r}; expected {', '.join(known) or 'none here'}")
        by_node = known[level].by_node
        return {one.pod: by_node.get(one.node, "") for one in self}

    def together(self, level: str = "node") -> Judgement:
        """Whether all of them are in one domain of a level, or on one node. Raises FactsError."""
        where = {one.pod: one.node for one in self} if level == "node" else self.domain(level)
        places = {*where.values()}
        holds = len(places) == 1 and "" not in places
        shown = ", ".join(sorted(place or "no node" for place in places)) or "no pod"
        word = "together" if holds else "not together"
        return self._judged(holds, f"{word} at {level}: {shown}")

    def cost(self, edges: Iterable[Edge]) -> int:
        """What the edges between workloads cost: each pod of one to each pod of the other.

        Raises PlacementError for a workload without pods, or a pod that is on no node.
        """
        return sum(self.facts.cost(one.node, other.node) for one, other in self._pairs(edges))

    def optimum(
        self,
        edges: Iterable[Edge],
        *,
        slots: int | Mapping[str, int] | None = None,
        fixed: Iterable[str] = (),
        nodes: Iterable[str] | None = None,
    ) -> Optimum:
        """The least that the edges can cost, over all ways to place these pods.

        ``slots`` is how many of them fit on a node (any number without it), ``fixed`` names pods
        that stay where they are, ``nodes`` those that may be used (all of the facts). Exact up to
        some million ways, beyond that a lower bound, which ``exact`` tells. Raises PlacementError.
        """
        listed = list(edges)
        for workload in {name for edge in listed for name in edge}:
            self._some(workload)
        links = [
            (one.pod, other.pod)
            for a, b in listed
            for one in self.of(a)
            for other in self.of(b)
            if one.pod != other.pod
        ]
        usable = tuple(nodes) if nodes is not None else self.facts.nodes
        stay = {name: self._node(self[name]) for name in fixed}
        pods = tuple(dict.fromkeys(pod for link in links for pod in link))
        return least_cost(self.facts, pods, links, usable, slots, stay)

    def crossing(self, link: str, edges: Iterable[Edge] | None = None) -> tuple[Edge, ...]:
        """The pairs of pods whose packets cross a link by the plan's routes, one way.

        ``edges`` are between workloads; without them every pair is meant. Raises PlacementError,
        and FactsError for a link that is not there.
        """
        known = [one.name for one in self.facts.plan.links]
        if link not in known:
            raise FactsError(f"link: found {link!r}; expected one of {', '.join(known)}")
        pairs = (
            self._pairs(edges)
            if edges is not None
            else [pair for pair in itertools.permutations(self, 2) if pair[0].node and pair[1].node]
        )
        return tuple(
            (one.pod, other.pod)
            for one, other in pairs
            if one.node != other.node and link in self.facts[one.node, other.node].links
        )

    def never(self, *nodes: str) -> Judgement:
        """Whether none of them is on any of these nodes."""
        found = [one for one in self if one.node in nodes]
        shown = ", ".join(f"{one.pod} on {one.node}" for one in found)
        return self._judged(not found, shown or f"none on {', '.join(nodes)}")

    def assert_never(self, *nodes: str) -> None:
        """Raise PlacementError, with the table, where one of them is on one of these nodes."""
        if not (judged := self.never(*nodes)):
            raise PlacementError(judged.text)

    def rows(self) -> list[dict[str, Any]]:
        """One row a pod, times in ISO 8601, for JSON and data frames."""
        return [
            {
                key: value.isoformat() if isinstance(value, datetime) else value
                for key, value in asdict(one).items()
            }
            for one in self
        ]

    def _judged(self, holds: bool, text: str) -> Judgement:
        return Judgement(holds, text if holds else f"{text}\n{self}")

    def _some(self, workload: str) -> Placements:
        found = self.of(workload)
        if not found:
            known = ", ".join(sorted({one.workload for one in self})) or "none"
            raise PlacementError(f"workload {workload!r} has no pod here; there are {known}")
        return found

    def _node(self, one: Placement) -> str:
        if not one.node:
            raise PlacementError(f"pod {one.pod} is on no node: {one.reason or one.phase}")
        return one.node

    def _pairs(self, edges: Iterable[Edge]) -> list[tuple[Placement, Placement]]:
        pairs = [
            (one, other)
            for a, b in edges
            for one in self._some(a)
            for other in self._some(b)
            if one.pod != other.pod
        ]
        for pair in pairs:
            for one in pair:
                self._node(one)
        return pairs

    def __str__(self) -> str:
        table = [("pod", "workload", "node", "scheduler", "state")]
        for one in self:
            state = one.phase if one.node else f"{one.phase}: {one.reason}"
            table.append((one.pod, one.workload, one.node or "-", one.scheduler, state))
        widths = [*(max(len(line[at]) for line in table) for at in range(4)), 0]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in table
        )

    def __repr__(self) -> str:
        return f"<placements of {len(self.items)} pods on {', '.join(self.nodes) or 'no node'}>"


def placement_of(item: Mapping[str, Any]) -> Placement:
    """The placement that a pod's JSON says."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    bound = conditions.get("PodScheduled", {})
    starts = [
        one["state"]["running"]["startedAt"]
        for one in status.get("containerStatuses") or ()
        if "running" in (one.get("state") or {})
    ]
    scheduled = bound.get("status") == "True"
    reason = "" if scheduled else str(bound.get("message") or bound.get("reason") or "")
    return Placement(
        pod=metadata["name"],
        namespace=metadata["namespace"],
        workload=_workload(metadata),
        node=str(spec.get("nodeName") or ""),
        scheduler=str(spec.get("schedulerName") or ""),
        phase=str(status.get("phase", "Pending")),
        created=_time(metadata["creationTimestamp"]),
        scheduled=_time(bound["lastTransitionTime"]) if scheduled else None,
        started=max(map(_time, starts)) if starts else None,
        reason=reason,
    )


def _workload(metadata: Mapping[str, Any]) -> str:
    labels = metadata.get("labels") or {}
    owners = [one["name"] for one in metadata.get("ownerReferences") or ()]
    for name in (labels.get(WORKLOAD_LABEL), labels.get("app"), *owners):
        if name:
            return str(name)
    return str(metadata["name"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
