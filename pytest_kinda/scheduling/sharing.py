"""What a scheduler under test can be foiled by, told as a sentence.

A custom resource that it needs and that is not there; another scheduler that places pods on the
same nodes, since each counts only what it has seen; nodes that hold more than they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from pytest_kinda.scheduling.choice import among
from pytest_kinda.scheduling.configuration import plugins_of
from pytest_kinda.scheduling.diktyo import GROUP_LABEL
from pytest_kinda.scheduling.extender import PROBE
from pytest_kinda.testbed.api import Api
from pytest_kinda.testbed.quantities import amount_of
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.waiting import placer_of

APP_GROUP = ("appgroup.diktyo.x-k8s.io/v1alpha1", "AppGroup", "appgroups")
NETWORK = ("networktopology.diktyo.x-k8s.io/v1alpha1", "NetworkTopology", "networktopologies")
_GANGS = "scheduling.x-k8s.io/v1alpha1"
# The plugins of scheduler-plugins v0.34.7, and the kinds without which they do not start.
_NEEDED = {
    "NetworkOverhead": (APP_GROUP, NETWORK),
    "TopologicalSort": (APP_GROUP,),
    "Coscheduling": ((_GANGS, "PodGroup", "podgroups"),),
    "CapacityScheduling": ((_GANGS, "ElasticQuota", "elasticquotas"),),
}
_CRASHES = "scheduler-plugins v0.34.7 crashes on it (a nil pointer in NetworkOverhead's PreFilter)"


def kinds_missing(api: Api, configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds that plugins of a configuration need and that the cluster does not serve."""
    missing: dict[str, None] = {}
    for plugin, _ in plugins_of(configuration):
        for version, kind, _ in _NEEDED.get(plugin, ()):
            if not _serves(api, version, kind):
                missing[f"plugin {plugin} needs the kind {kind} of {version}"] = None
    return tuple(missing)


def objects_missing(
    api: Api, configuration: Mapping[str, Any], names: Iterable[str]
) -> tuple[str, ...]:
    """The objects that pods made NetworkOverhead look for, and that are not there, as sentences.

    ``names`` are the scheduler's; only pods that wait for it count.
    """
    arguments = [args for name, args in plugins_of(configuration) if name == "NetworkOverhead"]
    waiting = [
        one
        for one in api.get(resource("pod").path())["items"]
        if one["spec"].get("schedulerName") in set(names)
        and not one["spec"].get("nodeName")
        and GROUP_LABEL in (one["metadata"].get("labels") or {})
    ]
    found = []
    for args in arguments if waiting else ():
        spaces = args.get("namespaces") or ["default"]
        topology = args.get("networkTopologyName") or "nt-default"
        wanted = [(NETWORK, topology, "the scheduler's configuration")]
        for pod in waiting:
            group = pod["metadata"]["labels"][GROUP_LABEL]
            wanted.append((APP_GROUP, group, f"pod {pod['metadata']['name']}"))
        for kind, name, who in wanted:
            if not any(_there(api, kind, space, name) for space in spaces):
                where = among(spaces)
                found.append(f"{who} names {kind[1]} {name}, which is not in {where}: {_CRASHES}")
    return tuple(dict.fromkeys(found))


def raced(events: Iterable[Mapping[str, Any]], names: Iterable[str], since: str) -> str:
    """Whether others have placed pods on the same nodes as these schedulers, as a sentence.

    By the events ``Scheduled``, those after ``since`` (a time as the API writes it). Empty where
    nobody else did. Probes do not count: they ask for nothing, and are gone.
    """
    mine: set[str] = set()
    others: dict[str, set[str]] = {}
    for one in events:
        node = str(one.get("message", "")).rpartition(" to ")[2].strip()
        pod = str((one.get("involvedObject") or {}).get("name", ""))
        when = one.get("eventTime") or one["metadata"].get("creationTimestamp")
        if str(when) < since or pod.startswith(PROBE_NAME):
            continue
        placer = placer_of(one)
        if placer in set(names):
            mine.add(node)
        else:
            others.setdefault(placer, set()).add(node)
    for placer, nodes in sorted(others.items()):
        if shared := sorted(mine & nodes):
            return (
                f"{among([*sorted(set(names)), placer])} have both placed pods on "
                f"{among(shared)}: neither sees what the other is about to place, so that both "
                "may use a node's last room (overcommit)"
            )
    return ""


PROBE_NAME = PROBE.replace("/", "-")


def overcommitted(
    nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]
) -> list[str]:
    """What nodes hold more of than they have, as sentences; from their JSON.

    A pod that its kubelet has sent away for want of room is told, too.
    """
    held: dict[tuple[str, str], Decimal] = {}
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        if str(status.get("reason", "")).startswith("OutOf"):
            name = pod["metadata"]["name"]
            found.append(
                f"{pod['spec'].get('nodeName')} had no room for pod {name}: {status['reason']}"
            )
        if not pod["spec"].get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            continue
        for name, amount in _requests(pod["spec"]):
            key = (pod["spec"]["nodeName"], name)
            held[key] = held.get(key, Decimal(0)) + amount
    for node in nodes:
        name = node["metadata"]["name"]
        for what, text in (node["status"].get("allocatable") or {}).items():
            there = held.get((name, what), Decimal(0))
            if there > (room := amount_of(text)):
                asked = f"{there.normalize():f} {what} of {room.normalize():f}"
                found.append(f"pods on {name} have requested {asked}")
    return found


def _requests(spec: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    for one in spec.get("containers") or ():
        for name, text in ((one.get("resources") or {}).get("requests") or {}).items():
            yield name, amount_of(text)


def _serves(api: Api, version: str, kind: str) -> bool:
    served = api.find(f"/apis/{version}")
    return served is not None and any(one["kind"] == kind for one in served["resources"])


def _there(api: Api, kind: tuple[str, str, str], space: str, name: str) -> bool:
    version, _, plural = kind
    return api.find(f"/apis/{version}/namespaces/{space}/{plural}/{name}") is not None
