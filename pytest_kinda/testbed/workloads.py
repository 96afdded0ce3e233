"""Bodies of the pods, jobs, deployments and services that the cluster's handles make.

Grace period 0 everywhere: what a test leaves is gone at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

Body = dict[str, Any]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Body:
    """``base`` with ``over`` put in: objects are merged, everything else is replaced."""
    found = dict(base)
    for key, value in over.items():
        old = found.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        found[key] = value
    return found


def _container(
    name: str,
    image: str,
    command: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
    ports: Sequence[int],
    privileged: bool,
    requests: Mapping[str, str] = MappingProxyType({}),
) -> Body:
    body: Body = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent"}
    if command:
        body["command"] = list(command)
    if args:
        body["args"] = list(args)
    if env:
        body["env"] = [{"name": key, "value": value} for key, value in env.items()]
    if ports:
        body["ports"] = [{"containerPort": port} for port in ports]
        body["readinessProbe"] = {
            "tcpSocket": {"port": ports[0]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
    if privileged:
        body["securityContext"] = {"privileged": True}
    if requests:
        body["resources"] = {"requests": dict(requests)}
        # extended resources cannot be overcommitted: the API wants their limits, and equal ones
        extended = {name: value for name, value in requests.items() if "/" in name}
        if extended:
            body["resources"]["limits"] = extended
    return body


def _spec(container: Body, node: str | None, host_network: bool) -> Body:
    spec: Body = {"containers": [container], "terminationGracePeriodSeconds": 0}
    # Names of other services as variables grow with every service and break some programs.
    spec["enableServiceLinks"] = False
    if node is not None:
        spec["nodeName"] = node
        spec["tolerations"] = [{"operator": "Exists"}]
    if host_network:
        spec["hostNetwork"] = True
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    return spec


def pod(
    name: str,
    image: str,
    *,
    node: str | None,
    command: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
    labels: Mapping[str, str],
    ports: Sequence[int],
    host_network: bool,
    privileged: bool,
    spec: Mapping[str, Any],
    requests: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> Body:
    """A pod of one container, which has the pod's name and the label ``app``."""
    container = _container("main", image, command, args, env, ports, privileged, requests)
    wanted = merge({"restartPolicy": "Never", **_spec(container, node, host_network)}, spec)
    metadata: Body = {"name": name, "labels": {"app": name, **labels}}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": wanted}


def job(
    name: str,
    image: str,
    *,
    node: str | None,
    command: Sequence[str],
    env: Mapping[str, str],
    completions: int,
    parallelism: int,
) -> Body:
    """A job whose pods are not tried again."""
    container = _container("main", image, command, (), env, (), False)
    spec = {"restartPolicy": "Never", **_spec(container, node, False)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "backoffLimit": 0,
            "completions": completions,
            "parallelism": parallelism,
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def deployment(
    name: str,
    image: str,
    *,
    replicas: int,
    command: Sequence[str],
    env: Mapping[str, str],
    ports: Sequence[int],
    spread: bool,
    spec: Mapping[str, Any],
) -> Body:
    """A deployment; ``spread`` refuses two of its pods on one node."""
    container = _container("main", image, command, (), env, ports, False)
    wanted = _spec(container, None, False)
    if spread:
        term = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": name}},
        }
        wanted["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": merge(wanted, spec)},
        },
    }


def service(
    name: str,
    port: int,
    target_port: int,
    protocol: str,
    selector: Mapping[str, str],
    kind: str,
    policy: str = "PreferDualStack",
) -> Body:
    """A service; ``kind`` ``None`` is a headless one, ``policy`` its ``ipFamilyPolicy``."""
    entry = {"port": port, "targetPort": target_port, "protocol": protocol.upper()}
    spec: Body = {"selector": dict(selector), "ports": [entry], "ipFamilyPolicy": policy}
    if kind == "None":
        spec["clusterIP"] = "None"
    else:
        spec["type"] = kind
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def has_endpoint(item: Mapping[str, Any]) -> bool:
    """Whether an Endpoints object has a ready address."""
    return any(subset.get("addresses") for subset in item.get("subsets") or ())
