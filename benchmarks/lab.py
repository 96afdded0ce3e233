"""How fast a lab is: its first pod, its memory, and 5,000 pods on 1,000 nodes.

Bars, on 2 cores: the first pod has a node within 5 s of the lab's beginning, which then takes less
than 600 MB (proportional set size of all its processes); 5,000 pods, made one by one by 4 threads
of this process, have nodes within 20 s of the first one's making, on 1,000 nodes. The plan of the
topology is made before, and timed apart. The best of 3 starts counts, and 1 run of the 5,000.
Prints bar, result, met or missed; status 1 when one is missed.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_kinda import Lab, Topology
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.generators import leaf_spine
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import USUAL, Plan, PlanOptions
from pytest_kinda.setup.lab import PROGRAMS

FIRST, MEMORY, ALL = 5.0, 600.0, 20.0
NODES, PODS, THREADS = 1000, 5000, 4
_UNBOUND = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3D"


def planned(topology: Topology) -> Plan:
    began = time.perf_counter()
    made = plan(topology, PlanOptions(pod_cidr="10.128.0.0/9"), USUAL)
    nodes = len(made.kubernetes_nodes)
    print(f"{topology.name}: {nodes} nodes planned in {time.perf_counter() - began:.1f} s")
    return made


def first_pod(made: Plan) -> tuple[float, float]:
    """Seconds until the first pod has a node, and megabytes of the lab then."""
    began = time.perf_counter()
    with Lab(made) as lab:
        stands = time.perf_counter() - began
        lab.cluster.run_pod("first")
        bound = time.perf_counter() - began
        size = megabytes(lab)
        print(f"  stands after {stands:.2f} s, first pod {bound:.2f} s, {size:.0f} MB")
        return bound, size


def megabytes(lab: Lab) -> float:
    """The proportional set size of all processes that were started with the lab's directory."""
    found = 0
    for folder in processes(lab):
        try:
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found / 1024


def seconds_used(lab: Lab) -> dict[str, float]:
    """Processor seconds of each process of the lab so far: what a busy machine does not change."""
    found: dict[str, float] = {}
    for folder in processes(lab):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        named = [Path(one).name for one in words if Path(one).name in PROGRAMS]
        name = named[0] if named else words[2] if words[1:2] == ["-m"] else Path(words[0]).name
        ticks = int(fields[11]) + int(fields[12])
        found[name] = found.get(name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return found


def processes(lab: Lab) -> list[Path]:
    """The folders in /proc of what was started with the lab's directory."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            known = str(lab.directory).encode() in (folder / "cmdline").read_bytes()
            # etcd is told paths within the directory that it is started in
            if known or (folder / "cwd").resolve() == lab.directory:
                found.append(folder)
        except OSError:
            continue
    return found


def pod(number: int) -> dict[str, Any]:
    container = {"name": "pod", "image": "none", "resources": {"requests": {"cpu": "100m"}}}
    return {"metadata": {"name": f"pod-{number}"}, "spec": {"containers": [container]}}


def many(made: Plan) -> float:
    """Seconds from the making of the first of many pods until all have nodes."""
    began = time.perf_counter()
    with Lab(made) as lab:
        kubeconfig = lab.lab.kubeconfig
        assert kubeconfig is not None
        print(
            f"  {len(made.kubernetes_nodes)} nodes stand after {time.perf_counter() - began:.1f} s"
        )

        def create(first: int) -> None:
            api = LabApi(kubeconfig)
            for number in range(first, PODS, THREADS):
                api.request("POST", "/api/v1/namespaces/default/pods", pod(number))

        api = LabApi(kubeconfig)

        def unbound() -> str:
            left = len(api.request("GET", _UNBOUND)["items"])
            return f"{left} pods have no node" if left else ""

        before = {**seconds_used(lab), "this program": time.process_time()}
        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(create, range(THREADS)))
        made_all = time.perf_counter() - began
        wait_until(unbound, "nodes for all pods", limit=120.0)
        took = time.perf_counter() - began
        print(
            f"  {PODS} pods made in {made_all:.1f} s, all on nodes after {took:.1f} s "
            f"({PODS / took:.0f} a second); {megabytes(lab):.0f} MB"
        )
        used = {**seconds_used(lab), "this program": time.process_time()}
        spent = {name: value - before.get(name, 0.0) for name, value in used.items()}
        shown = ", ".join(f"{name} {value:.1f}" for name, value in sorted(spent.items()))
        print(f"  processor seconds until then: {sum(spent.values()):.1f} ({shown})")
        return took


def told(what: str, bar: float, result: float, unit: str) -> bool:
    word = "met" if result <= bar else "missed"
    print(f"{what}: bar {bar:g} {unit}, result {result:.2f} {unit}, {word}")
    return result <= bar


def main() -> int:
    small = planned(leaf_spine(2, 4, 5))
    starts = [first_pod(small) for _ in range(3)]
    large = planned(leaf_spine(4, 40, NODES // 40))
    took = many(large)
    met = [
        told("first pod on a node", FIRST, min(one for one, _ in starts), "s"),
        told("memory", MEMORY, max(size for _, size in starts), "MB"),
        told(f"{PODS} pods on {NODES} nodes", ALL, took, "s"),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
