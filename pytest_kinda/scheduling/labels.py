"""The network as labels and resources of nodes, which most schedulers read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_kinda.errors import FactsError
from pytest_kinda.plan.naming import digest
from pytest_kinda.scheduling.levels import Level
from pytest_kinda.scheduling.objects import Object, node

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
PREFIX = "network.pytest-kinda"
MEMBER = f"{PREFIX}/topology"
"""The label that every node of the facts has: what a flavor or selector can name them all by."""

Names = Sequence[str] | None


def level_key(level: Level) -> str:
    """The label of a level."""
    return f"{PREFIX}/{level.name}"


def zones_of(facts: NetworkFacts, zone: str, levels: Names = None) -> dict[str, str]:
    """The zone of each node: its own (``node``), or its domain at the level of that name.

    A zone is never named like a node: some schedulers silently leave such a node out. Raises
    FactsError.
    """
    if zone == "node":
        return {name: f"zone-{name}" for name in facts.nodes}
    found = {one.name: one for one in facts.levels(levels)}
    if zone not in found:
        raise FactsError(
            f"zone: found {zone!r}; expected 'node', or a level: {', '.join(found) or 'none here'}",
            remedy="say what a zone is: there is no meaning that suits every scheduler",
        )
    return found[zone].by_node


def node_labels(
    facts: NetworkFacts, *, zone: str = "", region: str = "", levels: Names = None
) -> list[Object]:
    """Labels of every level, and of zone and region where they are asked for.

    ``zone`` is ``"node"`` or a level's name. Levels are labels ``network.pytest-kinda/LEVEL``.
    Raises FactsError.
    """
    found = {name: {MEMBER: label_value(facts.plan.topology)} for name in facts.nodes}
    for level in facts.levels(levels):
        for name, domain in level.by_node.items():
            found[name][level_key(level)] = label_value(domain)
    if zone:
        for name, value in zones_of(facts, zone, levels).items():
            found[name][ZONE] = label_value(value)
    if region:
        for labels in found.values():
            labels[REGION] = region
    return [node(name, labels) for name, labels in found.items()]


def topograph(facts: NetworkFacts) -> list[Object]:
    """The labels that Topograph 1.0 writes: ``fabric.topograph.run/tier-N``, 0 the closest."""
    found: dict[str, dict[str, str]] = {name: {} for name in facts.nodes}
    for level in facts.levels():
        for name, domain in level.by_node.items():
            found[name][f"fabric.topograph.run/tier-{level.number - 1}"] = label_value(domain)
    return [node(name, labels) for name, labels in found.items()]


def extended_resources(
    facts: NetworkFacts, *, resource: str = f"{PREFIX}/bandwidth-mbit"
) -> list[Object]:
    """What a node's own links can send, as an extended resource in whole Mbit/s.

    A node whose links declare no rate has none of it. It goes into the capacity of the node's
    status, from where the kubelet makes it allocatable. Raises FactsError where no link has a rate.
    """
    found = []
    for name, planned in facts.planned.items():
        rates = [one.shape.rate if one.shape else None for one in planned.interfaces]
        declared = [one for one in rates if one]
        if declared and len(declared) == len(rates):
            capacity = {resource: str(sum(declared) // 1_000_000)}
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            found.append({**body, "status": {"capacity": capacity}})
    if not found:
        raise FactsError(
            f"topology {facts.plan.topology}: no node's links all declare a rate, so none has a "
            "bandwidth to be told"
        )
    return found


def label_value(text: str) -> str:
    """A label's value from the name of a device or topology, which may be longer."""
    return text if len(text) <= 63 else f"{text[:52].rstrip('-_.')}-{digest(text)}"
