"""The links as k8s-inc's Topology, for schedulers of in-network telemetry.

Its scheduler takes a tree whose leaves are the nodes of the cluster; links carry no rate or delay.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling.objects import UNCHECKED, Object, custom

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts


def inc_topology(
    facts: NetworkFacts, *, switches: Collection[str] = (), name: str = "cluster-topo"
) -> list[Object]:
    """The Topology ``default/cluster-topo`` of inc.kntp.com/v1alpha1.

    ``switches`` are the devices that run programs (``inc-switch``); other devices are ``net``,
    those beside the cluster that forward nothing ``external``. Raises FactsError where the links
    are no tree, or a switch is no device.
    """
    tree = facts.tree()
    kinds = {one.name: one for one in facts.plan.nodes}
    if unknown := [one for one in switches if one not in tree.neighbours]:
        raise FactsError(
            f"switches: found {', '.join(unknown)}; expected some of {', '.join(tree.neighbours)}"
        )
    graph = []
    for one, neighbours in tree.neighbours.items():
        if one in facts.planned:
            kind = "node"
        elif one in switches:
            kind = "inc-switch"
        elif one in kinds and len(neighbours) == 1:
            kind = "external"
        else:
            kind = "net"
        links = [{"peerName": other} for other in neighbours]
        graph.append({"type": kind, "name": one, "links": links})
    api = "inc.kntp.com/v1alpha1"
    return [custom(api, "Topology", name, UNCHECKED, "default", spec={"graph": graph})]
