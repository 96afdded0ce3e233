"""What is said of a cluster that is not ready yet, and which addresses must answer."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kinda.build.readiness import ping_targets, silence, unready_nodes, unready_pods
from pytest_kinda.plan.values import NodePlan, Plan, PlanOptions, TunnelPlan


def thing(name: str, ready: str | None = "True", message: str = "", phase: str = "") -> Any:
    conditions = [{"type": "Ready", "status": ready, "message": message}] if ready else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions, "phase": phase}}


def test_a_node_that_has_not_joined_is_named() -> None:
    found = unready_nodes({"items": [thing("c1")]}, ["c1", "w1"])
    assert found == "no node w1 has joined; there are c1"


def test_a_node_that_is_not_ready_says_why() -> None:
    listing = {"items": [thing("c1"), thing("w1", "False", "cni not initialized")]}
    assert unready_nodes(listing, ["c1", "w1"]) == "node w1 is not Ready (cni not initialized)"
    assert unready_nodes(listing, ["c1", "w1"], registered_only=True) == ""


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], "0 of 1 kube-proxy pods are there"),
        ([thing("kube-proxy-a")], "no CoreDNS pod is there"),
        (
            [thing("kube-proxy-a"), thing("coredns-a", None, phase="Pending")],
            "pod coredns-a is Pending",
        ),
        ([thing("kube-proxy-a"), thing("coredns-a")], ""),
    ],
)
def test_system_pods(pods: list[Any], expected: str) -> None:
    assert unready_pods({"items": pods}, 1) == expected


def test_a_node_answers_on_its_endpoint_and_its_gre_device() -> None:
    nodes = (
        NodePlan(
            "c1",
            "c",
            "control-plane",
            "c1",
            endpoint="10.9.0.1",
            pod_cidrs=("10.244.0.0/24", "fd00:10:244::/64"),
        ),
        NodePlan("w1", "w", "worker", "w1"),
        NodePlan("r1", "r", "device", "r1", endpoint="10.9.0.2"),
    )
    plan = Plan("t", "s", PlanOptions(), nodes, (), (), tunnel=TunnelPlan("gre", 1476))
    assert ping_targets(plan) == {"c1": ["10.9.0.1", "10.244.0.254", "fd00:10:244::fffe"]}


def test_a_message_names_the_first_of_many_pairs_that_are_silent() -> None:
    assert silence({"w1": [], "w2": []}, 4) == ""
    assert silence({"w1": ["10.9.0.5"], "w2": []}, 4) == "no answer: w1 -> 10.9.0.5"
    many = [f"10.9.0.{at}" for at in range(100)]
    told = silence({f"w{at}": many for at in range(64)}, 6400)
    assert told.startswith("no answer from 6400 of 6400 pairs: w0 -> 10.9.0.0, 10.9.0.1, 10.9.0.2")
    assert "w2 -> " in told
    assert len(told) < 250
