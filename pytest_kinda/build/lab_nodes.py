"""The nodes of a lab, and the pods on them: objects of the API server and nothing else.

A node without addresses is none that the API server could ask for anything: exec and logs fail at
once. A pod without an address is never the endpoint of a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kinda.plan.values import NodePlan, Plan

Object = dict[str, Any]

MARK = "pytest-kinda/no-traffic"
"""The label of nodes that are only objects, with the value ``yes``."""
CPUS, MEMORY, PODS = 8, 32 * 2**30, 110
"""What a node has whose author declared nothing: cores, bytes, pods."""
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def node_objects(plan: Plan) -> list[Object]:
    """The nodes of a plan's cluster as their kubelets would register them, Ready."""
    alone = len(plan.kubernetes_nodes) == 1
    return [_node(one, alone) for one in plan.kubernetes_nodes]


def _node(planned: NodePlan, alone: bool) -> Object:
    spec = planned.kubernetes
    labels = {
        "kubernetes.io/hostname": planned.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        MARK: "yes",
    }
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

    ``now`` is a time as the API writes it. To be merged into the status as Kubernetes merges.
    """
    owners = pod["metadata"].get("ownerReferences") or ()
    ended = any(one["kind"] == "Job" for one in owners)
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
