"""Tens of real nodes: a cluster on a leaf-spine fabric, measured from start to nothing left.

Run as root: ``python benchmarks/scale.py [--workers 30] [--spines 4] [--leaves 16]``.

Printed: seconds of each phase of the build, when all nodes were Ready and all kube-proxies ran,
whether all pairs are reached, a pod on each worker, memory of a worker (everything in its
container), processors used by the whole machine while nothing is asked of the testbed, and the
teardown. Bars: 110 MB a worker, one processor idle; all nodes Ready within 4 minutes.

The machine is idle when what it used in 15 s is no less than in the 15 s before; it is waited for
two minutes at most, and both the first figure and the last are printed. Setting up is linear when
seconds for a node or link are as many at ``--workers 64 --spines 16 --leaves 64`` as at fewer.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.build.progress import Lines
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed

MEMORY_BAR = 110.0  # MB a worker
IDLE_BAR = 1.0  # processors
READY_BAR = 240.0  # seconds
IDLE_SECONDS = 15.0
IDLE_LIMIT = 120.0


def fabric(workers: int, spines: int, leaves: int) -> Topology:
    """Every leaf joined to every spine; the cluster's nodes in turn on the leaves."""
    up = [f"s{n}" for n in range(1, spines + 1)]
    down = [f"l{n}" for n in range(1, leaves + 1)]
    nodes = ["c1", *(f"w{n}" for n in range(1, workers + 1))]
    return Topology(
        name=f"fabric-{workers}",
        nodes=[ControlPlane("c1"), *map(Worker, nodes[1:]), *map(Router, up + down)],
        links=[
            *(Link(one, leaf) for leaf in down for one in up),
            *(Link(node, down[at % leaves]) for at, node in enumerate(nodes)),
        ],
    )


class Steps(Lines):
    """A line for each step of the build, none for each state of a pod."""

    def info(self, text: str) -> None:
        """Nothing."""


def busy() -> float:
    """Seconds that all processors have worked since boot."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, ticks)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def idle_processors() -> float:
    """Processors in use over a while in which nothing is asked."""
    before, begun = busy(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (busy() - before) / (time.monotonic() - begun)


def settled_processors(before: float) -> tuple[float, float, float]:
    """The same less ``before``: at first, when it falls no more, and the seconds until then."""
    begun = time.monotonic()
    first = now = idle_processors() - before
    while time.monotonic() - begun < IDLE_LIMIT:
        last, now = now, idle_processors() - before
        if now > last * 0.97:
            now = min(now, last)
            break
    return first, now, time.monotonic() - begun


def memory(container: str) -> float:
    """MB of a container as `docker stats` has it: without the cache that can be given back.

    With cgroups of version 1 the usage is that of all below, and so must the cache be.
    """
    answer = docker_request("GET", f"/containers/{container}/stats?stream=false&one-shot=true")
    found = answer["memory_stats"]
    stats = found["stats"]
    return float(found["usage"] - stats.get("total_inactive_file", stats["inactive_file"])) / 1e6


def moments(kinda: Testbed, begun: float) -> tuple[float, float]:
    """Seconds until all nodes were Ready and until all kube-proxies ran, as the API server knows.

    It tells whole seconds.
    """
    nodes = kinda.kubectl("get", "nodes", json=True)["items"]
    ready = [
        condition["lastTransitionTime"]
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    argv = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")
    proxies = kinda.kubectl(*argv, json=True)["items"]
    running = [
        one["state"]["running"]["startedAt"]
        for pod in proxies
        for one in pod["status"]["containerStatuses"]
    ]
    assert len(ready) == len(running) == len(nodes)
    latest = [datetime.fromisoformat(max(some).replace("Z", "+00:00")) for some in (ready, running)]
    return latest[0].timestamp() - begun, latest[1].timestamp() - begun


def verdict(value: float, bar: float, unit: str) -> str:
    return f"{value:.2f} {unit} (bar {bar:.0f}: {'met' if value <= bar else 'missed'})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=30)
    parser.add_argument("--spines", type=int, default=4)
    parser.add_argument("--leaves", type=int, default=16)
    parser.add_argument("--engine", choices=["kathara", "direct"], default="direct")
    given = parser.parse_args()
    topology = fabric(given.workers, given.spines, given.leaves)
    before = idle_processors()
    print(
        f"Linux {platform.release()}, {os.cpu_count()} CPUs, {before:.2f} in use before; "
        f"{len(topology.nodes)} nodes, {len(topology.links)} links, engine {given.engine}"
    )
    begun, clock = time.monotonic(), time.time()
    options = PlanOptions(engine=given.engine)
    kinda = Testbed.build(topology, options=options, progress=Steps(sys.stdout))
    try:
        built = time.monotonic() - begun
        ready, proxies = moments(kinda, clock)
        print(f"all nodes Ready: {verdict(ready, READY_BAR, 's')}")
        print(f"every kube-proxy runs: {proxies:.0f} s")
        size = len(topology.nodes) + len(topology.links)
        each = built / size * 1000
        print(f"every pair of nodes reached: {built:.1f} s, {each:.0f} ms for a node or link")
        begun = time.monotonic()
        workers = [one.name for one in kinda.plan.kubernetes_nodes if one.role == "worker"]
        pods = [
            kinda.cluster.run_pod(
                f"on-{name}", node=name, command=["sleep", "infinity"], wait=False
            )
            for name in workers
        ]
        for pod in pods:
            pod.wait_for()
        print(f"a pod on each of {len(pods)} workers: {time.monotonic() - begun:.1f} s")
        used = sorted(memory(kinda.standing.containers[name]) for name in workers)
        middle = used[len(used) // 2]
        print(f"memory of a worker: {verdict(middle, MEMORY_BAR, 'MB')}; most {used[-1]:.1f}")
        first, idle, after = settled_processors(before)
        told = verdict(idle, IDLE_BAR, "processors")
        print(f"idle: at first {first:.2f}, after {after:.0f} s {told}")
    finally:
        begun = time.monotonic()
        kinda.close()
        print(f"teardown: {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
