"""``control_plane_traffic="network"``: API server and kubelets over the topology's links."""

from __future__ import annotations

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker

IMPATIENT = """
kind: ClusterConfiguration
controllerManager:
  extraArgs:
    node-monitor-grace-period: 20s
"""
"""A node that is not heard is NotReady after 20 s instead of 50: it is heard every 10 s."""

LINE = Topology(
    name="line",
    nodes=[ControlPlane("c1", kubeadm_patches=[IMPATIENT]), Worker("w1"), Router("r1")],
    links=[Link("c1", "r1"), Link("w1", "r1")],
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(LINE, control_plane_traffic="network", engine="direct"),
]


def direct_packets(kinda):
    """What the guard has seen of API server and kubelets on Docker's network, by node."""
    return {one.node: one.others["direct"].packets for one in kinda.leaks().nodes}


def test_exec_logs_and_heartbeats_cross_the_link(kinda):
    before = direct_packets(kinda)
    server, kubelet = kinda.plan.node("c1").endpoint, kinda.plan.node("w1").endpoint
    with kinda.capture(kinda.link("w1", "r1")) as capture:
        pod = kinda.cluster.run_pod("one", node="w1", command=["sh", "-c", "echo hello; sleep 600"])
        assert pod.exec("hostname").stdout.strip() == "one"
        assert "hello" in pod.logs()
    to_kubelet = capture.count(f"src host {server} and dst host {kubelet} and tcp dst port 10250")
    to_server = capture.count(f"src host {kubelet} and dst host {server} and tcp dst port 6443")
    assert to_kubelet >= 10, "exec and logs did not cross the link"
    assert to_server >= 2, "the kubelet did not talk to the API server over the link"
    assert direct_packets(kinda) == before
    assert kinda.verify(), str(kinda.verify())


def test_pods_reach_the_api_server_over_the_link(kinda):
    endpoint = kinda.plan.node("c1").endpoint
    pod = kinda.cluster.run_pod("two", node="w1", command=["sleep", "600"])
    with kinda.capture(kinda.link("c1", "r1"), filter=f"tcp and dst host {endpoint}") as capture:
        answer = pod.exec("curl", "-ks", "https://kubernetes.default.svc/version")
    assert "gitVersion" in answer.stdout
    assert capture.count("tcp dst port 6443") >= 5


def test_a_node_without_its_link_is_not_ready(kinda):
    with kinda.link("w1", "r1").down():
        kinda.kubectl("wait", "node/w1", "--for=condition=Ready=Unknown", "--timeout=120s")
    kinda.kubectl("wait", "node/w1", "--for=condition=Ready", "--timeout=60s")
