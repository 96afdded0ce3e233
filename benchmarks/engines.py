"""A star of devices up and down: by hand, direct, on Kathara and on containerlab, in one run.

Run as root: ``python benchmarks/engines.py [--sizes 21 51] [--repeats 3] [--engines direct ...]``.

"By hand" is what the machine can do: the same containers from a pool of 8 threads, cables and
addresses by netlink, no journal, no keeper, no routes, nothing to undo from. The bar: the direct
engine, from plan to standing testbed and from there to nothing left, within 1.3 times that.
containerlab is measured where its program is. Repeats go round, so that a busy machine hits all;
medians are printed, with the times of an idle machine that design.md names (2 cores) beside them.

With several sizes the last lines say whether setting up is linear: what a node and its link cost
at the largest size, beside what they cost at the smallest (bar: 1.3 times).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pyroute2 import IPRoute

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.build.builder import build
from pytest_kinda.build.direct import container
from pytest_kinda.build.engine_api import containers_of, docker_request, place_of
from pytest_kinda.build.facts import facts
from pytest_kinda.build.labels import TESTBED_LABEL
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.plan import PlanOptions, plan
from pytest_kinda.plan.values import Plan

BAR = 1.3
IDLE = {21: (1.5, 0.5), 51: (3.7, 1.3)}  # seconds up and down by hand, on an idle machine
THREADS = 8


class Timed:
    """A progress that keeps the seconds of each step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    def start(self, step: str) -> None: ...

    def done(self, step: str, seconds: float) -> None:
        self.steps[step.partition(" (")[0]] = seconds

    def info(self, text: str) -> None: ...

    def failed(self, step: str, text: str) -> None: ...


def star(size: int) -> Topology:
    """A router in the middle, a host at each of the others' places."""
    names = [f"h{number}" for number in range(1, size)]
    return Topology(
        name=f"star{size}",
        nodes=[Router("r"), *map(Host, names)],
        links=[Link(name, "r") for name in names],
    )


def by_hand(planned: Plan) -> tuple[float, float, str]:
    """Seconds up and down, without anything of ours but one call of the Docker API."""
    testbed = f"bench{uuid.uuid4().hex[:8]}"

    def start(node: Any) -> Any:
        body = container(node, testbed)
        path = f"/containers/create?name=kinda-{testbed}_{node.engine_name}"
        made = docker_request("POST", path, body)["Id"]
        docker_request("POST", f"/containers/{made}/start")
        return place_of(made)

    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        places = dict(
            zip((one.name for one in planned.nodes), pool.map(start, planned.nodes), strict=True)
        )
    containers = time.monotonic() - begun
    wire(planned, places)
    up = time.monotonic() - begun
    begun = time.monotonic()
    found = [one["Id"] for one in containers_of(f"{TESTBED_LABEL}={testbed}")]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda one: docker_request("DELETE", f"/containers/{one}?force=1"), found))
    return up, time.monotonic() - begun, f"containers {containers:.2f}"


def wire(planned: Plan, places: Any) -> None:
    """A veth pair a link, made straight into both namespaces, and its addresses."""
    spaces = {name: Namespace.open(one.pid, one.started) for name, one in places.items()}
    try:
        with IPRoute() as ip:
            for segment in planned.segments:
                a, b = segment.members
                ip.link(
                    "add",
                    ifname=a.interface,
                    kind="veth",
                    net_ns_fd=spaces[a.node].fileno(),
                    peer={"ifname": b.interface, "net_ns_fd": spaces[b.node].fileno()},
                )
        for node in planned.nodes:
            with entered(spaces[node.name]), IPRoute() as ip:
                for one in node.interfaces:
                    index = ip.link_lookup(ifname=one.name)[0]
                    address, _, length = one.addresses[0].partition("/")
                    ip.addr("add", index=index, address=address, prefixlen=int(length))
                    ip.link("set", index=index, state="up")
    finally:
        for space in spaces.values():
            space.close()


