"""Several testbeds at once: two pytest runs, two workers of xdist; they never meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = """
import json, os, pathlib, time
import pytest
from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from tests.support.topologies import LAN, PAIR

def cluster(name):
    nodes = [ControlPlane("c1"), Worker("w1"), Router("r1")]
    return Topology(name, nodes, [Link("c1", "r1"), Link("w1", "r1")])

def meet(kinda, other):
    # Both stand before either goes on: else they might have been one after the other.
    here = pathlib.Path(os.environ["MEETING"])
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    containers = list(kinda.standing.containers.values())
    told = {"id": kinda.id, "worker": worker, "containers": containers}
    if kinda.plan.cluster:
        told["subnet"] = kinda.plan.cluster.docker_subnet
        told["server"] = kinda.kubectl("config", "view", "--minify", json=True)["clusters"][0][
            "cluster"
        ]["server"]
    (here / f"{kinda.plan.topology}.tmp").write_text(json.dumps(told))
    (here / f"{kinda.plan.topology}.tmp").rename(here / kinda.plan.topology)
    end = time.monotonic() + 120
    while not (here / other).exists():
        assert time.monotonic() < end, "the other testbed did not come"
        time.sleep(0.02)
    assert kinda.reachability()

@pytest.mark.topology(PAIR)
@pytest.mark.parametrize("number", [1, 2])
def test_pair(kinda, number):
    meet(kinda, "lan")
    assert kinda.ping("h1", "h2").loss == 0

@pytest.mark.topology(LAN)
@pytest.mark.parametrize("number", [1, 2])
def test_lan(kinda, number):
    meet(kinda, "pair")
    assert kinda.ping("h1", "h2").loss == 0

def pods(kinda, other):
    # Addresses of nodes and pods are those of the other cluster too: only ours may answer.
    meet(kinda, other)
    server = kinda.cluster.run_pod("server", node="c1", command=["sleep", "infinity"])
    client = kinda.cluster.run_pod("client", node="w1", command=["sleep", "infinity"])
    with kinda.capture("c1:eth1", filter="proto gre") as capture:
        assert kinda.ping(client, server, count=20, interval=0.05).received == 20
    assert len([packet for packet in capture.packets if packet.icmp]) == 40
    assert kinda.verify()

@pytest.mark.topology(cluster("one"))
def test_first_cluster(kinda):
    pods(kinda, "two")

@pytest.mark.topology(cluster("two"))
def test_second_cluster(kinda):
    pods(kinda, "one")
"""


@pytest.fixture
def suite(tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of a pytest on both topologies."""
    (tmp_path / "test_inner.py").write_text(SUITE)
    monkeypatch.setenv("MEETING", str(tmp_path / "meeting"))
    (tmp_path / "meeting").mkdir()
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    return [*argv, "--rootdir", str(tmp_path), "--kinda-engine=direct", "test_inner.py"]


def start(argv: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KINDA_TEST_RECORD": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check(
    folder: Path, state_home: Path, names: tuple[str, str] = ("pair", "lan")
) -> tuple[dict[str, object], dict[str, object]]:
    """What the two testbeds told of themselves: they had nothing in common, and are gone."""
    one, two = (json.loads((folder / "meeting" / name).read_text()) for name in names)
    assert not set(one["containers"]) & set(two["containers"])
    for what in {"id", "subnet", "server"} & set(one):
        assert one[what] != two[what]
    assert list((state_home / "pytest-kinda" / "testbeds").iterdir()) == []
    return one, two


def test_two_runs_at_once(suite: list[str], tmp_path: Path, state_home: Path) -> None:
    runs = [start([*suite, "-k", name], tmp_path) for name in ("test_pair", "test_lan")]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(said)
    check(tmp_path, state_home)


def test_two_clusters_of_equal_addresses(
    suite: list[str], tmp_path: Path, state_home: Path
) -> None:
    # (-k looks at the folder's name too, which begins with test_two.)
    runs = [start([*suite, "-k", name], tmp_path) for name in ("first_cluster", "second_cluster")]
    said = [run.communicate(timeout=240)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(said)
    one, _ = check(tmp_path, state_home, ("one", "two"))
    assert {"subnet", "server"} <= set(one)


def test_two_workers_each_with_a_topology_of_its_own(
    suite: list[str], tmp_path: Path, state_home: Path
) -> None:
    devices = ("-k", "test_pair or test_lan")
    run = start([*suite, *devices, "-n", "2", "--dist", "loadgroup"], tmp_path)
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0, said
    pair, lan = check(tmp_path, state_home)
    assert {pair["worker"], lan["worker"]} == {"gw0", "gw1"}
    assert said.count("build ") == 2, said  # once each, in "where the time went"
