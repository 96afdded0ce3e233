"""The scheduler under test, without a cluster: declarations, manifests, an extender."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kinda.errors import DeclarationError
from pytest_kinda.scheduling.choice import choose
from pytest_kinda.scheduling.configuration import (
    Extender,
    changed_manifest,
    complete,
    names_of,
    plugins_of,
    read_configuration,
)
from pytest_kinda.scheduling.extender import PROBE, ExtenderServer
from pytest_kinda.scheduling.scheduler import last_lines
from pytest_kinda.scheduling.schedulerpod import object_name, pod_objects, rule_objects
from pytest_kinda.scheduling.sharing import overcommitted, raced
from pytest_kinda.testbed.quantities import amount_of

CONFIG = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: network
  plugins:
    score: {enabled: [{name: NetworkOverhead, weight: 10}]}
    filter: {enabled: [{name: NetworkOverhead}]}
  pluginConfig:
  - {name: NetworkOverhead, args: {namespaces: [nets]}}
- schedulerName: plain
"""
# What kubeadm 1.34 writes, as far as it is changed.
MANIFEST = yaml.safe_load("""
apiVersion: v1
kind: Pod
metadata:
  name: kube-scheduler
  namespace: kube-system
  labels: {component: kube-scheduler, tier: control-plane}
spec:
  hostNetwork: true
  containers:
  - name: kube-scheduler
    image: registry.k8s.io/kube-scheduler:v1.34.11
    command:
    - kube-scheduler
    - --authentication-kubeconfig=/etc/kubernetes/scheduler.conf
    - --kubeconfig=/etc/kubernetes/scheduler.conf
    - --leader-elect=true
    volumeMounts: [{mountPath: /etc/kubernetes/scheduler.conf, name: kubeconfig, readOnly: true}]
  volumes:
  - {name: kubeconfig, hostPath: {path: /etc/kubernetes/scheduler.conf, type: FileOrCreate}}
""")


def test_a_configuration_is_read_and_completed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG)
    found = read_configuration("mine.yaml", tmp_path)
    assert found == read_configuration(CONFIG, tmp_path) == read_configuration(found, tmp_path)
    assert names_of(found) == ("network", "plain")
    assert dict(plugins_of(found)) == {"NetworkOverhead": {"namespaces": ["nets"]}}
    whole = complete(
        found, name="plain", kubeconfig="/k", extender=Extender("http://a:1", True, False)
    )
    assert whole["clientConnection"] == {"kubeconfig": "/k"}
    assert whole["leaderElection"] == {"leaderElect": False}
    (extender,) = whole["extenders"]
    assert extender["filterVerb"] == "filter"
    assert "prioritizeVerb" not in extender
    assert not extender["ignorable"]
    assert "leaderElection" not in complete(found, leads=True)
    assert names_of(complete({}, name="mine")) == ("mine",)
    several = complete({"profiles": [{}, {"schedulerName": "a"}]}, name="a")
    assert several["profiles"][0] == {"schedulerName": "default-scheduler"}  # else refused


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("absent.yaml", "absent.yaml: found No such file"),
        ("a: [\nb", "found no YAML"),
        ({"kind": "Pod"}, "kind 'Pod'; expected 'KubeSchedulerConfiguration'"),
        ({"apiVersion": "kubescheduler.config.k8s.io/v1beta3"}, "v1beta3"),
        ("- a\n- b\n", "found list"),
    ],
)
def test_what_is_no_configuration_is_refused(given: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=told):
        read_configuration(given, tmp_path)


def test_a_name_must_be_a_profiles() -> None:
    with pytest.raises(DeclarationError, match="found schedulerName a; expected 'b'"):
        complete({"profiles": [{"schedulerName": "a"}]}, name="b")


def test_a_manifest_keeps_what_kubeadm_wrote() -> None:
    before = json.dumps(MANIFEST)
    found = changed_manifest(MANIFEST, run="r1", config="/etc/kubernetes/c.json", verbosity=4)
    assert json.dumps(MANIFEST) == before
    (container,) = found["spec"]["containers"]
    assert container["command"] == [
        *MANIFEST["spec"]["containers"][0]["command"],
        "--config=/etc/kubernetes/c.json",
        "--v=4",
    ]
    assert container["volumeMounts"][-1]["mountPath"] == "/etc/kubernetes/c.json"
    assert found["spec"]["volumes"][-1]["hostPath"]["path"] == "/etc/kubernetes/c.json"
    assert found["metadata"]["annotations"] == {"pytest-kinda/run": "r1"}
    assert found["metadata"]["labels"] == MANIFEST["metadata"]["labels"]
    other = changed_manifest(MANIFEST, run="r2", config="/c", image="mine:1", argv=["/bin/mine"])
    assert other["spec"]["containers"][0]["image"] == "mine:1"
    assert other["spec"]["containers"][0]["command"][:2] == [
        "/bin/mine",
        "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
    ]
    whole = changed_manifest(MANIFEST, run="r3", config="/c", argv=["mine", "-k", "{kubeconfig}"])
    assert whole["spec"]["containers"][0]["command"] == [
        *("mine", "-k", "/etc/kubernetes/scheduler.conf")
    ]


