"""What kind is told, what its containers are called, and what it says when it fails."""

from __future__ import annotations

from pytest_kinda.build.docker_network import subnets
from pytest_kinda.build.facts import docker_networks
from pytest_kinda.build.kind import configuration, container_names, kind_environment, kind_error
from pytest_kinda.build.nodes import hosts_lines
from pytest_kinda.plan.values import ClusterPlan, NodePlan, Plan, PlanOptions

CLUSTER = ClusterPlan(
    kind={"kind": "Cluster", "nodes": [{"role": "control-plane"}, {"role": "worker"}]},
    pod_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/16",
    dns="10.96.0.10",
    docker_subnet="172.30.0.0/24",
)
PLAN = Plan(
    "t",
    "s",
    PlanOptions(),
    nodes=(
        NodePlan("w2", "w", "worker", "w2"),
        NodePlan("c1", "c", "control-plane", "c1"),
        NodePlan("r1", "r", "device", "r1"),
        NodePlan("w1", "w", "worker", "w1"),
    ),
    segments=(),
    links=(),
    cluster=CLUSTER,
)


def test_containers_are_counted_in_each_role() -> None:
    assert container_names(PLAN, "kinda-1") == {
        "kinda-1-control-plane": "c1",
        "kinda-1-worker": "w2",
        "kinda-1-worker2": "w1",
    }


def test_the_configuration_has_name_and_image_and_leaves_the_plan_alone() -> None:
    found = configuration(PLAN, "kinda-1")
    assert found["name"] == "kinda-1"
    assert all(node["image"].startswith("kinda/node:") for node in found["nodes"])
    assert "name" not in CLUSTER.kind


def test_kind_writes_no_kubeconfig_of_the_users() -> None:
    environment = kind_environment("kinda-1")
    assert environment["KUBECONFIG"] == "/dev/null"
    assert environment["KIND_EXPERIMENTAL_DOCKER_NETWORK"] == "kinda-1"


def test_the_error_line_comes_first() -> None:
    log = (
        "Creating cluster\n \x1b[31m✗\x1b[0m Starting control-plane\nERROR: failed to init node\n"
        "I1127 13:29:54 round_trippers.go: much\nerror execution phase wait-control-plane\n"
    )
    lines = kind_error(log).splitlines()
    assert lines[0] == "ERROR: failed to init node"
    assert " ✗ Starting control-plane" in lines
    assert lines[-1] == "error execution phase wait-control-plane"
    assert "round_trippers" not in "".join(lines)


def test_a_taken_subnet_is_followed_by_others_of_its_size() -> None:
    found = subnets("172.30.1.0/24", "172.30.0.0/15")
    assert found[:3] == ["172.30.1.0/24", "172.30.0.0/24", "172.30.2.0/24"]
    assert len(found) == len(set(found)) == 64


def test_a_control_plane_is_told_each_node_once() -> None:
    addresses = {"c1": "172.30.0.2", "w1": "172.30.0.3"}
    assert hosts_lines(addresses, set()) == ("172.30.0.2 c1", "172.30.0.3 w1")
    assert hosts_lines(addresses, {"c1", "w1"}) == ()


def test_networks_without_addresses_are_no_conflict() -> None:
    listing = [
        {"Name": "kathara_a", "IPAM": {"Config": [{"Subnet": "0.0.0.0/0"}]}},
        {"Name": "host", "IPAM": {"Config": None}},
        {"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}},
        {"Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}},
    ]
    assert docker_networks(listing) == {"Docker network bridge": "172.17.0.0/16"}
