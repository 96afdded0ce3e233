"""The main job on a real cluster: pods of two workers talk through two Kathara routers."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pytest_kinda.build import readiness
from pytest_kinda.errors import (
    ClusterError,
    CommandError,
    HostError,
    KindaError,
    UnknownNameError,
    WaitTimeoutError,
)
from pytest_kinda.plan.kubelet import TUNABLES
from pytest_kinda.setup import image
from pytest_kinda.setup.images import local_images
from tests.support.topologies import TRIANGLE

pytestmark = pytest.mark.topology(TRIANGLE)

GRE = 24  # bytes that an outer IPv4 header and GRE add
HTTP = "mkdir -p /tmp/www && cd /tmp/www && hostname > index.html && exec httpd -f -p 8080"


@pytest.fixture(scope="module")
def shared(kinda):
    """A namespace for the pods that all tests here share."""
    name = kinda.cluster.create_namespace("triangle-tests")
    yield name
    kinda.cluster.delete_namespace(name)


@pytest.fixture(scope="module")
def pods(kinda, shared):
    started = [
        kinda.cluster.run_pod(name, node=node, namespace=shared, wait=False)
        for name, node in (("client", "w1"), ("server", "w2"), ("near", "c1"))
    ]
    return {pod.name: pod.wait_for("Ready") for pod in started}


@pytest.fixture
def client(pods):
    return pods["client"]


@pytest.fixture
def server(pods):
    return pods["server"]


# Nodes


def test_every_pair_of_nodes_is_reached(kinda):
    table = kinda.reachability(every_address=True)
    assert table, str(table)
    assert len(table.pairs) == 20


def test_nodes_have_their_declared_names_and_virtual_addresses(kinda):
    items = kinda.kubectl("get", "nodes", json=True)["items"]
    internal = {
        one["metadata"]["name"]: address["address"]
        for one in items
        for address in one["status"]["addresses"]
        if address["type"] == "InternalIP"
    }
    assert internal == {name: kinda.node(name).endpoint for name in ("c1", "w1", "w2")}
    assert kinda.cluster.nodes_ready() == {"c1": True, "w1": True, "w2": True}


def test_pods_get_addresses_of_their_nodes_network(kinda, client, server):
    for pod in (client, server):
        prefix = kinda.node(pod.node).pod_cidrs[0].rsplit(".", 1)[0]
        assert pod.ip.startswith(prefix + ".")


def test_verify_finds_nothing(kinda):
    found = kinda.verify()
    assert found, str(found)
    assert len(found.pods.pairs) == 6
    assert len(found.services) == 6
    assert "leaked packets on Docker's network: 0" in str(found)


# Pods


def test_exec_in_a_pod_tells_streams_and_status_apart(client):
    result = client.exec("sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (result.rc, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert client.exec("cat", stdin="x" * 200_000).stdout == "x" * 200_000
    assert client.shell('echo "$A"', env={"A": "b c"}).lines == ["b c"]
    assert client.exec("pwd", workdir="/tmp").lines == ["/tmp"]
    with pytest.raises(CommandError, match=r"pod .*/client: 'no-such-program' ended with"):
        client.exec("no-such-program")


def test_a_background_process_in_a_pod_is_killed_with_its_block(client):
    with client.start("sh", "-c", "echo up; exec sleep 4711") as process:
        process.wait_for_output("up")
        assert client.shell("ps | grep -c '[s]leep 4711'").lines == ["1"]
    assert not client.shell("ps | grep '[s]leep 4711'", check=False).ok


def test_files_go_into_pods_and_out(client, tmp_path):
    client.write_file("/tmp/deep/file", b"\x00\xff")
    assert client.copy_out("/tmp/deep/file", tmp_path).read_bytes() == b"\x00\xff"


def test_kubectl_exec_and_logs_work(kinda):
    kinda.cluster.run_pod("talks", node="w2", command=["sh", "-c", "echo said; sleep 1000"])
    assert kinda.kubectl("exec", "talks", "--", "echo", "hello").stdout == "hello\n"
    assert kinda.kubectl("logs", "talks").stdout == "said\n"
    assert kinda.cluster.logs("talks") == "said\n"


def test_each_test_has_a_namespace_of_its_own(kinda, kinda_namespace):
    pod = kinda.cluster.run_pod("mine", node="w1")
    assert pod.namespace == kinda.cluster.namespace == kinda_namespace != "default"
    names = kinda.kubectl("get", "pods", json=True)["items"]
    assert [one["metadata"]["name"] for one in names] == ["mine"]
    kinda.put_back()
    kinda.cluster.wait_for(f"namespace/{pod.namespace}", "deleted", timeout=30)
    assert kinda.cluster.namespace != pod.namespace


def test_what_a_kubelet_sets_stays_in_its_node(kinda):
    # Covered: what follows changes nothing of the machine.
    covered = kinda.node("w1").read_text("/proc/self/mountinfo")
    for key, wanted in TUNABLES.items():
        path = f"/proc/sys/{key}"
        assert f" {path} " in covered
        machines = Path(path).read_text()
        assert kinda.node("w1").shell(f"cat {path}; echo 7 > {path}; cat {path}").lines == [
            str(wanted),
            "7",
        ]
        assert Path(path).read_text() == machines
        kinda.node("w1").shell(f"echo {wanted} > {path}")


def test_the_images_of_a_node_share_one_layer(kinda):
    if local_images()[image("node")].origin == "official":
        pytest.skip("kindest/node has layers of its own")
    ctr = ("ctr", "-n", "k8s.io")
    names = kinda.node("w2").exec(*ctr, "images", "ls", "-q").lines
    for name in (
        "apiserver",
        "controller-manager",
        "scheduler",
        "proxy",
        "etcd",
        "coredns",
        "pause",
    ):
        assert any(name in one for one in names), names
    assert any(image("tools") in one for one in names)
    kinds = [line.split()[-1] for line in kinda.node("w2").exec(*ctr, "snapshots", "ls").lines[1:]]
    assert kinds.count("Committed") == 1


# The path


def test_pod_traffic_is_gre_between_the_nodes_on_the_link(kinda, client, server):
    with kinda.capture(kinda.link("r1", "r2"), filter="proto gre") as capture:
        assert kinda.ping(client, server, count=3).received == 3
    w1, w2 = kinda.node("w1"), kinda.node("w2")
    requests = [one for one in capture.packets if one.icmp and one.icmp.type == 8]
    assert len(requests) == 3
    for packet in requests:
        assert (packet.ip.source, packet.ip.destination) == (w1.endpoint, w2.endpoint)
        assert (packet.inner.source, packet.inner.destination) == (client.ip, server.ip)


def test_a_capture_at_a_pod_sees_its_packets_bare(kinda, client, server):
    with kinda.capture(client, filter="icmp") as capture:
        kinda.ping(client, server, count=2)
    assert capture.count("icmp[icmptype] = icmp-echo") == 2
    assert capture.packets[0].ip.source == client.ip
    assert capture.packets[0].gre is None


def test_a_trace_shows_the_real_path(kinda, client, server):
    found = kinda.trace("w1", "w2")
    assert found, str(found)
    assert found.nodes == ("w1", "r1", "r2", "w2")
    assert [one.direction for one in found.sightings] == ["out", "in"] * 3
    assert not any(one.tunnelled for one in found.sightings)
    pods = kinda.trace(client, server)
    assert pods.nodes == ("w1", "r1", "r2", "w2")
    assert all(one.tunnelled for one in pods.sightings)
    assert 0 < pods.seconds < 1


def test_packets_of_exactly_the_path_mtu_pass_and_larger_ones_do_not(kinda, client, server):
    mtu = 1500 - GRE
    fits = mtu - 28
    assert kinda.ping(client, server, size=fits, dont_fragment=True).loss == 0
    refused = client.exec(
        "ping", "-c", "1", "-W", "1", "-M", "do", "-s", str(fits + 1), server.ip, check=False
    )
    assert not refused.ok
    said = refused.stdout + refused.stderr
    assert "too long" in said or "Frag needed" in said or "100% packet loss" in said
    # Without the flag it is fragmented and arrives.
    assert client.exec("ping", "-c", "1", "-W", "2", "-s", str(fits + 1), server.ip).ok


def test_pods_get_the_declared_100_mbit(kinda, client, server):
    before = kinda.leaks()
    found = kinda.iperf(client, server, seconds=3)
    assert 80e6 < found.received_bits_per_second < 105e6
    leaked = kinda.leaks().since(before)
    assert not leaked, str(leaked)


def test_one_lost_router_is_one_lost_path(kinda, pods, monkeypatch):
    client, near, far = pods["client"], pods["near"], pods["server"]
    with kinda.link("r1", "r2").down():
        # No build ends like this: it waits for a packet between every two nodes and pod networks.
        monkeypatch.setattr(readiness, "_REACH_LIMIT", 0.5)
        address, pods_address = readiness.ping_targets(kinda.plan)["w2"]
        with pytest.raises(WaitTimeoutError, match=f"w1 -> {address}, {pods_address}"):
            readiness.await_reachability(kinda.plan, kinda.standing.open_socket)
        assert kinda.ping(client, near, count=1)
        assert not kinda.ping(client, far, count=1)
        assert set(kinda.reachability().missing) == {
            pair
            for one in ("c1", "w1", "r1")
            for other in ("w2", "r2")
            for pair in ((one, other), (other, one))
        }
        # The control plane is direct: the node that is cut off can still be asked.
        assert far.exec("hostname").lines == ["server"]
    assert kinda.ping(client, far, count=1, wait=1.0)  # mended: not one packet is lost


# Services


@pytest.fixture(scope="module")
def web(kinda, pods, shared):
    """A web server on w2 behind a service with a NodePort."""
    pod = kinda.cluster.run_pod(
        "web", node="w2", command=["sh", "-c", HTTP], ports=[8080], namespace=shared
    )
    return kinda.cluster.expose(
        pod.name, port=80, target_port=8080, kind="NodePort", namespace=shared
    )


def test_tcp_to_a_cluster_ip_by_address_and_by_name(client, shared, web):
    address = web["spec"]["clusterIP"]
    for target in (address, "web", f"web.{shared}.svc.cluster.local"):
        assert client.exec("curl", "-sS", "-m", "5", f"http://{target}/").lines == ["web"]


def test_tcp_to_a_node_port_of_every_node(kinda, client, web):
    port = web["spec"]["ports"][0]["nodePort"]
    for name in ("c1", "w1", "w2"):
        url = f"http://{kinda.node(name).endpoint}:{port}/"
        for place in (client, kinda.node("w1"), kinda.node("c1")):
            assert place.exec("curl", "-sS", "-m", "5", url).lines == ["web"], (name, place)


def test_udp_to_a_cluster_ip_and_a_node_port(kinda, client, server, shared):
    # iperf3 talks to one port over TCP and UDP.
    ports = [
        {"name": protocol.lower(), "port": 5201, "nodePort": 30521, "protocol": protocol}
        for protocol in ("TCP", "UDP")
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "both", "namespace": shared},
        "spec": {"type": "NodePort", "selector": {"app": "server"}, "ports": ports},
    }
    (made,) = kinda.cluster.apply(service)
    kinda.cluster.wait_for_service("both", namespace=shared)
    for address, port in ((made["spec"]["clusterIP"], 5201), (kinda.node("c1").ip, 30521)):
        found = kinda.iperf(
            client,
            server,
            target=address,
            port=port,
            server_port=5201,
            udp=True,
            rate=5_000_000,
            seconds=1,
        )
        assert found.packets > 100
        assert found.lost_packets <= found.packets * 0.02


def test_dns_answers_pods_through_the_network(kinda, client):
    with kinda.capture("w1:eth1", filter="proto gre") as capture:
        found = client.exec("nslookup", "kubernetes.default.svc.cluster.local").stdout
    assert "10.96.0.1" in found
    dns = [
        one
        for one in capture.packets
        if one.udp and 53 in (one.udp.source_port, one.udp.destination_port)
    ]
    assert dns, "the question has not left w1 by GRE"


# Objects and waits


def test_apply_puts_names_in_and_delete_takes_away(kinda):
    manifest = """
