"""What is mounted into nodes so that kubeadm waits less, and what stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_kinda.build.kubeadm import applies_to, discovery, patches, speed_up
from pytest_kinda.plan.values import NodePlan, Plan, PlanOptions

NODES = (NodePlan("c1", "c", "control-plane", "c1"), NodePlan("w1", "w", "worker", "w1"))
PLAN = Plan("t", "s", PlanOptions(), NODES, (), ())
OWN = {"hostPath": "/data", "containerPath": "/data"}
CONFIGURATION: dict[str, Any] = {
    "nodes": [
        {"role": "control-plane", "kubeadmConfigPatches": ["kind: InitConfiguration"]},
        {"role": "worker", "extraMounts": [OWN]},
    ]
}


def mounts(node: Any) -> dict[str, str]:
    return {one["containerPath"]: one["hostPath"] for one in node["extraMounts"]}


def test_workers_find_the_cluster_by_a_file_and_have_their_credentials() -> None:
    _, worker = speed_up(CONFIGURATION, PLAN, Path("/t"))["nodes"]
    patch = json.loads(worker["kubeadmConfigPatches"][0])
    assert patch["kind"] == "JoinConfiguration"
    assert patch["discovery"]["bootstrapToken"] is None
    found = mounts(worker)
    assert found[patch["discovery"]["file"]["kubeConfigPath"]] == "/t/discovery.conf"
    assert found["/etc/kubernetes/kubelet.conf"] == "/t/w1.conf"
    assert found["/data"] == "/data"


def test_no_worker_gets_the_authoritys_key() -> None:
    control, worker = speed_up(CONFIGURATION, PLAN, Path("/t"))["nodes"]
    assert "/t/pki/ca.key" in mounts(control).values()
    assert "/t/pki/ca.key" not in mounts(worker).values()


def test_patches_of_others_come_later_and_the_given_stays() -> None:
    before = json.dumps(CONFIGURATION)
    control, _ = speed_up(CONFIGURATION, PLAN, Path("/t"))["nodes"]
    assert control["kubeadmConfigPatches"][-1] == "kind: InitConfiguration"
    assert json.dumps(CONFIGURATION) == before


def test_probes_have_as_much_time_as_before() -> None:
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        probe = patches()[name]["spec"]["containers"][0]["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] == 24 * 10


def test_discovery_holds_no_credentials() -> None:
    found = discovery("kinda-1", b"authority")
    assert found["users"] == []
    assert found["clusters"][0]["cluster"]["server"] == "https://kinda-1-control-plane:6443"


def test_several_control_planes_are_left_to_kind() -> None:
    second = NodePlan("c2", "c", "control-plane", "c2")
    assert applies_to(PLAN)
    assert not applies_to(Plan("t", "s", PlanOptions(), (*NODES, second), (), ()))
