"""Why a pod is where it is: our plugin in a real scheduler, pinned probes, a report's table."""

from __future__ import annotations

import os
import sys

import pytest

from pytest_kinda import ControlPlane, Lab, Link, Router, Topology, Worker
from pytest_kinda.errors import PlacementError
from pytest_kinda.scheduling import explained
from pytest_kinda.scheduling.explaining import explain_pod, scores_of
from pytest_kinda.scheduling.probing import probed
from pytest_kinda.setup import lab as lab_programs
from pytest_kinda.setup import scheduling
from tests.integration.test_lab import CACHE
from tests.pytester.conftest import QUICK
from tests.support.documents import examples, execute

SMALL = Topology(
    name="small",
    nodes=[
        ControlPlane("c1"),
        Worker("w1", cpus=2, labels={"disk": "ssd"}),
        Worker("w2", cpus=4),
        Worker("w3", cpus=8, taints=["slow=true:NoSchedule"]),
        Worker("w4", cpus=4),
        Router("r1"),
    ],
    links=[Link(one, "r1", delay="1ms") for one in ("c1", "w1", "w2", "w3", "w4")],
)
DOCUMENTED = [text for text in examples().values() if "def test_web_is_on_a_best_node" in text]
NAMES = execute("scheduling.md", DOCUMENTED[0])
TELLING = {"mode": "process", "binary": "@scheduler-plugins", "config": NAMES["TELLING"]}
TAINT = "TaintToleration"
pytestmark = [pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def standing():
    with Lab(SMALL) as found:
        yield found


@pytest.fixture
def kinda(standing):
    yield standing
    standing.put_back()


@pytest.fixture
def plugin():
    if not scheduling.scheduler_plugins().exists():
        pytest.skip("scheduler-plugins are not built here")


def telling(**more):
    return {"schedulerName": "telling", **more}


def test_our_plugin_tells_of_every_node(kinda, plugin):
    with kinda.scheduler(**TELLING) as mine:
        ask = {"annotations": explained(), "spec": telling()}
        web = kinda.cluster.run_pod("web", requests={"cpu": "3"}, **ask)
        why = kinda.explain(web)
        assert "a record of our Explain plugin" in why.sources
        assert {node: one.plugin for node, one in why.refused.items()} == {
            "c1": TAINT,
            "w1": "NodeResourcesFit",
            "w3": TAINT,
        }
        assert why.refused["w1"].reason == "Insufficient cpu"
        assert {*why.scores} == {*why.totals} == {"w2", "w4"}
        assert why.totals["w2"] == sum(why.scores["w2"].values())
        assert (why.tie, why.margin, why.winners) == (True, 0, ("w2", "w4"))
        assert web.node in why.winners
        # of two equal nodes one has less room now
        next_one = kinda.cluster.run_pod("next", requests={"cpu": "1"}, **ask)
        why = kinda.explain(next_one)
        assert (why.tie, why.winners) == (False, (next_one.node,))
        assert next_one.node != web.node
        assert why.margin > 0
        assert f"ahead of {why.runner_up} by {why.margin}" in str(why)
        assert mine.logs().count('"Explained pod"') == 2


def test_as_documented(kinda, plugin):
    with kinda.scheduler(**TELLING) as mine:
        NAMES["test_web_is_on_a_best_node"](kinda, mine)
        print(kinda.explain("web"))


def test_its_scores_are_those_that_the_scheduler_used(kinda, plugin):
    with kinda.scheduler(verbosity=10, **TELLING) as mine:
        kinda.cluster.run_pod("first", requests={"cpu": "1"}, spec=telling())
        assert kinda.explain("first").refused == {}  # it has not asked
        ask = {"annotations": explained(), "spec": telling()}
        second = kinda.cluster.run_pod("second", requests={"cpu": "1"}, **ask)
        why = kinda.explain(second)
        log = mine.logs().splitlines()
    used = scores_of(f"{second.namespace}/second", log)
    assert (why.scores, why.totals) == used
    assert why.sources[1:] == (
        "the scheduler's log at verbosity 10",
        "a record of our Explain plugin",
    )


def test_a_pod_that_fits_nowhere_is_explained_by_both(kinda, plugin):
    spec = {"affinity": {"nodeAffinity": _needs("disk")}}
    with kinda.scheduler(**TELLING):
        lost = kinda.cluster.run_pod(
            "lost",
            requests={"cpu": "3"},
            wait=False,
            spec=telling(**spec),
            annotations=explained(),
        )
        kinda.assert_unschedulable(lost, plugin="NodeResourcesFit", within=60, hold=0.1)
        recorded = kinda.explain(lost)
        probed = kinda.explain(lost, probe=True)
    assert {node: one.plugin for node, one in recorded.refused.items()} == {
        "c1": TAINT,
        "w1": "NodeResourcesFit",
        "w2": "NodeAffinity",
        "w3": TAINT,
        "w4": "NodeAffinity",
    }
    assert probed.refused == recorded.refused
    assert probed.sources[-1] == "pinned probes of 5 nodes"


def test_records_are_as_large_as_was_asked_for(kinda, plugin):
    with kinda.scheduler(**TELLING):
        some = kinda.cluster.run_pod("some", spec=telling(), annotations=explained(most=1))
        why = kinda.explain(some)
        assert (len(why.scores), len(why.refused), why.left) == (1, 1, 3)
        assert sum(one.count for one in why.refusals) == 2
        alone = {"nodeSelector": {"disk": "ssd"}}
        one = kinda.cluster.run_pod("one", spec=telling(**alone), annotations=explained())
        why = kinda.explain(one)
        assert (why.scores, why.tie) == ({}, None)
        assert "one alone was left" in why.note


def test_probes_of_an_unmodified_scheduler(kinda):
    many = {"requests": {"cpu": "3"}, "wait": False}
    lost = kinda.cluster.run_pod(
        "lost", spec={"affinity": {"nodeAffinity": _needs("disk")}}, **many
    )
    kinda.assert_unschedulable(lost, within=60, hold=0.1)
    before = kinda.explain(lost)
    assert before.refused == {}
    why = kinda.explain(lost, probe=["w1", "w2"])
    assert {node: one.plugin for node, one in why.refused.items()} == {
        "w1": "NodeResourcesFit",
        "w2": "NodeAffinity",
    }
    assert "w1  refused: Insufficient cpu [NodeResourcesFit]" in str(why)
    assert [one.name for one in kinda.cluster.pods()] == ["lost"]
    assert not kinda.faults


def test_a_probe_that_fits_is_told_and_goes(kinda):
    """The reasons of a pod in its condition may be old: there may be room by now."""
    big = {"requests": {"cpu": "3"}}
    first, second = (kinda.cluster.run_pod(name, **big) for name in ("first", "second"))
    lost = kinda.cluster.run_pod("lost", wait=False, **big)
    kinda.assert_unschedulable(lost, within=60, hold=0.1)
    item = lost.read()
    first.delete()
    lost.wait_for("Ready")
    with pytest.raises(PlacementError, match=f"is not probed: it is on {lost.node}"):
        kinda.explain(lost, probe=True)
    node = second.node
    second.delete()
    why = probed(kinda, item, [node], explain_pod(item, None), list)
    assert (why.refused, why.note) == (
        {},
        f"there is room on {node} now: the probe was placed there",
    )
    assert [one.name for one in kinda.cluster.pods()] == ["lost"]


FAILING = """
import pytest
from pytest_kinda import ControlPlane, Link, Topology, Worker

NODES = [ControlPlane("c1"), Worker("w1", cpus=2)]
pytestmark = pytest.mark.topology(Topology(name="two", nodes=NODES, links=[Link("c1", "w1")]))

def test_far(kinda):
    kinda.cluster.run_pod("web")
    kinda.cluster.run_pod("big", requests={"cpu": "7"}, wait=False)
    kinda.assert_unschedulable("big", within=60, hold=0.1)
    assert kinda.placements("app in (web, big)").together()

def test_other(kinda):
    kinda.cluster.run_pod("web")
    assert kinda.cluster.pod("web").node == "w9"
"""


def test_a_failed_assertion_about_placements_has_the_table(pytester, monkeypatch):
    pytester.makepyfile(test_fails=FAILING)
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)
    lab_programs.programs()
    argv = [sys.executable, "-m", "pytest", *QUICK, "--kinda-lab", "--kinda-artifacts-when=never"]
    result = pytester.run(*argv, timeout=300)
    result.assert_outcomes(failed=2)
    lines = result.stdout
    lines.fnmatch_lines(["*kinda placements*", "pod *workload *node*", "big *", "web *w1*"])
    lines.fnmatch_lines(["pod *big: on no node", "*1 nodes: Insufficient cpu*", "pod *web: on w1"])
    assert "".join(result.outlines).count("kinda placements") == 1, os.linesep.join(result.outlines)


def _needs(label):
    term = {"matchExpressions": [{"key": label, "operator": "Exists"}]}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {key: {"nodeSelectorTerms": [term]}}
