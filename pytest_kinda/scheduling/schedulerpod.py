"""What a scheduler that runs as a pod needs in the cluster, as plain objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kinda.scheduling.choice import Choice
from pytest_kinda.scheduling.configuration import arguments_of, mount

SYSTEM = "kube-system"
_MOUNT = "/etc/kinda"
_RBAC = "rbac.authorization.k8s.io/v1"


def pod_objects(
    name: str,
    configuration: Mapping[str, Any],
    *,
    image: str,
    argv: Sequence[str],
    flags: Sequence[str] = (),
    node: str,
    binary: str = "",
    host_network: bool = False,
) -> list[dict[str, Any]]:
    """What a scheduler's pod needs, and the pod: account, roles, configuration.

    The roles are those of kube-scheduler itself. ``binary`` is a program of the node that runs.
    Of grace it has none: it is gone at once.
    """
    inside = {"name": name, "namespace": SYSTEM}
    account = {"kind": "ServiceAccount", **inside}
    file = f"{_MOUNT}/scheduler.json"
    container: dict[str, Any] = {
        "name": "scheduler",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": arguments_of((binary,) if binary else argv, file, "", flags),
        "volumeMounts": [{"name": "config", "mountPath": _MOUNT, "readOnly": True}],
    }
    spec: dict[str, Any] = {
        "nodeName": node,
        "serviceAccountName": name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    if binary:
        mount(spec, container, "binary", binary)
    if host_network:
        spec["hostNetwork"] = True
    data = {"scheduler.json": json.dumps(configuration, indent=1)}
    labels = {"app": name, "pytest-kinda/scheduler": "yes"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": inside},
        *(_binding(f"{name}-{role}", "ClusterRole", f"system:{role}", account)
          for role in ("kube-scheduler", "volume-scheduler")),
        _binding(name, "Role", "extension-apiserver-authentication-reader", account),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": inside, "data": data},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**inside, "labels": labels}, "spec": spec},
    ]  # fmt: skip


def rule_objects(choice: Choice, rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A role with further rules, for whoever the scheduler is to the API server."""
    name = f"{object_name(choice.name)}-more"
    if choice.mode == "second":
        subject = {"kind": "ServiceAccount", "name": object_name(choice.name), "namespace": SYSTEM}
    else:
        subject = {"kind": "User", "name": "system:kube-scheduler"}
    role = {
        "apiVersion": _RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [dict(one) for one in rules],
    }
    return [role, _binding(name, "ClusterRole", name, subject)]


def _binding(name: str, kind: str, role: str, subject: Mapping[str, str]) -> dict[str, Any]:
    whole = kind == "ClusterRole"
    user = {"apiGroup": _RBAC.partition("/")[0]} if subject["kind"] == "User" else {}
    return {
        "apiVersion": _RBAC,
        "kind": f"{kind}Binding",
        "metadata": {"name": name} if whole else {"name": name, "namespace": SYSTEM},
        "roleRef": {"apiGroup": _RBAC.partition("/")[0], "kind": kind, "name": role},
        "subjects": [{**subject, **user}],
    }


def object_name(name: str) -> str:
    """A scheduler's name as objects and files may bear it."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40].strip("-") or "scheduler"
    return plain if plain.startswith("kinda-") else f"kinda-{plain}"
