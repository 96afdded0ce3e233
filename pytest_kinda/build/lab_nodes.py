"""Nodes that are only objects of an API server, and the pods on them: a lab's, simulated ones.

A node without addresses is none that the API server could ask for anything: exec and logs fail at
once. A pod without an address is never the endpoint of a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kinda.plan.values import NodePlan, Plan

Object = dict[str, Any]

MARK = "pytest-kinda/no-traffic"
"""The label of nodes that are only objects, with the value ``yes``; where others are beside them,
the key of a taint that keeps away what does not tolerate it."""
GROUP = "pytest-kinda/simulated"
"""The label of simulated nodes and their leases; its value is the name of their group."""
STAYS = "pytest-kinda/stays"
"""The annotation, with any value, of pods that run on although they are those of a job."""
CPUS, MEMORY, PODS = 8, 32 * 2**30, 110
"""What a node has whose author declared nothing: cores, bytes, pods."""
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def node_objects(plan: Plan) -> list[Object]:
    """The nodes of a plan's cluster as their kubelets would register them, Ready."""
    alone = len(plan.kubernetes_nodes) == 1
    return [node_object(one, alone=alone) for one in plan.kubernetes_nodes]


def node_object(planned: NodePlan, *, alone: bool = False) -> Object:
    """A node as its kubelet would register it, Ready; ``alone``: there is no other."""
    spec = planned.kubernetes
    labels = {
        "kubernetes.io/hostname": planned.name,
        MARK: "yes",
    }
    for prefix in ("kubernetes.io", "beta.kubernetes.io"):  # what has only one is given the other
        labels |= {f"{prefix}/os": "linux", f"{prefix}/arch": "amd64"}
    taints = [_taint(one) for one in (spec.taints if spec else ())]
    if planned.role == "control-plane":
        labels[_CONTROL_PLANE] = ""
        if not alone:  # as kind does: pods must have somewhere to go
            taints.append({"key": _CONTROL_PLANE, "effect": "NoSchedule"})
    labels.update(spec.labels if spec else {})
    cpus = spec.cpus if spec and spec.cpus is not None else CPUS
    memory = spec.memory if spec and spec.memory is not None else MEMORY
    amounts = {"cpu": f"{round(cpus * 1000)}m", "memory": str(int(memory)), "pods": str(PODS)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": planned.name, "labels": labels},
        "spec": {
            "taints": taints,
            **({"podCIDRs": list(planned.pod_cidrs)} if planned.pod_cidrs else {}),
            **({"podCIDR": planned.pod_cidrs[0]} if planned.pod_cidrs else {}),
        },
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "NoTraffic",
                    "message": "it is only an object: nothing runs on it",
                }
            ],
        },
    }


def _taint(text: str) -> Object:
    """A taint as it is declared, ``KEY[=VALUE]:EFFECT``.

    >>> _taint("slow=true:NoSchedule")
    {'key': 'slow', 'value': 'true', 'effect': 'NoSchedule'}
    """
    name, _, effect = text.rpartition(":")
    key, _, value = name.partition("=")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def pod_status(pod: Mapping[str, Any], now: str) -> Object:
    """What a kubelet would say of a pod whose containers all run; those of a job have ended well.

    (Unless they have the annotation ``STAYS``.) ``now`` is a time as the API writes it. To be
    merged into the status as Kubernetes merges.
    """
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or ()
    stays = STAYS in (metadata.get("annotations") or {})
    ended = not stays and any(one["kind"] == "Job" for one in owners)
    ready = "False" if ended else "True"
    state: Object = {"running": {"startedAt": now}}
    if ended:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}}
    words = {"Initialized": "True", "Ready": ready, "ContainersReady": ready}
    return {
        "phase": "Succeeded" if ended else "Running",
        "startTime": now,
        "conditions": [
            {"type": name, "status": status, "lastTransitionTime": now}
            for name, status in words.items()
        ],
        "containerStatuses": [
            {
                "name": one["name"],
                "image": one.get("image", ""),
                "imageID": "",
                "ready": not ended,
                "started": not ended,
                "restartCount": 0,
                "state": state,
            }
            for one in pod["spec"]["containers"]
        ],
    }
