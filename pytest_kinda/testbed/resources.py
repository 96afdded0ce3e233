"""Where the kinds of Kubernetes' own objects live in the API, by the names kubectl takes."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kinda.errors import ClusterError


@dataclass(frozen=True)
class Resource:
    """A kind: its API prefix, its plural, and whether its objects are in a namespace."""

    prefix: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of its list, or of one object."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *([name] if name else [])])


_CORE, _APPS, _BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"
_ALL = (
    Resource(_CORE, "pods", "Pod"),
    Resource(_CORE, "services", "Service"),
    Resource(_CORE, "endpoints", "Endpoints"),
    Resource(_CORE, "configmaps", "ConfigMap"),
    Resource(_CORE, "secrets", "Secret"),
    Resource(_CORE, "serviceaccounts", "ServiceAccount"),
    Resource(_CORE, "persistentvolumeclaims", "PersistentVolumeClaim"),
    Resource(_CORE, "events", "Event"),
    Resource(_CORE, "nodes", "Node", namespaced=False),
    Resource(_CORE, "namespaces", "Namespace", namespaced=False),
    Resource(_CORE, "persistentvolumes", "PersistentVolume", namespaced=False),
    Resource(_APPS, "deployments", "Deployment"),
    Resource(_APPS, "daemonsets", "DaemonSet"),
    Resource(_APPS, "statefulsets", "StatefulSet"),
    Resource(_APPS, "replicasets", "ReplicaSet"),
    Resource(_BATCH, "jobs", "Job"),
    Resource(_BATCH, "cronjobs", "CronJob"),
)
_SHORT = {"po": "pods", "svc": "services", "ep": "endpoints", "cm": "configmaps", "no": "nodes"}
_SHORT |= {"sa": "serviceaccounts", "ns": "namespaces", "deploy": "deployments", "ev": "events"}
_SHORT |= {"ds": "daemonsets", "sts": "statefulsets", "rs": "replicasets", "cj": "cronjobs"}
_SHORT |= {"pv": "persistentvolumes", "pvc": "persistentvolumeclaims"}


def resource(kind: str) -> Resource:
    """The resource of a kind, plural, singular or short name. Raises ClusterError."""
    name = kind.lower()
    name = _SHORT.get(name, name)
    for one in _ALL:
        if name in (one.plural, one.kind.lower()):
            return one
    raise ClusterError(
        f"kind {kind!r} is not known here; known are {', '.join(one.kind for one in _ALL)}",
        remedy="for kinds of your own use kinda.kubectl(...) or kinda.cluster.client",
    )
