"""P4 switches beside Linux forwarding, on both engines, alone and in chains.

Run as root: ``python benchmarks/p4.py [--rounds 5] [--seconds 2] [--bmv2-image IMAGE --bmv2-build
FLAGS]``; under four minutes as it is.

Two hosts and what is between them: a Linux router (the hosts' and its own transmit offloads off,
as the ends of P4 switches have them), 1, 3 and 5 switches on the native engine, and one on BMv2
where its image is. All stand at once and are measured in turn, so that a busy machine hits all;
medians of the rounds are printed. TCP is one connection's payload; UDP datagrams of 18 bytes (64
on the wire) as many as the sender can send, counted where the far host's interface receives; round
trips are ping's; memory is the resident set of a switch's process after that load. "Ready" is the
time from running containers to a standing testbed: links, addresses, programs, ports up.

Bars: one switch at least a third of Linux' TCP; a chain of five at least half of one; 40 switches
ready within 3 s; and against a BMv2 at least 3 times its TCP, at most a quarter of its round trip.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Switch, Router, Topology
from pytest_kinda.build import on_demand
from pytest_kinda.build.progress import Silent
from pytest_kinda.errors import KindaError
from pytest_kinda.host.links import set_tx_checksum
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.p4.compiling import FLAGS
from pytest_kinda.plan import PlanOptions, plan
from pytest_kinda.testbed import Testbed

PROGRAM = Path(__file__).parents[1] / "examples" / "p4" / "router.json"
OF_LINUX, OF_ONE, READY, MANY = 1 / 3, 1 / 2, 3.0, 40
BMV2_TCP, BMV2_TRIP = 3.0, 1 / 4

_MEMORY = """\
for one in /proc/[0-9]*; do
    case "$(readlink "$one/exe")" in
        */kinda-p4/program|*simple_switch*) grep VmRSS "$one/status" ;;
    esac
