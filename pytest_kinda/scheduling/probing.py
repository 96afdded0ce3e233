"""Pinned probes: why each node refuses a pod that fits nowhere, from an unmodified scheduler.

A scheduler counts the nodes of each reason and does not name them. A copy of the pod that may run
on one node only (node affinity to ``metadata.name``) makes it say why that node refuses it. Such a
probe is a pod: one that fits is bound. Hence only pods that fit nowhere are probed, the probes run
nothing of theirs, and are gone when the answers are there. They belong to the pod, so that no
controller adopts them, and ask for no more than the pod did, so that they can preempt nothing
which it could not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import PlacementError
from pytest_kinda.scheduling.explaining import Explanation, plugin_of, refusals_of, rejectors_of
from pytest_kinda.scheduling.records import ANNOTATION, Refusal
from pytest_kinda.testbed.resources import resource

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed

LABEL = "pytest-kinda/probes"
_GANGS = ("pod-group", "podgroup")  # in keys by which schedulers count pods together
_PODS = resource("pod")
_ELSEWHERE = "NodeAffinity"  # refuses all nodes that a probe is not pinned to
_LIMIT, _EACH = 15.0, 0.1  # seconds for all of them, and for each


def probed(
    testbed: Testbed,
    item: Mapping[str, Any],
    nodes: Iterable[str],
    found: Explanation,
    log: Callable[[], Iterable[str]],
) -> Explanation:
    """An explanation with what probes of a pod on these nodes were told.

    ``item`` is the pod's JSON, ``log`` reads the scheduler's. Raises PlacementError for a pod that
    must not be probed, ClusterError, WaitTimeoutError.
    """
    if why := unprobable(item):
        raise PlacementError(
            f"pod {item['metadata']['name']} is not probed: {why}",
            remedy="probe=True is for pods that fit nowhere; of others the scores tell",
        )
    run = uuid4().hex[:8]
    names = {f"kinda-probe-{run}-{at}": node for at, node in enumerate(nodes)}
    image = _image()
    with testbed.publish(
        [probe(item, name, run, node, image) for name, node in names.items()],
        f"probes of pod {item['metadata']['name']}",
    ):
        answers = _answers(testbed, item["metadata"]["namespace"], run, len(names))
        lines = list(log())
    refused, fits = {}, []
    for name, node in names.items():
        if node_of(answers[name]):
            fits.append(node)
        else:
            refused[node] = refusal_of(answers[name], lines)
    note = [found.note] if found.note else []
    if fits:
        note.append(f"there is room on {', '.join(fits)} now: the probe was placed there")
    return replace(
        found,
        refused=refused,
        note="; ".join(note),
        sources=(*found.sources, f"pinned probes of {len(names)} nodes"),
    )


def unprobable(item: Mapping[str, Any]) -> str:
    """Why a pod must not be probed, in words; empty if it may.

    >>> unprobable({"metadata": {}, "spec": {"nodeName": "w1"}})
    'it is on w1'
    """
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    if node := node_of(item):
        return f"it is on {node}"
    if nominated := status.get("nominatedNodeName"):
        return f"room is being made for it on {nominated}"
    scheduled = _condition(item)
    if scheduled.get("reason") != "Unschedulable":
        return f"no scheduler has refused it ({scheduled.get('reason') or 'not looked at yet'})"
    counted = [
        key
        for key in (*(metadata.get("labels") or {}), *(metadata.get("annotations") or {}))
        if any(word in key.lower() for word in _GANGS)
    ]
    if counted:
        return f"its probes would be counted with it ({counted[0]})"
    claims = [one for one in spec.get("volumes") or () if "persistentVolumeClaim" in one]
    if claims or spec.get("resourceClaims"):
        return "a probe that fits would bind its claims"
    return ""


def probe(item: Mapping[str, Any], name: str, run: str, node: str, image: str) -> dict[str, Any]:
    """A copy of a pod for one node, which runs nothing of it."""
    metadata, spec = item["metadata"], copy.deepcopy(dict(item["spec"]))
    for key in ("priority", "preemptionPolicy"):
        spec.pop(key, None)  # the server sets them by the class of priority
    spec["containers"] = [_idle(one, image, "sleep", "infinity") for one in spec["containers"]]
    if first := spec.get("initContainers"):
        spec["initContainers"] = [_idle(one, image, "true") for one in first]
    spec["terminationGracePeriodSeconds"] = 0
    affinity = spec["affinity"] = dict(spec.get("affinity") or {})
    wanted = affinity["nodeAffinity"] = dict(affinity.get("nodeAffinity") or {})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    # terms are alternatives: each of them is pinned
    terms = (wanted.get(key) or {}).get("nodeSelectorTerms") or [{}]
    pin = {"key": "metadata.name", "operator": "In", "values": [node]}
    wanted[key] = {
        "nodeSelectorTerms": [
            {**one, "matchFields": [*(one.get("matchFields") or ()), pin]} for one in terms
        ]
    }
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != ANNOTATION
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), LABEL: run},
            "annotations": annotations,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": spec,
    }


def refusal_of(item: Mapping[str, Any], lines: Iterable[str] = ()) -> Refusal:
    """What the one node said that a probe is pinned to.

    All others are refused by the node affinity, as a plugin by its name; several reasons of one
    node are one refusal. Where they name no plugin, the one that is left of those in the
    scheduler's log is it, else none.
    """
    message = str(_condition(item).get("message") or "")
    mine = [one for one in refusals_of(message) if not _elsewhere(one.reason)]
    reason = ", ".join(one.reason for one in mine)
    if not mine:
        reason = message.partition(" nodes are available: ")[2] or message
    plugins = {one.plugin for one in mine} or {plugin_of(reason)}
    if plugins == {""}:
        metadata = item["metadata"]
        logged = rejectors_of(f"{metadata['namespace']}/{metadata['name']}", lines)
        plugins = {*logged} - {_ELSEWHERE}
    return Refusal(1, reason, plugins.pop() if len(plugins) == 1 else "")


def node_of(item: Mapping[str, Any]) -> str:
    """The node that a pod is on; empty for none."""
    return str(item["spec"].get("nodeName") or "")


def _elsewhere(reason: str) -> bool:
    return "plugin(s)" in reason and f"[{_ELSEWHERE}]" in reason


def _condition(item: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "PodScheduled"), {})


def _idle(container: Mapping[str, Any], image: str, *command: str) -> dict[str, Any]:
    """A container that asks for the same and does nothing."""
    kept = ("name", "resources", "ports", "restartPolicy")
    found = {key: container[key] for key in kept if key in container}
    return {**found, "image": image, "imagePullPolicy": "IfNotPresent", "command": list(command)}


def _image() -> str:
    from pytest_kinda.setup import image

    return image("tools")


def _answers(testbed: Testbed, namespace: str, run: str, count: int) -> dict[str, Any]:
    """The probes by name, once a scheduler has said of each where it is or why it is nowhere."""
    answers: dict[str, Any] = {}
    api = testbed.cluster.api

    def open_ones() -> str:
        api.sound_alarms()
        listed = api.get(_PODS.path(namespace), {"labelSelector": f"{LABEL}={run}"})["items"]
        answers.update({one["metadata"]["name"]: one for one in listed})
        left = count - sum(
            bool(node_of(one)) or _condition(one).get("status") == "False" for one in listed
        )
        return f"{left} of {count} probes are not answered" if left else ""

    wait_until(open_ones, "what the scheduler says of probes", limit=_LIMIT + _EACH * count)
    return answers