def by_containerlab(planned: Plan) -> tuple[float, float, str]:
    """Seconds that containerlab takes for the same containers and cables, without addresses."""
    image = container(planned.nodes[0], "bench")["Image"]
    names = [one.name for one in planned.nodes]
    at = {
        (node.name, one.name): f"{node.name}:eth{number}"
        for node in planned.nodes
        for number, one in enumerate(node.interfaces, start=1)
    }
    lab = {
        "name": f"bench{uuid.uuid4().hex[:8]}",
        "topology": {
            "nodes": {name: {"kind": "linux", "image": image} for name in names},
            "links": [
                {"endpoints": [at[one.node, one.interface] for one in segment.members]}
                for segment in planned.segments
            ],
        },
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "lab.clab.yml")
        path.write_text(json.dumps(lab))
        times = []
        for argv in (("deploy", "-t", path), ("destroy", "--cleanup", "-t", path)):
            begun = time.monotonic()
            subprocess.run(
                ["containerlab", *map(str, argv)], check=True, cwd=directory, capture_output=True
            )
            times.append(time.monotonic() - begun)
    return times[0], times[1], "with a management network of its own"


def by_engine(planned: Plan) -> tuple[float, float, str]:
    """Seconds from a plan to a standing testbed and back to nothing."""
    progress = Timed()
    begun = time.monotonic()
    standing = build(planned, progress=progress)
    up = time.monotonic() - begun
    begun = time.monotonic()
    left = standing.keeper.undo(lambda line: None)
    down = time.monotonic() - begun
    if left:
        raise SystemExit(f"left behind: {', '.join(left)}")
    steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in progress.steps.items())
    return up, down, f"{steps}, rest {up - sum(progress.steps.values()):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[21, 51])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["direct", "kathara"])
    given = parser.parse_args()
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    costs = {size: measure(size, given.repeats, given.engines) for size in sorted(given.sizes)}
    if len(costs) > 1:
        print("\nmilliseconds to set up a node and its link")
        least, most = min(costs), max(costs)
        for name in costs[least]:
            each = {size: 1000 * ups[name] / (2 * size - 1) for size, ups in costs.items()}
            told = ", ".join(f"{size}: {cost:.1f}" for size, cost in each.items())
            met = "met" if each[most] <= BAR * each[least] else "missed"
            print(f"  {name:12} {told}; {each[most] / each[least]:.2f} (bar {BAR}: {met})")


def measure(size: int, repeats: int, engines: list[str]) -> dict[str, float]:
    """One size: every way in turn, ``repeats`` times; the medians as a table, the seconds up."""
    ways: dict[str, Callable[[], tuple[float, float, str]]] = {}
    planned = plan(star(size), PlanOptions(engine="direct"), facts())
    ways["by hand"] = lambda: by_hand(planned)
    for engine in engines:
        one = plan(star(size), PlanOptions(engine=engine), facts())  # type: ignore[arg-type]
        ways[engine] = lambda one=one: by_engine(one)  # type: ignore[misc]
    if shutil.which("containerlab"):
        ways["containerlab"] = lambda: by_containerlab(planned)
    else:
        print("containerlab: not here")
    seen: dict[str, list[tuple[float, float, str]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seen[name].append(way())
    idle = IDLE.get(size)
    print(f"\nstar of {size} devices" + (f"; idle machine, by hand: {idle}" if idle else ""))
    hand: tuple[float, float] | None = None
    ups: dict[str, float] = {}
    for name, results in seen.items():
        up, down = (statistics.median(one[at] for one in results) for at in (0, 1))
        hand = hand or (up, down)
        ups[name] = up
        ratios = up / hand[0], down / hand[1]
        line = f"  {name:12} up {up:6.2f} s ({ratios[0]:.2f})  down {down:6.2f} s ({ratios[1]:.2f})"
        if name == "direct":
            met = ["met" if one <= BAR else "missed" for one in ratios]
            line += f"  bar {BAR:.2f}: up {met[0]}, down {met[1]}"
            if idle:
                line += f"; of the idle machine's {up / idle[0]:.2f}, {down / idle[1]:.2f}"
        print(line)
        print(f"               last: {results[-1][2]}")
    return ups


if __name__ == "__main__":
    main()
