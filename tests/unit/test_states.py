"""Objects of the cluster in words, what they fulfil, and when waiting is hopeless."""

import pytest

from pytest_kinda.errors import ClusterError
from pytest_kinda.testbed import workloads
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.states import describe, fulfils, hopeless


def pod(phase, *, ready=False, waiting=None, ended=None, unscheduled=None):
    state = {"running": {}}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": "because"}}
    if ended is not None:
        state = {"terminated": {"reason": "Error", "exitCode": ended}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    if unscheduled:
        conditions.append({"type": "PodScheduled", "status": "False", "message": unscheduled})
    return {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{"name": "main", "state": state}],
        },
    }


def test_a_pod_in_words():
    assert describe(pod("Running", ready=True)) == "Running, ready"
    assert describe(pod("Running")) == "Running, not ready"
    assert describe(pod("Pending", waiting="ErrImagePull")) == "Pending, main ErrImagePull: because"
    assert describe(pod("Failed", ended=7)) == "Failed, main Error: status 7"
    assert "not scheduled: no room" in describe(pod("Pending", unscheduled="no room"))
    gone = pod("Running")
    gone["metadata"]["deletionTimestamp"] = "now"
    assert describe(gone) == "being deleted"


def test_what_a_pod_fulfils():
    assert fulfils(pod("Running", ready=True), "Ready")
    assert not fulfils(pod("Running"), "ready")
    assert fulfils(pod("Running"), "Running")
    assert fulfils(pod("Succeeded"), "succeeded")
    assert fulfils(pod("Pending"), "exists")
    assert fulfils(pod("Running"), lambda item: item["status"]["phase"] == "Running")


@pytest.mark.parametrize(
    ("item", "condition", "lost"),
    [
        (pod("Pending", waiting="ContainerCreating"), "Ready", False),
        (pod("Pending", waiting="ErrImageNeverPull"), "Ready", True),
        (pod("Pending", waiting="ImagePullBackOff"), "Running", True),
        (pod("Running", waiting="CrashLoopBackOff"), "Ready", True),
        (pod("Running", waiting="CrashLoopBackOff"), "Running", False),
        (pod("Failed", ended=1), "Ready", True),
        (pod("Failed", ended=1), "Succeeded", True),
        (pod("Failed", ended=1), "Failed", False),
        (pod("Succeeded", ended=0), "Ready", True),
        (pod("Pending", unscheduled="no room"), "Ready", False),
    ],
)
def test_hopeless_waits_end_at_once(item, condition, lost):
    assert bool(hopeless(item, condition)) is lost


def test_a_deployment_is_ready_when_the_controller_saw_it_and_all_its_pods_are():
    item = {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2},
    }
    assert fulfils(item, "Ready")
    assert describe(item) == "2 of 2 replicas ready"
    item["status"]["observedGeneration"] = 1
    assert not fulfils(item, "Ready")


def test_a_failed_job_never_completes():
    item = {
        "kind": "Job",
        "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]},
    }
    assert hopeless(item, "Complete") == "0 active, 0 succeeded, 1 failed"
    item = {"kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    assert fulfils(item, "complete")


def test_kinds_by_the_names_kubectl_takes():
    assert resource("po").path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert resource("Deployment").path("ns") == "/apis/apps/v1/namespaces/ns/deployments"
    assert resource("nodes").path("ignored", "w1") == "/api/v1/nodes/w1"
    with pytest.raises(ClusterError, match="known are Pod"):
        resource("gadget")


def test_a_pods_spec_takes_what_has_no_argument():
    body = workloads.pod(
        "p",
        "image",
        node="w1",
        command=["sleep", "1"],
        args=(),
        env={"A": "b"},
        labels={"x": "y"},
        ports=[80],
        host_network=False,
        privileged=False,
        spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.96.0.10"]}},
        requests={"cpu": "500m", "example.com/mbit": "20"},
    )
    assert body["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "example.com/mbit": "20"},
        "limits": {"example.com/mbit": "20"},
    }
    spec = body["spec"]
    assert (spec["nodeName"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "w1",
        "None",
        0,
    )
    assert spec["containers"][0]["readinessProbe"]["tcpSocket"] == {"port": 80}
    assert body["metadata"]["labels"] == {"app": "p", "x": "y"}