done
"""


class Running(Silent):
    """A progress that remembers when the containers ran."""

    def __init__(self) -> None:
        self.since = 0.0

    def done(self, step: str, seconds: float) -> None:
        if step.startswith("network ("):
            self.since = time.monotonic()


@dataclass
class Subject:
    """Something between two hosts, and what was measured with it."""

    name: str
    testbed: Testbed
    ready: float
    tcp: list[float] = field(default_factory=list)
    udp: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)

    def measure(self, seconds: int) -> None:
        """One round: TCP, UDP, round trips."""
        measured = self.testbed.iperf("h1", "h2", seconds=seconds)
        self.tcp.append(measured.received_bits_per_second / 1e6)
        self.udp.append(self._datagrams(seconds) / 1e3)
        ping = self.testbed.ping("h1", "h2", count=100, interval=0.01)
        if ping.mean_ms is None:
            raise SystemExit(f"{self.name}: no answer to ping")
        self.trips.append(ping.mean_ms)

    def _datagrams(self, seconds: int) -> float:
        """Packets a second that arrive."""
        end = self.testbed.node("h2").interfaces[0]
        before = end.counters().received_packets
        sent = self.testbed.iperf("h1", "h2", seconds=seconds, udp=True, rate=0, length=18)
        return (end.counters().received_packets - before) / sent.seconds

    def memory(self) -> float:
        """MB of the largest process of a switch; 0 where there is none."""
        sizes = [
            int(line.split()[1])
            for one in self.testbed.devices
            if one.kind == P4Switch.kind
            for line in one.shell(_MEMORY).stdout.splitlines()
        ]
        return max(sizes, default=0) / 1024


def chain(name: str, between: list[Router | P4Switch]) -> Topology:
    """Two hosts and something between them."""
    nodes = [Host("h1"), *between, Host("h2")]
    links = [Link(a.name, b.name) for a, b in itertools.pairwise(nodes)]
    return Topology(name=name, nodes=nodes, links=links)


def switches(count: int, engine: str = "native") -> list[Router | P4Switch]:
    return [
        P4Switch(f"s{number}", program=PROGRAM, engine=engine, forwarding=ROUTES)  # type: ignore[arg-type]
        for number in range(1, count + 1)
    ]


def built(topology: Topology, options: PlanOptions) -> tuple[Testbed, float]:
    """A testbed, and the seconds from its running containers until it stood."""
    progress = Running()
    testbed = Testbed.build(topology, options=options, progress=progress)
    return testbed, time.monotonic() - progress.since


def offloads_off(testbed: Testbed) -> None:
    """Of every interface, as the plan does it where a P4 switch is at the other end."""
    for node in testbed.nodes:
        place = testbed.standing.places[node.name]
        with Namespace.open(place.pid, place.started) as namespace, entered(namespace):
            for one in node.interfaces:
                set_tx_checksum(one.name, False)


def subjects(stack: ExitStack, options: PlanOptions, lengths: list[int]) -> Iterator[Subject]:
    """All that is measured, standing."""
    testbed, ready = built(chain("bench-linux", [Router("r")]), options)
    stack.enter_context(testbed)
    offloads_off(testbed)
    yield Subject("Linux forwarding", testbed, ready)
    for length in lengths:
        testbed, ready = built(chain(f"bench-native-{length}", switches(length)), options)
        stack.enter_context(testbed)
        yield Subject(f"native, {length}", testbed, ready)
    topology = chain("bench-bmv2", switches(1, "bmv2"))
    made = plan(topology, options)
    if on_demand.missing(on_demand.images_of(made)) or on_demand.chosen_missing(made):
        print("BMv2: its image is not here (--bmv2-image)")
        return
    testbed, ready = built(topology, options)
    stack.enter_context(testbed)
    yield Subject("BMv2, 1", testbed, ready)


def many_ready(options: PlanOptions) -> float:
    """Seconds until a line of switches is ready, once its containers run."""
    testbed, ready = built(chain("bench-many", switches(MANY)), options)
    with testbed:
        if not testbed.ping("h1", "h2", count=1, wait=5.0):
            raise SystemExit(f"nothing crosses {MANY} switches")
    return ready


def verdict(what: str, found: str, met: bool) -> bool:
    """Print a bar, the result, and whether it is met."""
    print(f"  {what}: {found}: {'met' if met else 'MISSED'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--chains", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--bmv2-image", default="", help="the published one unless said")
    parser.add_argument("--bmv2-build", default="not stated", help="the flags of its build")
    given = parser.parse_args()
    options = PlanOptions(engine="direct", bmv2_image=given.bmv2_image)
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; "
          f"native: {' '.join(FLAGS)}; BMv2's flags: {given.bmv2_build}")  # fmt: skip
    with ExitStack() as stack:
        found = list(subjects(stack, options, sorted(given.chains)))
        for _ in range(given.rounds):
            for one in found:
                one.measure(given.seconds)
        memories = [one.memory() for one in found]
    print(f"\n{'median of ' + str(given.rounds):18}{'TCP Mbit/s':>12}{'UDP kpps':>10}"
          f"{'RTT ms':>8}{'MB':>7}{'ready s':>9}")  # fmt: skip
    tcp, trip = {}, {}
    for one, memory in zip(found, memories, strict=True):
        tcp[one.name], trip[one.name] = map(statistics.median, (one.tcp, one.trips))
        print(
            f"{one.name:18}{tcp[one.name]:12.0f}{statistics.median(one.udp):10.1f}"
            f"{trip[one.name]:8.3f}{memory:7.1f}{one.ready:9.2f}"
        )
    return 0 if all(judged(tcp, trip, many_ready(options))) else 1


def judged(tcp: dict[str, float], trip: dict[str, float], ready: float) -> list[bool]:
    """Every bar that what was measured allows to judge, printed."""
    print()
    results = []

    def ratio(one: str, other: str, values: dict[str, float], least: float) -> None:
        if one in values and other in values:
            found = values[one] / values[other]
            what = f"{one} to {other}, {'TCP' if values is tcp else 'RTT'}"
            met = found >= least if values is tcp else found <= least
            sign = "at least" if values is tcp else "at most"
            results.append(verdict(f"{what} (bar {sign} {least:.2f})", f"{found:.2f}", met))

    ratio("native, 1", "Linux forwarding", tcp, OF_LINUX)
    ratio("native, 5", "native, 1", tcp, OF_ONE)
    ratio("native, 1", "BMv2, 1", tcp, BMV2_TCP)
    ratio("native, 1", "BMv2, 1", trip, BMV2_TRIP)
    results.append(
        verdict(f"{MANY} switches ready (bar {READY:.0f} s)", f"{ready:.2f} s", ready < READY)
    )
    return results


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KindaError as error:
        sys.exit(str(error))
