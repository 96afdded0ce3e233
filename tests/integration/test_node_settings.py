"""Whatever is declared of a node of the cluster is so: seen at Docker, the kubelet and the API."""

from __future__ import annotations

import json
import urllib.request

import pytest

from pytest_kinda import ControlPlane, Link, OvsSwitch, Router, Topology, Worker
from pytest_kinda.build.engine_api import inspect
from pytest_kinda.errors import WaitTimeoutError
from tests.support.builds import await_true

PORT = 38471
CONTROLLER = "default/controller"
PATCH = json.dumps(
    {"kind": "JoinConfiguration", "nodeRegistration": {"kubeletExtraArgs": {"max-pods": "42"}}}
)

TOPOLOGY = Topology(
    name="node-settings",
    nodes=[
        ControlPlane("c1", feature_gates=["MaxUnavailableStatefulSet=true"]),
        Worker(
            "w1",
            labels={"zone": "edge", "example.org/disk": "fast"},
            taints=["slow=true:PreferNoSchedule"],
            cpus=1.5,
            memory="1GiB",
            mounts=["../data:/lab-data:ro"],
            ports=[f"127.0.0.1:{PORT}:30471/tcp"],
            kubeadm_patches=[PATCH],
        ),
        Worker("w2"),
        Router("r1", cpus=0.5, memory="128MiB"),
        OvsSwitch(
            "s1",
            controller=f"pod:{CONTROLLER}:6633",
            fail_mode="secure",
            protocols=["OpenFlow13"],
            flows=["priority=1,actions=normal"],
        ),
    ],
    links=[
        Link("c1", "r1"),
        Link("w1", "r1"),
        Link("w2", "r1"),
        Link("w1", "s1"),
        Link("w2", "s1"),
    ],
)

pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.topology(TOPOLOGY)]


def test_labels_and_taints_are_registered(kinda):
    metadata = kinda.cluster.get("node/w1")["metadata"]
    assert metadata["labels"]["zone"] == "edge"
    assert metadata["labels"]["example.org/disk"] == "fast"
    assert "zone" not in kinda.cluster.get("node/w2")["metadata"]["labels"]
    (taint,) = kinda.cluster.get("node/w1")["spec"]["taints"]
    assert taint == {"key": "slow", "value": "true", "effect": "PreferNoSchedule"}


def test_cores_and_memory_limit_the_containers(kinda):
    def limits(name: str) -> tuple[int, int]:
        found = inspect(kinda.standing.containers[name])["HostConfig"]
        return found["NanoCpus"], found["Memory"]

    assert limits("w1") == (1_500_000_000, 2**30)
    assert limits("w2") == (0, 0)
    control = inspect(kinda.standing.containers["c1"])["HostConfig"]
    assert control["CpuShares"] == 1024 * len(kinda.plan.kubernetes_nodes)
    cores, memory = limits("r1")
    assert memory == 128 * 2**20
    # Kathara says it as a quota
    found = inspect(kinda.standing.containers["r1"])["HostConfig"]
    assert cores == 500_000_000 or found["CpuQuota"] == found["CpuPeriod"] // 2 == 50_000


def test_a_directory_is_mounted_read_only(kinda):
    node = kinda.node("w1")
    assert "kathara" in node.exec("ls", "/lab-data").lines
    assert not node.exec("touch", "/lab-data/x", check=False).ok


def test_a_patch_changes_this_nodes_kubelet_only(kinda):
    pods = {
        name: kinda.cluster.get(f"node/{name}")["status"]["capacity"]["pods"]
        for name in ("w1", "w2")
    }
    assert pods == {"w1": "42", "w2": "110"}


def test_feature_gates_are_those_of_every_component(kinda):
    manifest = kinda.node("c1").read_text("/etc/kubernetes/manifests/kube-controller-manager.yaml")
    assert "MaxUnavailableStatefulSet=true" in manifest
    for name in ("c1", "w1"):
        kubelet = kinda.node(name).read_text("/var/lib/kubelet/config.yaml")
        assert "MaxUnavailableStatefulSet: true" in kubelet


def test_a_published_port_leads_to_a_node_port(kinda):
    serve = "mkdir /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
    kinda.cluster.run_pod("web", node="w2", command=["sh", "-c", serve], ports=[80])
    port = {"port": 80, "targetPort": 80, "nodePort": 30471}
    kinda.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": kinda.cluster.namespace},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [port]},
        }
    )
    kinda.cluster.wait_for_service("web")
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=9) as answer:
        assert answer.read() == b"hello\n"


def test_pods_talk_across_open_vswitch(kinda):
    server = kinda.cluster.run_pod("server", node="w2", command=["sleep", "600"])
    client = kinda.cluster.run_pod("client", node="w1", command=["sleep", "600"])
    switch = kinda.device("s1")
    with kinda.capture(switch.interface("eth0"), filter="proto gre") as capture:
        # the largest packet that GRE leaves room for, and TCP that would rather send longer ones
        assert kinda.ping(client, server, size=1448, dont_fragment=True)
        assert capture.count() >= 6
    flow = kinda.iperf(client, server, seconds=2)
    rate = flow.received_bits_per_second
    print(f"pods over Open vSwitch ({switch.datapath}): {rate / 1e9:.2f} Gbit/s")
    assert rate > 20e6


def test_a_pod_is_the_controller_of_open_vswitch_and_so_is_the_next(kinda):
    namespace, name = CONTROLLER.split("/")
    # it says hello in OpenFlow 1.3 (version 4, kind 0, 8 bytes), which is enough to be connected
    hello = r"printf '\\004\\000\\000\\010\\000\\000\\000\\001'; exec cat >/dev/null"
    serve = f'while :; do nc -l -p 6633 -e sh -c "{hello}"; done'
    s1 = kinda.device("s1")
    with pytest.raises(
        WaitTimeoutError, match=f"last seen: pod:{CONTROLLER}:6633 is not connected"
    ):
        s1.await_controllers(timeout=1)
    for node in ("w1", "w2"):
        pod = kinda.cluster.run_pod(
            name, namespace=namespace, node=node, command=["sh", "-c", serve]
        )
        try:
            (state,) = s1.await_controllers(timeout=60)
            assert state.name == f"pod:{CONTROLLER}:6633"
        finally:
            pod.delete()
        await_true(lambda: not s1.controllers[0].connected, "the pod's end to be seen", 30)
    await_true(lambda: "there is no pod" in s1.controllers[0].error, "the reason", 30)
