"""A lab: schedulers, placements and facts are real; what needs a machine or a packet is refused."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from pytest_kinda import ControlPlane, Lab, Link, Router, Topology, Worker
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.catalogue import open_standing
from pytest_kinda.build.lab_nodes import CPUS
from pytest_kinda.errors import ClusterError, LabError, SchedulerError, WaitTimeoutError
from pytest_kinda.setup import lab as lab_programs
from pytest_kinda.testbed.testbed import Testbed
from tests.pytester.conftest import QUICK
from tests.support.documents import examples

PAPER = Topology(
    name="paper",
    nodes=[
        ControlPlane("c1"),
        Worker("w1", cpus=2, memory="4GiB", labels={"disk": "ssd"}),
        Worker("w2", taints=["slow=true:NoSchedule"]),
        Worker("w3", cpus=2),
        Router("r1"),
    ],
    links=[
        *(Link(one, "r1", delay="1ms") for one in ("c1", "w1", "w2")),
        Link("w3", "r1", delay="20ms"),
    ],
)
# pytester gives its tests another home
CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
pytestmark = [pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def standing():
    with Lab(PAPER) as found:
        yield found


@pytest.fixture
def kinda(standing):
    yield standing
    standing.put_back()


def test_nodes_are_as_they_were_declared(kinda):
    nodes = {one["metadata"]["name"]: one for one in kinda.cluster.get("node")["items"]}
    assert list(nodes) == ["c1", "w1", "w2", "w3"]
    assert all(kinda.cluster.nodes_ready().values())
    assert nodes["w1"]["metadata"]["labels"]["disk"] == "ssd"
    assert nodes["w1"]["status"]["allocatable"] == {
        "cpu": "2",
        "memory": str(4 * 2**30),
        "pods": "110",
    }
    assert nodes["w2"]["status"]["capacity"]["cpu"] == str(CPUS)
    assert nodes["w2"]["spec"]["taints"] == [
        {"key": "slow", "value": "true", "effect": "NoSchedule"}
    ]
    assert [one["effect"] for one in nodes["c1"]["spec"]["taints"]] == ["NoSchedule"]


def test_pods_are_placed_by_what_they_ask_for(kinda):
    cluster = kinda.cluster
    first = cluster.run_pod(
        "first", requests={"cpu": "1500m"}, spec={"nodeSelector": {"disk": "ssd"}}
    )
    second = cluster.run_pod("second", requests={"cpu": "1500m"})
    assert (first.node, second.node, first.phase) == ("w1", "w3", "Running")
    cluster.run_pod("third", requests={"cpu": "1500m"}, wait=False)
    told = kinda.assert_unschedulable("third", reason="Insufficient cpu", hold=0.2)
    assert told.node == ""
    first.delete()
    assert cluster.pod("third").wait_for("Ready").node == "w1"
    assert {one.node for one in kinda.placements().items} == {"w1", "w3"}


def test_controllers_work_and_pods_are_no_endpoints(kinda):
    kinda.cluster.deploy("web", replicas=3, ports=[80])
    kinda.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }
    )
    job = {"containers": [{"name": "job", "image": "none"}], "restartPolicy": "Never"}
    kinda.cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "job"},
            "spec": {"completions": 2, "template": {"spec": job}},
        }
    )
    kinda.cluster.wait_for("job/job", "Complete")
    space = kinda.cluster.namespace
    path = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"

    def missing() -> str:
        return "" if kinda.cluster.api.get(path)["items"] else "the service has no slice yet"

    wait_until(missing, "the service's slices", limit=30)
    slices = kinda.cluster.api.get(path)["items"]
    assert not [one for each in slices for one in each["endpoints"] or ()]


def test_what_is_being_deleted_is_waited_for_before_it_is_published_anew(kinda):
    api = kinda.cluster.api
    path = "/api/v1/namespaces/default/configmaps"
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held"}}
    held = {"name": "held", "finalizers": ["example.org/hold"]}
    api.request("POST", path, body={**made, "metadata": held})
    api.request("DELETE", f"{path}/held")

    def let_go() -> None:
        merge = "application/merge-patch+json"
        body = {"metadata": {"finalizers": None}}
        api.request("PATCH", f"{path}/held", body=body, content_type=merge)

    timer = threading.Timer(1.0, let_go)
    timer.start()
    metadata = {"name": "held", "namespace": "default"}
    with kinda.publish([{**made, "metadata": metadata, "data": {"new": "yes"}}]):
        timer.join()
        assert api.get(f"{path}/held")["data"] == {"new": "yes"}
    with pytest.raises(ClusterError):
        api.get(f"{path}/held")


def test_facts_are_published_and_a_scheduler_reads_them(kinda):
    facts = kinda.network_facts(unit="1ms")
    assert (facts.cost("w1", "w2"), facts.cost("w1", "w3")) == (2, 21)
    with facts.apply(("labels", {"zone": "level1"})):
        labels = kinda.cluster.get("node/w1")["metadata"]["labels"]
        assert "topology.kubernetes.io/zone" in labels
    kinda.cluster.run_pod("a", node="w1")
    kinda.cluster.run_pod("b", node="w3")
    assert kinda.placements(facts=facts).cost([("a", "b")]) == 21


def test_why_a_pod_is_where_it_is(kinda):
    with kinda.explaining():
        pod = kinda.cluster.run_pod("web")
        told = kinda.explain(pod)
    assert "NodeResourcesFit" in str(told), told
    assert told.node == pod.node
    quiet = kinda.cluster.run_pod("quiet")
    assert "NodeResourcesFit" not in str(kinda.explain(quiet))


def test_an_extender_in_the_place_of_the_own_scheduler(kinda):
    with kinda.scheduler(mode="extender", score=lambda pod, nodes: {"w3": 10}) as mine:
        assert kinda.cluster.run_pod("far").node == "w3"
        assert mine.extender.asked
    # the lab's own places pods again, and its log is where it was
    assert kinda.cluster.run_pod("own").node in ("w1", "w3")
    assert not kinda.faults


def test_a_profile_and_a_process_beside_the_own(kinda):
    profile = {"schedulerName": "tight", "pluginConfig": []}
    with kinda.scheduler("tight", config={"profiles": [profile]}):
        spec = {"schedulerName": "tight"}
        assert kinda.cluster.run_pod("one", spec=spec).node in ("w1", "w3")
    program = str(lab_programs.programs() / "kube-scheduler")
    with kinda.scheduler("mine", mode="process", command=program):
        spec = {"schedulerName": "mine"}
        assert kinda.cluster.run_pod("two", spec=spec).node in ("w1", "w3")
    with pytest.raises(WaitTimeoutError, match="nobody runs one named 'mine'"):
        kinda.cluster.run_pod("three", spec={"schedulerName": "mine"}, timeout=1)


def test_a_scheduler_that_does_not_start_is_told_and_the_own_is_back(kinda):
    wrong = {"profiles": [{"plugins": {"score": {"enabled": [{"name": "Nonsense"}]}}}]}
    with pytest.raises(SchedulerError, match="Nonsense"):
        kinda.scheduler(config=wrong)
    assert kinda.cluster.run_pod("own").phase == "Running"


REFUSED = {
    "a command on w1": lambda kinda: kinda.exec("w1", "true"),
    "a command on w3": lambda kinda: kinda.ping("w3", "w1"),
    "its address": lambda kinda: kinda.ping("w1", kinda.cluster.pod("web")),
    "a command: it is on a node": lambda kinda: kinda.cluster.pod("web").exec("true"),
    "its log": lambda kinda: kinda.cluster.logs("web"),
    "service web": lambda kinda: kinda.cluster.expose("web", port=80),
    "job sum": lambda kinda: kinda.cluster.run_job("sum", command=["true"]),
    "a port of svc/web": lambda kinda: kinda.cluster.port_forward("svc/web", 80),
    "an image in c1, w1": lambda kinda: kinda.cluster.load_image("kinda/base:1"),
    "link r1--w1 down|link w1--r1 down": lambda kinda: kinda.link("w1", "r1").down(),
    "a fault of a link": lambda kinda: kinda.flap("w1--r1"),
    "a fault of r1": lambda kinda: kinda.device("r1").kill(),
    "a capture": lambda kinda: kinda.capture(),
    "a trace": lambda kinda: kinda.trace("w1", "w3"),
    "reachability": lambda kinda: kinda.reachability(),
    "verify": lambda kinda: kinda.verify(),
    "fidelity": lambda kinda: kinda.fidelity(),
    "a leak guard": lambda kinda: kinda.leaks(),
    "mode 'second'": lambda kinda: kinda.scheduler("mine", mode="second"),
    "image somebody/else": lambda kinda: kinda.scheduler(mode="replace", image="somebody/else"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_machines_or_packets_is_refused(standing, what):
    with pytest.raises(LabError, match=what):
        REFUSED[what](standing)
    assert not standing.faults


def test_simulated_nodes_are_as_the_labs_own(kinda):
    with kinda.simulated_nodes(3, capacity={"cpu": "16"}, name="more") as more:
        assert more.names == ("more-c1", "more-w1", "more-w2")
        pod = kinda.cluster.run_pod("big", requests={"cpu": "12"})
        assert pod.node in more.names
        facts = kinda.network_facts()
        assert facts["more-w1", "w3"].path == ("more-w1", "more-r1", "r1", "w3")
        with pytest.raises(LabError, match="a command of more-w1"):
            kinda.exec("more-w1", "true")
    assert kinda.cluster.nodes_ready().keys() == {"c1", "w1", "w2", "w3"}
    assert not kinda.simulated


def test_only_its_user_may_use_it(kinda):
    assert kinda.directory.stat().st_mode & 0o077 == 0
    secret = [kinda.kubeconfig, *(kinda.directory / "pki").glob("*.key")]
    secret.append(kinda.directory / "pki" / "tokens.csv")
    assert len(secret) >= 3
    assert {one.stat().st_mode & 0o077 for one in secret} == {0}
    token = secret[-1].read_text().partition(",")[0]
    for line in processes(kinda.directory).values():
        assert token not in line
    assert token not in (kinda.directory / "journal.jsonl").read_text()
    server = re.search(r"https://127\.0\.0\.1:\d+", kinda.kubeconfig.read_text())
    trusted = ssl.create_default_context(cafile=kinda.lab.scheduler.files.certificate)
    with pytest.raises(HTTPError, match="401"):
        urllib.request.urlopen(f"{server[0]}/api/v1/nodes", context=trusted, timeout=10)


def test_another_process_opens_it_as_a_lab(kinda):
    opened = Testbed(open_standing(kinda.id))
    assert [one.name for one in opened.kubernetes_nodes] == ["c1", "w1", "w2", "w3"]
    with pytest.raises(LabError, match="a command on w1"):
        opened.exec("w1", "true")


def test_evidence_holds_the_logs_of_the_control_plane(kinda, tmp_path):
    found = {one.name: one.problem for one in kinda.evidence(tmp_path)}
    assert {"lab/etcd.log", "lab/kube-apiserver.log", "cluster/nodes.txt"} <= set(found)
    assert not any(found.values()), found


def test_the_end_of_the_control_plane_is_told():
    with Lab(PAPER.with_(name="short")) as kinda:
        (server,) = [
            pid
            for pid, line in processes(kinda.directory).items()
            if "kube-apiserver\0" in line.replace(" ", "\0")
        ]
        os.kill(server, signal.SIGKILL)
        told: list[str] = []

        def alive() -> str:
            try:
                kinda.lab.check()
            except ClusterError as error:
                told.append(error.message)
            return "" if told else "the keeper has not seen its end yet"

        wait_until(alive, "the end of the API server", limit=30)
        assert re.search(r"kube-apiserver of lab \w+ has ended: killed by signal 9", told[0])
        with pytest.raises(ClusterError, match="killed by signal 9"):
            kinda.put_back()
        directory = kinda.directory
    assert not directory.exists()
    assert not processes(directory)


DIES = """
import sys
from pytest_kinda import ControlPlane, Lab, Topology
lab = Lab(Topology(name="dies", nodes=[ControlPlane("c1")]))
assert lab.cluster.run_pod("web").node == "c1"
print(lab.directory, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_the_process_that_made_it(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", DIES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    try:
        directory = Path(child.stdout.readline().strip())
        assert len(processes(directory)) >= 5
    finally:
        child.kill()
        child.communicate()

    def there() -> str:
        return ", ".join(map(str, processes(directory))) or str(directory) * directory.exists()

    wait_until(there, "the end of the lab", limit=30)


def test_the_documented_lab_needs_neither_docker_nor_rights(pytester, monkeypatch):
    (text,) = [one for one in examples().values() if "def test_two_profiles" in one]
    pytester.makepyfile(test_profiles=text)
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)
    lab_programs.programs()  # taken out of an image if need be, which is done once on a machine
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    bare = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    prefix = bare if shutil.which("setpriv") and os.geteuid() == 0 else []
    argv = [sys.executable, "-m", "pytest", *QUICK, "--kinda-lab", "-v"]
    result = pytester.run(*prefix, *argv, timeout=300)
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(
        ["kinda: a lab: no packets*", "*2 arms x 3 repetitions*", "  cost    packed *0 to 0*"]
    )


def test_the_programs_come_out_of_the_node_image(tmp_path):
    script = "from pytest_kinda.setup.lab import programs; print(programs())"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    made = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120
    )
    folder = Path(made.stdout.strip())
    assert folder.is_relative_to(tmp_path), made.stderr
    assert sorted(one.name for one in folder.iterdir()) == sorted(lab_programs.PROGRAMS)
    told = subprocess.run(
        [folder / "etcd", "--version"], capture_output=True, text=True, timeout=30
    )
    assert "etcd Version" in told.stdout, told.stderr


def processes(directory: Path) -> dict[int, str]:
    """The processes that were started for a lab, and their command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
            inside = os.readlink(folder / "cwd") == str(directory)
        except OSError:
            continue
        if line and (inside or str(directory) in line):
            found[int(folder.name)] = line
    return found