def test_a_pod_of_a_scheduler_has_the_rights_of_one() -> None:
    objects = pod_objects("kinda-a", {"x": 1}, image="i:1", argv=["kube-scheduler"], node="c1")
    kinds = [one["kind"] for one in objects]
    assert kinds == [
        *("ServiceAccount", "ClusterRoleBinding", "ClusterRoleBinding", "RoleBinding"),
        *("ConfigMap", "Pod"),
    ]
    assert objects[-1]["spec"]["containers"][0]["command"] == [
        "kube-scheduler",
        "--config=/etc/kinda/scheduler.json",
    ]
    rule = {"apiGroups": ["a"], "resources": ["b"], "verbs": ["get"]}
    _, mine = rule_objects(choose({"name": "A b!", "mode": "second", "rules": [rule]}), [rule])
    assert mine["subjects"][0]["name"] == "kinda-a-b" == object_name("A b!")
    _, own = rule_objects(choose({"rules": [rule]}), [rule])
    assert own["subjects"][0]["name"] == "system:kube-scheduler"


def test_definitions_by_name_are_ours_only() -> None:
    assert choose({"crds": "@scheduler-plugins"}).crds == "@scheduler-plugins"
    with pytest.raises(DeclarationError, match="definitions, or '@scheduler-plugins'"):
        choose({"crds": "crds.yaml"})


@pytest.fixture
def served() -> Iterator[ExtenderServer]:
    def refuse(pod: Any, nodes: Any) -> dict[str, str]:
        return {"w2": "its link is busy"} if pod["metadata"]["name"] != "odd" else {"w9": "?"}

    def score(pod: Any, nodes: Any) -> dict[str, float]:
        return {"w1": 10 / pod["spec"].get("share", 2)}

    server = ExtenderServer("127.0.0.1", refuse, score)
    yield server
    server.close()


def ask(server: ExtenderServer, verb: str, pod: Any) -> tuple[int, Any]:
    asked = {"Pod": {"spec": {}, **pod}, "NodeNames": ["w1", "w2"]}
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("POST", f"/{verb}", json.dumps(asked))
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_an_extender_answers_as_the_protocol_says(served: ExtenderServer) -> None:
    web = {"metadata": {"name": "web"}}
    assert ask(served, "filter", web) == (
        200,
        {"NodeNames": ["w1"], "FailedNodes": {"w2": "its link is busy"}},
    )
    scores = [{"Host": "w1", "Score": 5}, {"Host": "w2", "Score": 0}]
    assert ask(served, "prioritize", web) == (200, scores)
    probe = {"metadata": {"name": "p", "labels": {PROBE: "yes"}}}
    assert ask(served, "filter", probe)[1]["FailedNodes"] == {}
    assert (served.asked, served.failure) == (3, "")


def test_what_an_extender_raises_is_told(served: ExtenderServer) -> None:
    status, answer = ask(served, "filter", {"metadata": {"name": "odd"}})
    assert (status, answer["Error"][:35]) == (200, "SchedulerError: 'w9' is refused; it")
    bad = {"metadata": {"name": "zero"}, "spec": {"share": 0}}
    assert ask(served, "prioritize", bad)[0] == 500
    assert "filter failed for pod odd" in served.failure  # the first one
    high = {"metadata": {"name": "high"}, "spec": {"share": 0.5}}
    assert "w1 is scored 20.0; expected 0 to 10" in ask(served, "prioritize", high)[1]["Error"]


def test_of_a_crash_the_beginning_is_shown() -> None:
    trace = "\n".join(f"frame {number}" for number in range(40))
    shown = last_lines(f"I1 started\npanic: nil map\n\n{trace}\n").splitlines()
    assert (shown[0], shown[2], len(shown)) == ("    panic: nil map", "    frame 0", 12)
    assert last_lines(trace).splitlines()[-1] == "    frame 39"
    assert last_lines("") == "    (no log)"


def placed(node: str, by: str, pod: str = "web", when: str = "2026-01-01T00:00:05Z") -> Any:
    message = f"Successfully assigned test-1/{pod} to {node}"
    metadata = {"creationTimestamp": when}
    about = {"name": pod}
    return {
        **{"message": message, "metadata": metadata, "involvedObject": about},
        "reportingComponent": by,
    }


def test_two_schedulers_on_a_node_are_told() -> None:
    began = "2026-01-01T00:00:00Z"
    alone = [placed("w1", "mine"), placed("w2", "default-scheduler")]
    assert raced(alone, ["mine"], began) == ""
    probe = placed("w1", "default-scheduler", "pytest-kinda-probe-1")
    before = placed("w1", "default-scheduler", when="2025-12-31T23:59:59Z")
    assert raced([*alone, probe, before], ["mine"], began) == ""
    both = [*alone, placed("w1", "default-scheduler")]
    assert raced(both, ["mine"], began).startswith(
        "mine and default-scheduler have both placed pods on w1: neither sees"
    )


def pod(node: str, cpu: str, **status: str) -> Any:
    requests = {"requests": {"cpu": cpu}}
    spec = {"nodeName": node, "containers": [{"resources": requests}]}
    return {"metadata": {"name": "web"}, "spec": spec, "status": status}


def test_a_node_that_holds_more_than_it_has_is_told() -> None:
    node = {"metadata": {"name": "w1"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}
    assert overcommitted([node], [pod("w1", "1500m"), pod("w1", "0.5"), pod("w2", "9")]) == []
    assert overcommitted([node], [pod("w1", "1500m"), pod("w1", "600m")]) == [
        "pods on w1 have requested 2.1 cpu of 2"
    ]
    late = pod("w1", "9", phase="Failed", reason="OutOfcpu")
    assert overcommitted([node], [late]) == ["w1 had no room for pod web: OutOfcpu"]
    assert amount_of("1.5Gi") == Decimal(1536) * 1024 * 1024
    assert amount_of("1e3") == 1000
    with pytest.raises(ValueError, match="expected a quantity"):
        amount_of("much")
