"""The levels of the network as the gang and queueing schedulers want them.

Volcano, Kueue, KAI and koordinator read ordered levels. All but Volcano name a level by a label of
nodes, so that their objects come with the nodes' labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling.labels import (
    HOSTNAME,
    MEMBER,
    Names,
    label_value,
    level_key,
    node_labels,
)
from pytest_kinda.scheduling.levels import Level
from pytest_kinda.scheduling.objects import (
    KAI,
    KOORDINATOR,
    KUEUE,
    VOLCANO,
    Object,
    custom,
    object_name,
)

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts


def _levels(facts: NetworkFacts, names: Names) -> tuple[Level, ...]:
    found = facts.levels(names)
    if not found:
        raise FactsError(
            f"topology {facts.plan.topology} has no levels: no two nodes are nearer to each other "
            "than to the rest"
        )
    return found


def _name(facts: NetworkFacts, name: str) -> str:
    return name or object_name(facts.plan.topology)


def hypernodes(
    facts: NetworkFacts, *, levels: Names = None, tier_names: bool = False
) -> list[Object]:
    """Volcano's HyperNodes: one for each domain, tier 1 the closest.

    ``tier_names`` adds ``tierName``, which Volcano knows from 1.14 on. Raises FactsError.
    """
    found: list[Object] = []
    below: dict[str, str] = {}
    for level in _levels(facts, levels):
        here: dict[str, str] = {}
        for domain, nodes in level.domains.items():
            name = object_name(level.name, domain)
            here.update(dict.fromkeys(nodes, name))
            parts = dict.fromkeys(below[one] for one in nodes) if below else nodes
            kind = "HyperNode" if below else "Node"
            members = [{"type": kind, "selector": {"exactMatch": {"name": part}}} for part in parts]
            spec: Object = {"tier": level.number, "members": members}
            if tier_names:
                spec["tierName"] = level.name
            api = "topology.volcano.sh/v1alpha1"
            found.append(custom(api, "HyperNode", name, VOLCANO, spec=spec))
        below = here
    return found


def _keys(facts: NetworkFacts, levels: Names) -> list[dict[str, str]]:
    """The labels of the levels, the widest first, each node's own at the end."""
    keys = [level_key(one) for one in reversed(_levels(facts, levels))]
    return [{"nodeLabel": key} for key in (*keys, HOSTNAME)]


def kueue(
    facts: NetworkFacts, *, levels: Names = None, name: str = "", version: str = "v1beta1"
) -> list[Object]:
    """Kueue's Topology and a ResourceFlavor on it, with the labels that they read.

    ``version`` of the API as the installed Kueue serves it (0.14: v1beta1). Raises FactsError.
    """
    name = _name(facts, name)
    api = f"kueue.x-k8s.io/{version}"
    topology = custom(api, "Topology", name, KUEUE, spec={"levels": _keys(facts, levels)})
    chosen = {MEMBER: label_value(facts.plan.topology)}
    spec = {"nodeLabels": chosen, "topologyName": name}
    flavor = custom(api, "ResourceFlavor", name, KUEUE, spec=spec)
    return [*node_labels(facts, levels=levels), topology, flavor]


def kai(facts: NetworkFacts, *, levels: Names = None, name: str = "") -> list[Object]:
    """KAI-Scheduler's Topology, with the labels that it reads. Raises FactsError."""
    spec = {"levels": _keys(facts, levels)}
    topology = custom("kai.scheduler/v1alpha1", "Topology", _name(facts, name), KAI, spec=spec)
    return [*node_labels(facts, levels=levels), topology]


def koordinator(
    facts: NetworkFacts, *, levels: Names = None, name: str = "default"
) -> list[Object]:
    """koordinator's ClusterNetworkTopology, with the labels that it reads. Raises FactsError."""
    found = list(reversed(_levels(facts, levels)))
    layers: list[Object] = []
    above = ""
    for level in found:
        layer = "".join(part.capitalize() for part in level.name.split("-")) + "Layer"
        entry: Object = {"topologyLayer": layer, "labelKey": [level_key(level)]}
        if above:
            entry["parentTopologyLayer"] = above
        layers.append(entry)
        above = layer
    layers.append({"topologyLayer": "NodeTopologyLayer", "parentTopologyLayer": above})
    api = "scheduling.koordinator.sh/v1alpha1"
    spec = {"networkTopologySpec": layers}
    topology = custom(api, "ClusterNetworkTopology", name, KOORDINATOR, spec=spec)
    return [*node_labels(facts, levels=levels), topology]
