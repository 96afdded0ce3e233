"""A faster start: what kubeadm would wait for is made beforehand and mounted into the nodes.

``kubeadm join`` waits in steps of 5 s for a signed cluster-info, then for a certificate of its
kubelet, and the control plane's pods are looked at each 10 s only. With a certificate authority
made before the first node starts, nodes find the cluster by a file and workers' kubelets have their
credentials; patches of kubeadm's own let the probes look each second. Everything is a mount, so
that it is there before anything in the node runs.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_kinda.build.balancer import endpoint
from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import Plan
from pytest_kinda.setup.images import image

STEP = "kubeadm files"
_LIMIT = 60.0
_API = "kubeadm.k8s.io/v1beta4"
_PATCHES = "/kind/kinda-patches"
_DISCOVERY = "/kind/kinda-discovery.conf"
_TOKEN = "abcdef.0123456789abcdef"

_SCRIPT = """
set -eu
cd /kinda
exec 2> kubeadm.log
sed "s/@VERSION@/$(cat /kind/version)/" template.yaml > cluster.yaml
kubeadm init phase certs ca --config cluster.yaml > /dev/null
for name in "$@"; do
  kubeadm kubeconfig user --config cluster.yaml --org system:nodes \
    --client-name "system:node:$name" > "$name.conf"
  test -s "$name.conf"
done
"""


def prepare(plan: Plan, cluster: str, directory: Path, label: Mapping[str, str]) -> None:
    """Make the files in ``directory``: patches, authority, and credentials of every worker.

    They are made by the node image's own kubeadm, in a container with that label which is gone
    again when this returns. Raises BuildError with what kubeadm said, HostError.
    """
    for one in (directory, directory / "pki", directory / "patches"):
        one.mkdir(mode=0o700)
    for name, patch in patches().items():
        (directory / "patches" / f"{name}+strategic.json").write_text(json.dumps(patch))
    documents = (
        {
            "kind": "ClusterConfiguration",
            "clusterName": cluster,
            "certificatesDir": "/kinda/pki",
            "controlPlaneEndpoint": endpoint(plan, cluster),
            "encryptionAlgorithm": "ECDSA-P256",
            # named, else kubeadm asks the internet for the newest
            "kubernetesVersion": "@VERSION@",
        },
        # named, else kubeadm takes the default route's, which the container has not
        {"kind": "InitConfiguration", "localAPIEndpoint": {"advertiseAddress": "192.0.2.1"}},
    )
    (directory / "template.yaml").write_text(
        "\n---\n".join(json.dumps({"apiVersion": _API, **one}) for one in documents)
    )
    workers = _workers(plan)
    status = _run_once(
        {
            "Image": image("node"),
            "Entrypoint": ["/bin/sh", "-c", _SCRIPT, "prepare", *workers],
            "Cmd": [],
            "Labels": dict(label),
            "HostConfig": {"NetworkMode": "none", "Binds": [f"{directory}:/kinda"]},
        }
    )
    if status != 0:
        said = (directory / "kubeadm.log").read_text(errors="replace").strip().splitlines()
        raise BuildError(STEP, f"kubeadm ended with status {status}: {' / '.join(said[-3:])}")
    authority = (directory / "pki" / "ca.crt").read_bytes()
    for name in ("pki/ca.key", *(f"{one}.conf" for one in workers)):
        if not (directory / name).stat().st_size:
            raise BuildError(STEP, f"kubeadm wrote nothing to {name}")
    (directory / "discovery.conf").write_text(
        json.dumps(discovery(endpoint(plan, cluster), authority))
    )


def speed_up(configuration: Mapping[str, Any], plan: Plan, directory: Path) -> dict[str, Any]:
    """A kind configuration with the files of ``prepare`` mounted and named.

    Patches that were there come later, so that an author's own win.
    """
    found: dict[str, Any] = copy.deepcopy(dict(configuration))
    # Nobody needs a test cluster's data after a power cut, and each fsync delays the start.
    etcd = {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}}
    _patch(found, {"kind": "ClusterConfiguration", "etcd": etcd})
    first = plan.control_planes[0].name
    for config, node in zip(found["nodes"], plan.kubernetes_nodes, strict=True):
        mounts = {}
        if node.role == "control-plane":
            kind = "InitConfiguration" if node.name == first else "JoinConfiguration"
            _patch(config, {"kind": kind, "patches": {"directory": _PATCHES}})
            mounts["patches"] = _PATCHES
        if node.name == first:
            # kind copies it to the other control planes
            mounts["pki/ca.crt"] = "/etc/kubernetes/pki/ca.crt"
            mounts["pki/ca.key"] = "/etc/kubernetes/pki/ca.key"
        else:
            # null takes kind's own way of discovery out
            way = {"bootstrapToken": None, "file": {"kubeConfigPath": _DISCOVERY}}
            discovery = {**way, "tlsBootstrapToken": _TOKEN}
            _patch(config, {"kind": "JoinConfiguration", "discovery": discovery})
            mounts["discovery.conf"] = _DISCOVERY
        if node.role == "worker":
            # a control plane's kubelet talks to its own API server, as kubeadm makes it
            mounts[f"{node.name}.conf"] = "/etc/kubernetes/kubelet.conf"
        config["extraMounts"] = [
            *config.get("extraMounts", ()),
            *(
                {"hostPath": str(directory / name), "containerPath": target, "readOnly": True}
                for name, target in mounts.items()
            ),
        ]
    return found


def patches() -> dict[str, Any]:
    """Patches by kubeadm's names of what they change: probes that look each second.

    A start-up probe of kubeadm's has 24 tries of 10 s; the time in all stays.
    """
    start = {"initialDelaySeconds": 0, "periodSeconds": 1, "failureThreshold": 240}
    found: dict[str, Any] = {
        name: {"spec": {"containers": [{"name": name, "startupProbe": start}]}}
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    coredns = {"name": "coredns", "readinessProbe": {"periodSeconds": 1}}
    found["corednsdeployment"] = {"spec": {"template": {"spec": {"containers": [coredns]}}}}
    return found


def discovery(where: str, authority: bytes) -> dict[str, Any]:
    """A kubeconfig that says where the cluster is and who vouches for it, and nothing more.

    ``where`` is a host and port.
    """
    place = {
        "server": f"https://{where}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": place}],
        "contexts": [],
        "users": [],
    }


def _workers(plan: Plan) -> list[str]:
    return [one.name for one in plan.kubernetes_nodes if one.role == "worker"]


def _patch(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    # JSON is YAML too, and kind asks for YAML.
    target["kubeadmConfigPatches"] = [json.dumps(patch), *target.get("kubeadmConfigPatches", ())]


def _run_once(container: Mapping[str, Any]) -> int:
    """Run a container to its end and remove it; its exit status. Raises HostError."""
    made = docker_request("POST", "/containers/create", container)["Id"]
    try:
        docker_request("POST", f"/containers/{made}/start")
        return int(docker_request("POST", f"/containers/{made}/wait", timeout=_LIMIT)["StatusCode"])
    finally:
        docker_request("DELETE", f"/containers/{made}?force=1&v=1")
