"""What is mounted into nodes so that kubeadm waits less, and what stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_kinda.build.balancer import endpoint
from pytest_kinda.build.kubeadm import discovery, patches, speed_up
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
    found = discovery("kinda-1-control-plane:6443", b"authority")
    assert found["users"] == []
    assert found["clusters"][0]["cluster"]["server"] == "https://kinda-1-control-plane:6443"


THREE = Plan(
    "t",
    "s",
    PlanOptions(),
    tuple(NodePlan(f"c{n}", "c", "control-plane", f"c{n}") for n in (1, 2, 3)) + NODES[1:],
    (),
    (),
)


def test_control_planes_that_join_find_the_cluster_by_the_file_and_bootstrap_their_kubelets() -> (
    None
):
    given = {"nodes": [{"role": one.role} for one in THREE.kubernetes_nodes]}
    first, second, third, worker = speed_up(given, THREE, Path("/t"))["nodes"]
    for joins in (second, third):
        kinds = [json.loads(one)["kind"] for one in joins["kubeadmConfigPatches"]]
        assert kinds == ["JoinConfiguration", "JoinConfiguration"]
        assert mounts(joins) == {
            "/kind/kinda-patches": "/t/patches",
            "/kind/kinda-discovery.conf": "/t/discovery.conf",
        }, "kind writes the authority into them"
    assert "/t/pki/ca.key" in mounts(first).values()
    assert "/etc/kubernetes/kubelet.conf" in mounts(worker)


def test_several_control_planes_are_found_at_the_balancer_and_one_at_itself() -> None:
    assert endpoint(THREE, "kinda-1") == "kinda-1-external-load-balancer:6443"
    assert endpoint(PLAN, "kinda-1") == "kinda-1-control-plane:6443"