apiVersion: v1
kind: ConfigMap
metadata: {name: where}
data: {node: "{w1}", address: "{w1.ip}", other: "${w1}"}
"""
    (made,) = kinda.cluster.apply(manifest)
    assert made["data"] == {
        "node": "w1",
        "address": kinda.node("w1").endpoint,
        "other": "${w1}",
    }
    assert made["metadata"]["namespace"] == kinda.cluster.namespace
    kinda.cluster.delete("configmap/where")
    with pytest.raises(ClusterError, match="404"):
        kinda.cluster.get("configmap/where")


def test_a_job_gives_its_logs_and_a_failing_one_its_reason(kinda):
    assert kinda.cluster.run_job("good", command=["echo", "done"], node="w1") == ("done\n",)
    with pytest.raises(ClusterError, match=r"(?s)will not become Complete.*broken"):
        kinda.cluster.run_job("bad", command=["sh", "-c", "echo broken; exit 3"])


def test_a_deployment_is_spread_and_forwarded_to(kinda):
    pods = kinda.cluster.deploy(
        "web", replicas=2, command=["sh", "-c", HTTP], ports=[8080], spread=True
    )
    assert sorted(pod.node for pod in pods) == ["w1", "w2"]
    with (
        kinda.cluster.port_forward("deployment/web", 8080) as forward,
        urllib.request.urlopen(forward.url, timeout=5) as answer,
    ):
        assert answer.read().decode().strip() in [pod.name for pod in pods]


@pytest.mark.slow
@pytest.mark.beside
def test_an_image_of_the_engine_is_loaded_and_used(kinda):
    with pytest.raises(HostError, match=r"No such image: .*absent:9"):
        kinda.cluster.load_image("absent:9")
    name = image("base")
    kinda.cluster.load_image(name, nodes=["w1"])
    pod = kinda.cluster.run_pod("loaded", node="w1", image=name)
    assert "iproute2" in pod.exec("ip", "-V").stdout


def test_a_pod_that_can_never_run_is_told_at_once(kinda):
    with pytest.raises(ClusterError, match=r"Pod absent will not become Ready.*absent:9"):
        kinda.cluster.run_pod("absent", node="w1", image="registry.invalid/absent:9", timeout=60)
    # It may be Ready for a moment; that it will succeed is what never comes true.
    pod = kinda.cluster.run_pod("ends", node="w1", command=["sh", "-c", "exit 5"], wait=False)
    with pytest.raises(ClusterError, match="status 5"):
        pod.wait_for("Succeeded", timeout=60)


def test_a_wait_that_is_late_says_the_last_state(kinda):
    pod = kinda.cluster.run_pod("never", node="w1", ports=[9999], wait=False)
    pod.wait_for("Running", timeout=90)
    with pytest.raises(KindaError, match=r"(?s)last state: Running, not ready.*event: Started"):
        kinda.cluster.wait_for("pod/never", "Ready", timeout=3)


@pytest.mark.slow
@pytest.mark.beside
def test_evidence_of_a_cluster_has_the_logs_of_its_pods(kinda, tmp_path):
    kinda.cluster.run_pod("talks", node="w2", command=["sh", "-c", "echo said; sleep 1000"])
    pieces = {piece.name: piece.problem for piece in kinda.evidence(tmp_path)}
    assert {name: problem for name, problem in pieces.items() if problem} == {}
    logs = (tmp_path / "cluster/logs.txt").read_text()
    assert f"== {kinda.cluster.namespace}/talks" in logs
    assert " said" in logs.partition("/talks\n")[2].splitlines()[0]
    assert "talks" in (tmp_path / "cluster/pods.txt").read_text()
    assert "kubelet" in (tmp_path / "nodes/w2/kubelet.txt").read_text()
    # Of the time before the test there is nothing.
    kinda.begin_test("the next one")
    kinda.evidence(tmp_path)
    assert " said" not in (tmp_path / "cluster/logs.txt").read_text()


def test_http_load_through_a_service(kinda, client, web):
    address = web["spec"]["clusterIP"]
    load = kinda.http_load(client, f"http://{address}/", requests=100, parallel=4)
    assert load, load
    assert load.statuses == {200: 100}


def test_a_cluster_is_as_declared(kinda):
    found = kinda.fidelity()
    assert found, str(found)
    rows = {(row.what, row.where): row for row in found.rows}
    assert rows["path", "all nodes"].measured == "20 of 20 pairs"
    assert rows["rate", "r1--r2 r1->r2"].expected == "100mbit"


def test_wrong_arguments_are_explained(kinda):
    with pytest.raises(UnknownNameError, match="there are c1, w1, w2, r1, r2"):
        kinda.cluster.run_pod("p", node="w9")
    with pytest.raises(UnknownNameError, match="w1 is a worker, no device; devices: r1, r2"):
        kinda.device("w1")
    with pytest.raises(ClusterError, match="known are Pod"):
        kinda.cluster.wait_for("gadget/x")
    with pytest.raises(ClusterError, match="expected KIND/NAME"):
        kinda.cluster.wait_for("pods")


def test_the_configured_client_is_the_kubernetes_packages_own(kinda):
    from kubernetes import client

    nodes = client.CoreV1Api(kinda.cluster.client).list_node().items
    assert {one.metadata.name for one in nodes} == {"c1", "w1", "w2"}
    assert json.dumps(sorted(one.metadata.name for one in nodes)) == '["c1", "w1", "w2"]'


def test_another_process_attaches_within_two_seconds(kinda):
    """By its kubeconfig alone; whether it is healthy is asked by packets between all nodes."""
    assert kinda.kubeconfig is not None
    assert kinda.kubeconfig.stat().st_mode & 0o777 == 0o600
    options = kinda.plan.options
    code = (
        "import sys, time\n"
        "from tests.support.topologies import TRIANGLE\n"
        "from pytest_kinda.build.progress import Silent\n"
        "from pytest_kinda.plan import PlanOptions\n"
        "from pytest_kinda.testbed.reuse import attach_to\n"
        f"options = PlanOptions(engine={options.engine!r}, tunnel={options.tunnel!r},\n"
        f"                      p4_engine={options.p4_engine!r})\n"
        "begun = time.monotonic()\n"
        "found = attach_to(TRIANGLE, options, Silent(), which='', kubeconfig=sys.argv[1])\n"
        "print(found.id, time.monotonic() - begun)\n"
        "found.leave()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(kinda.kubeconfig)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    identity, seconds = done.stdout.split()
    print(f"attached in {float(seconds):.2f} s")
    assert identity == kinda.id
    assert float(seconds) < 2


# Restarts: last, since what runs on a node ends with it


@pytest.mark.slow
@pytest.mark.beside
def test_pods_reach_a_new_pod_on_a_restarted_worker(kinda):
    other = kinda.cluster.run_pod("other", node="w2", command=["sleep", "infinity"])
    with kinda.link("r1", "r2").impair(rate="20mbit"):
        kinda.node("w1").restart()
        new = kinda.cluster.run_pod("new", node="w1", command=["sleep", "infinity"])
        assert kinda.ping(other, new, count=3).received == 3
        assert kinda.ping(new, other, count=3).received == 3
    found = kinda.verify()
    assert found, str(found)


@pytest.mark.slow
@pytest.mark.beside
def test_a_restarted_control_plane_answers_and_reaches_its_nodes(kinda):
    hosts = sorted(kinda.node("c1").read_text("/etc/hosts").splitlines())
    kinda.node("c1").restart()
    assert sorted(kinda.node("c1").read_text("/etc/hosts").splitlines()) == hosts
    pod = kinda.cluster.run_pod("after", node="w1", command=["sleep", "infinity"])
    assert pod.exec("hostname").lines == ["after"]
    anywhere = kinda.cluster.run_pod("anywhere", command=["sleep", "infinity"])
    assert anywhere.node in ("w1", "w2")  # the scheduler works
    found = kinda.verify()
    assert found, str(found)
