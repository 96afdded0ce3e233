"""What an explanation costs a scheduler: pods on 1,000 nodes of a lab, without and with a record.

The same scheduler (``@scheduler-plugins``, every node scored) places the same number of pods three
times: without our Explain plugin in its profile; with it, but no pod asks; with a record of each
pod. Rounds are interleaved, the median of 3 is told: pods bound in a second, by the API's answers,
and how long a record takes within the scheduler's cycle, by its own clock. There is no bar. Needs
``kinda setup --with scheduling``. Arguments: nodes and pods, 1000 and 200 unless given.
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_kinda import Lab
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.generators import leaf_spine
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import USUAL, PlanOptions
from pytest_kinda.scheduling import explained
from pytest_kinda.scheduling.records import record_of

ROUNDS, THREADS = 3, 4
POINTS = ("multiPoint", "postFilter", "reserve")
WITH = {point: {"enabled": [{"name": "Explain"}]} for point in POINTS}
ARMS = {"without": ({}, {}), "nobody asks": (WITH, {}), "records": (WITH, explained())}


def profile(plugins: dict[str, Any]) -> dict[str, Any]:
    return {"percentageOfNodesToScore": 100, "profiles": [{"plugins": plugins}]}


def pod(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    container = {"name": "pod", "image": "none", "resources": {"requests": {"cpu": "100m"}}}
    spec = {"schedulerName": "telling", "containers": [container]}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": spec}


def place(lab: Lab, arm: str, number: int, pods: int) -> tuple[float, list[float]]:
    """Pods bound in a second, and the seconds of their records."""
    plugins, annotations = ARMS[arm]
    space = f"round-{number}-{arm.replace(' ', '-')}"
    assert lab.lab.kubeconfig is not None
    api = LabApi(lab.lab.kubeconfig)
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
    path = f"/api/v1/namespaces/{space}/pods"

    def create(first: int) -> None:
        mine = LabApi(lab.lab.kubeconfig)  # type: ignore[arg-type]
        for at in range(first, pods, THREADS):
            mine.request("POST", path, pod(f"pod-{at}", annotations))

    def unbound() -> str:
        left = len(api.request("GET", f"{path}?fieldSelector=spec.nodeName%3D")["items"])
        return f"{left} pods have no node" if left else ""

    with lab.scheduler(
        "telling", mode="process", binary="@scheduler-plugins", config=profile(plugins)
    ) as scheduler:
        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(create, range(THREADS)))
        wait_until(unbound, "nodes for all pods", limit=300.0, interval=0.05)
        took = time.perf_counter() - began
        lines = [line for line in scheduler.logs().splitlines() if '"Explained pod"' in line]
    listed = api.request("GET", path)["items"]
    found = [record_of(one["metadata"]["uid"], lines) for one in listed]
    api.request("DELETE", f"{path}?gracePeriodSeconds=0")
    return pods / took, [one.seconds for one in found if one is not None]


def main(nodes: int = 1000, pods: int = 200) -> int:
    leaves = max(1, nodes // 25)
    made = plan(leaf_spine(4, leaves, 25), PlanOptions(pod_cidr="10.128.0.0/9"), USUAL)
    rates: dict[str, list[float]] = {arm: [] for arm in ARMS}
    records: list[float] = []
    with Lab(made) as lab:
        for number in range(ROUNDS):
            for arm in ARMS:
                rate, took = place(lab, arm, number, pods)
                print(f"  {arm}: {rate:.0f} pods/s")
                rates[arm].append(rate)
                records += took
    print(f"{pods} pods on {len(made.kubernetes_nodes)} nodes")
    for arm, found in rates.items():
        print(f"{arm}: {statistics.median(found):.0f} pods/s")
    if len(records) != ROUNDS * pods:
        print(f"{len(records)} records of {ROUNDS * pods} pods")
        return 1
    print(f"a record: {1000 * statistics.median(records):.2f} ms of the scheduler's cycle")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
