"""NetworkTopology and AppGroup, which the NetworkOverhead scheduler plugin reads (Diktyo).

After the CRDs of scheduler-plugins, whose own example differs from them. In that plugin costs of
zones count within a region only, nodes of one zone cost 1 to each other whatever is published, and
a pod or scheduler that names an object which is not there crashes the scheduler: apply these first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling.labels import REGION, ZONE, Names, label_value, zones_of
from pytest_kinda.scheduling.objects import DIKTYO, Object, custom, node
from pytest_kinda.scheduling.wires import FREE

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

GROUP_LABEL = "appgroup.diktyo.x-k8s.io"
WORKLOAD_LABEL = "appgroup.diktyo.x-k8s.io.workload"
MOST = 10_000
"""The largest maxNetworkCost that the CRD accepts."""

Edge = tuple[str, str] | tuple[str, str, Mapping[str, Any]]


def network_topology(
    facts: NetworkFacts,
    *,
    zone: str,
    levels: Names = None,
    region: str = "",
    name: str = "",
    namespace: str = "default",
    weights: str = "UserDefined",
    merge: str = "",
) -> list[Object]:
    """The nodes' zone and region labels, and the NetworkTopology of what lies between zones.

    ``zone`` is ``"node"`` (a zone for each node: every cost is told) or a level's name. Nodes of
    two zones that cost differently are an error unless ``merge="max"`` tells the worst. Raises
    FactsError.
    """
    zones = {name: label_value(each) for name, each in zones_of(facts, zone, levels).items()}
    area = label_value(region or f"region-{facts.plan.topology}")
    name = name or facts.plan.topology.lower().replace("_", "-")
    if merge not in ("", "max"):
        raise FactsError(f"merge: found {merge!r}; expected 'max' or nothing")
    between = _between(facts, zones, merge)
    origins: list[Object] = []
    for origin in sorted(between):
        costs = [
            {"destination": other, "networkCost": cost, **_capacity(rate)}
            for other, (cost, rate) in sorted(between[origin].items())
        ]
        origins.append({"origin": origin, "costList": costs})
    spec = {
        "configmapName": "none",  # required, read by nobody where costs are given
        "weights": [
            {
                "name": weights,
                # the plugin searches by bisection: everything is in order of name
                "topologyList": [
                    {"topologyKey": REGION, "originList": [{"origin": area, "costList": []}]},
                    {"topologyKey": ZONE, "originList": origins},
                ],
            }
        ],
    }
    labelled = [node(one, {REGION: area, ZONE: zones[one]}) for one in facts.nodes]
    api = "networktopology.diktyo.x-k8s.io/v1alpha1"
    return [*labelled, custom(api, "NetworkTopology", name, DIKTYO, namespace, spec=spec)]


def _capacity(rate: int) -> dict[str, str]:
    return {"bandwidthCapacity": str(rate)} if rate < FREE else {}


def _between(
    facts: NetworkFacts, zones: Mapping[str, str], merge: str
) -> dict[str, dict[str, tuple[int, int]]]:
    """Cost and bottleneck rate from zone to zone."""
    found: dict[str, dict[str, tuple[int, int]]] = {one: {} for one in zones.values()}
    for number, source in enumerate(facts.nodes):
        costs, rates = facts.costs(source), facts.rows[number].rate
        known = found[zones[source]]
        for at, target in enumerate(facts.nodes):
            zone = zones[target]
            if zone == zones[source]:
                continue
            cost, rate = costs[at], rates[at]
            old = known.get(zone)
            if old is None:
                known[zone] = (cost, rate)
            elif old != (cost, rate):
                if old[0] != cost and not merge:
                    raise FactsError(
                        f"from {zones[source]} to {zone} costs differ: {source} to {target} is "
                        f"{cost}, another pair {old[0]}",
                        remedy="zone='node' tells every cost, merge='max' the worst of each zone",
                    )
                known[zone] = (max(cost, old[0]), min(rate, old[1]))
    return found


def app_group(
    name: str,
    edges: Iterable[Edge],
    *,
    namespace: str = "default",
    kind: str = "Deployment",
    api_version: str = "apps/v1",
    algorithm: str = "ReverseKahn",
) -> Object:
    """An AppGroup with the order of its workloads in its status, which no controller is needed for.

    ``edges`` are (workload, the one that it depends on), with what it asks for as a third part:
    ``{"max_cost": 100, "bandwidth": "10M"}``; without ``max_cost`` any cost will do. A dependency
    counts one way: costs are seen by the pod that comes after the one that it depends on. So the
    default order, ``ReverseKahn``, begins with those that depend on nothing; ``KahnSort`` begins
    with those that nobody depends on.
    Raises FactsError for dependencies in a circle. Example::

        app_group("shop", [("web", "cart"), ("cart", "store", {"max_cost": 50})])
    """
    asked = [(one[0], one[1], one[2] if len(one) == 3 else {}) for one in edges]
    names = list(dict.fromkeys(end for one in asked for end in one[:2]))
    if not names:
        raise FactsError("app_group: found no edge; expected (workload, the one it depends on)")
    orders = {"KahnSort": False, "ReverseKahn": True}
    if algorithm not in orders:
        raise FactsError(f"algorithm: found {algorithm!r}; expected {', '.join(orders)}")
    order = _kahn(names, [one[:2] for one in asked])
    if orders[algorithm]:
        order.reverse()

    def workload(one: str) -> Object:
        return {
            "kind": kind,
            "apiVersion": api_version,
            "namespace": namespace,
            "name": one,
            "selector": one,
        }

    workloads: list[Object] = []
    for one in names:
        needs = [
            {"workload": workload(other), **_asked(one, other, wish)}
            for source, other, wish in asked
            if source == one
        ]
        workloads.append({"workload": workload(one), **({"dependencies": needs} if needs else {})})
    spec = {
        "numMembers": len(names),
        "topologySortingAlgorithm": algorithm,
        "workloads": workloads,
    }
    places = {one: place for place, one in enumerate(order, 1)}
    # by selector: the plugin finds a workload by bisection
    listed = [{"workload": workload(one), "index": places[one]} for one in sorted(names)]
    api = "appgroup.diktyo.x-k8s.io/v1alpha1"
    return custom(
        api, "AppGroup", name, DIKTYO, namespace, spec=spec, status={"topologyOrder": listed}
    )


def pod_labels(group: str, workload: str) -> dict[str, str]:
    """The labels by which a pod belongs to a workload of an AppGroup."""
    return {GROUP_LABEL: group, WORKLOAD_LABEL: workload}


def _asked(one: str, other: str, wish: Mapping[str, Any]) -> Object:
    unknown = {*wish} - {"max_cost", "bandwidth"}
    if unknown:
        raise FactsError(
            f"edge {one} to {other}: found {sorted(unknown)}; expected max_cost, bandwidth"
        )
    # left out, the plugin takes it as 0, and every other node violates that
    found: Object = {"maxNetworkCost": MOST}
    if "max_cost" in wish:
        if not 0 <= int(wish["max_cost"]) <= MOST:
            raise FactsError(
                f"edge {one} to {other}: found max_cost {wish['max_cost']}; expected 0 to {MOST}, "
                "as the CRD does",
                remedy="a larger unit makes costs smaller: network_facts(unit=...)",
            )
        found["maxNetworkCost"] = int(wish["max_cost"])
    if "bandwidth" in wish:
        found["minBandwidth"] = wish["bandwidth"]
    return found


def _kahn(names: Sequence[str], edges: Sequence[Sequence[str]]) -> list[str]:
    """Kahn's topological order: workloads before those that they depend on."""
    waiting = {name: sum(edge[1] == name for edge in edges) for name in names}
    order: list[str] = []
    while waiting:
        free = [name for name, count in waiting.items() if not count]
        if not free:
            raise FactsError(
                f"app_group: the dependencies of {', '.join(waiting)} are a circle; expected an "
                "order in which each comes after those that it depends on"
            )
        name = free[0]
        del waiting[name]
        order.append(name)
        for source, other in edges:
            if source == name:
                waiting[other] -= 1
    return order
