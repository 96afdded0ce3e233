"""How long until a cluster can be used: ours around two routers, beside a bare kind cluster.

Ours is the example's topology, from the start of pytest to the first line of a test. Bare is
``kind create cluster`` of the same image and nodes plus a static CNI conflist, until every node and
system pod is Ready, which is what ours waits for. Both are removed again.

    python benchmarks/start.py [ROUNDS] [--only ours|bare]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.test_triangle import TRIANGLE
from pytest_kinda.build.apiserver import ApiReader
from pytest_kinda.build.facts import facts
from pytest_kinda.build.kind import container_names
from pytest_kinda.build.readiness import await_cluster
from pytest_kinda.plan import Plan, PlanOptions, plan
from pytest_kinda.setup import program
from pytest_kinda.setup.images import image

BAR = 1.3
NAME = "kinda-bare"
SUITE = """
import pathlib, time
import pytest
from examples.test_triangle import TRIANGLE

@pytest.mark.topology(TRIANGLE)
def test_first(kinda):
    pathlib.Path("began").write_text(str(time.monotonic()))
"""


def ours() -> float:
    """Seconds from the start of pytest to the first line of a test of the example's topology."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_start.py").write_text(SUITE)
        argv = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", folder, folder]
        begun = time.monotonic()  # one clock for all processes
        subprocess.run(argv, cwd=folder, env={**os.environ, "PYTHONPATH": sys.path[0]}, check=True)
        return float(Path(folder, "began").read_text()) - begun


def bare() -> float:
    """Seconds for kind alone."""
    model = plan(TRIANGLE, PlanOptions(), facts())
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory, "kubeconfig")
        config = Path(directory, "kind.json")
        config.write_text(json.dumps(bare_configuration(model)))
        base = ["env", f"KIND_EXPERIMENTAL_DOCKER_NETWORK={NAME}", program("kind"), "--quiet"]
        begun = time.monotonic()
        try:
            run(*base, "create", "cluster", "--config", config, "--kubeconfig", kubeconfig)
            created = time.monotonic() - begun
            write_conflists(kubeconfig)
            await_cluster(renamed(model), kubeconfig)
            taken = time.monotonic() - begun
            print(f"bare: kind {created:.1f} s, then {taken - created:.1f} s", flush=True)
            return taken
        finally:
            run(*base, "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig)
            run("docker", "network", "rm", NAME)


def bare_configuration(model: Plan) -> dict[str, object]:
    """The plan's kind configuration without what is ours in it."""
    assert model.cluster is not None
    nodes = [{"role": one["role"], "image": image("node")} for one in model.cluster.kind["nodes"]]
    gates = {key: value for key, value in model.cluster.kind.items() if key == "featureGates"}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": NAME,
        "networking": {"disableDefaultCNI": True},
        "nodes": nodes,
        **gates,
    }


def renamed(model: Plan) -> Plan:
    """A plan whose nodes are called as kind calls them, for the same wait."""
    containers = {name: container for container, name in container_names(model, NAME).items()}
    nodes = [replace(one, name=containers[one.name]) for one in model.kubernetes_nodes]
    return replace(model, nodes=tuple(nodes))


def write_conflists(kubeconfig: Path) -> None:
    """A static CNI configuration on each node, by the pod network that kind gave it."""
    for node in ApiReader(kubeconfig).get("/api/v1/nodes")["items"]:
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": node["spec"]["podCIDR"]}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins = [
            {"type": "ptp", "ipMasq": True, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        conflist = json.dumps({"cniVersion": "0.4.0", "name": "bare", "plugins": plugins})
        name = node["metadata"]["name"]
        run("docker", "exec", "-i", name, "tee", "/etc/cni/net.d/10-bare.conflist", stdin=conflist)


def run(*argv: object, stdin: str = "") -> None:
    subprocess.run(
        [str(one) for one in argv], input=stdin, text=True, check=True, stdout=subprocess.DEVNULL
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=2)
    parser.add_argument("--only", choices=("ours", "bare"))
    given = parser.parse_args()
    measured: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(given.rounds):
        for name, measure in (("bare", bare), ("ours", ours)):
            if given.only in (None, name):
                measured[name].append(measure())
                print(f"{name:5} {measured[name][-1]:6.1f} s", flush=True)
    medians = {name: statistics.median(some) for name, some in measured.items() if some}
    for name, seconds in medians.items():
        print(f"median {name:5} {seconds:6.1f} s of {len(measured[name])}")
    if len(medians) == 2:
        ratio = medians["ours"] / medians["bare"]
        met = "met" if ratio <= BAR else "missed"
        print(f"ratio ours / bare {ratio:.2f} (bar {BAR}: {met})")
        return int(ratio > BAR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
