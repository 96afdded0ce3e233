"""What state an object of the cluster is in, in words; when it has what is waited for.

Pure functions of the object's JSON: waits, their errors and the terminal say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Object = Mapping[str, Any]
Condition = str | Callable[[Object], bool]

# Waiting reasons that no patience cures (image pulls are never retried into existence offline).
HOPELESS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
        "StartError",
    }
)


def conditions(item: Object) -> dict[str, str]:
    """The status of each condition by its type."""
    found = (item.get("status") or {}).get("conditions") or ()
    return {one["type"]: one.get("status", "Unknown") for one in found}


def _container_states(item: Object) -> list[tuple[str, str, Object]]:
    status = item.get("status") or {}
    found = []
    for kind in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(kind) or ():
            for state, detail in (one.get("state") or {}).items():
                found.append((one["name"], state, detail or {}))
    return found


def describe(item: Object) -> str:
    """The state of an object in one line."""
    if (item.get("metadata") or {}).get("deletionTimestamp"):
        return "being deleted"
    kind = str(item.get("kind", ""))
    status = item.get("status") or {}
    if kind == "Pod":
        return _describe_pod(item, status)
    if kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        wanted = (item.get("spec") or {}).get("replicas", 1)
        return f"{status.get('readyReplicas', 0)} of {wanted} replicas ready"
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", "?")
        return f"{status.get('numberReady', 0)} of {wanted} ready"
    if kind == "Job":
        counts = [f"{status.get(name, 0)} {name}" for name in ("active", "succeeded", "failed")]
        return ", ".join(counts)
    found = [f"{name}={value}" for name, value in conditions(item).items()]
    return ", ".join([*([str(status["phase"])] if "phase" in status else []), *found]) or "exists"


def _describe_pod(item: Object, status: Object) -> str:
    parts = [str(status.get("phase", "Pending"))]
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("status") == "False":
            parts.append(f"not scheduled: {one.get('message', one.get('reason', ''))}")
    for name, state, detail in _container_states(item):
        if state == "running":
            continue
        words = [f"{name} {detail.get('reason', state)}"]
        if "exitCode" in detail:
            words.append(f"status {detail['exitCode']}")
        if message := str(detail.get("message", "")).strip():
            words.append(message[:200])
        parts.append(": ".join([words[0], *words[1:]]))
    if parts == ["Running"]:
        parts.append("ready" if conditions(item).get("Ready") == "True" else "not ready")
    return ", ".join(parts)


def unseen(item: Object) -> bool:
    """Whether a pod waits for a node and no scheduler has said anything of it.

    One whose ``schedulerName`` nobody runs stays so, without an event and without a condition.
    """
    spec = item.get("spec") or {}
    return bool(
        spec.get("schedulerName")
        and not spec.get("nodeName")
        and "PodScheduled" not in conditions(item)
    )


def fulfils(item: Object, condition: Condition) -> bool:
    """Whether an object has a condition: a function of it, a condition's type, or a phase.

    ``Ready`` of a Deployment, DaemonSet, StatefulSet or ReplicaSet means that all its pods are.
    """
    if callable(condition):
        return bool(condition(item))
    kind, status = str(item.get("kind", "")), item.get("status") or {}
    name = condition[:1].upper() + condition[1:]
    if name == "Exists":
        return True
    if name == "Ready" and kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        generation = (item.get("metadata") or {}).get("generation", 0)
        wanted = (item.get("spec") or {}).get("replicas", 1)
        seen = status.get("observedGeneration", 0) >= generation
        ready = bool(status.get("readyReplicas", 0) == wanted)
        updated = kind == "ReplicaSet" or status.get("updatedReplicas", 0) == wanted
        return seen and ready and updated
    if name == "Ready" and kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(wanted and status.get("numberReady", 0) == wanted)
    return conditions(item).get(name) == "True" or status.get("phase") == name


def hopeless(item: Object, condition: Condition) -> str:
    """Why an object will never have the condition, or an empty string while it may."""
    if callable(condition):
        return ""
    name, kind = condition.lower(), item.get("kind")
    status = item.get("status") or {}
    if kind == "Job" and name == "complete" and conditions(item).get("Failed") == "True":
        return describe(item)
    if kind != "Pod" or name in ("exists", "failed"):
        return ""
    phase = status.get("phase")
    if phase == "Failed" or (phase == "Succeeded" and name in ("ready", "running")):
        return describe(item)
    for _, state, detail in _container_states(item):
        if state == "waiting" and detail.get("reason") in HOPELESS:
            return describe(item)
        if state == "waiting" and detail.get("reason") == "CrashLoopBackOff" and name == "ready":
            return describe(item)
    return ""
