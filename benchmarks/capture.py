"""Captures of 200,000 packets at the highest rate that one ``iperf3 -u`` reaches, beside tcpdump.

Run as root: ``python benchmarks/capture.py [--packets 200000] [--sizes 64 1448] [--repeats 3]``.

Two hosts on a bare cable (direct engine, no rate). The sender is told no rate, the capture is at
the receiver's interface and has no filter. In turn: nobody captures, our capture, tcpdump with a
buffer of the same 16 MiB, both at once. Printed: packets a second that the sender reached, and how
many were captured and lost. The bar: what our capture took and what it says it lost are together
exactly what the interface counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest_kinda import Host, Link, Topology
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed

CABLE = Topology(name="cable", nodes=[Host("h1"), Host("h2")], links=[Link("h1", "h2")])
MODES = ("nobody", "ours", "tcpdump", "both")
BUFFER = 16 << 10  # KiB, as tcpdump's -B takes it
_COUNTS = re.compile(r"(\d+) packets captured.*?(\d+) packets dropped by kernel", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """One transfer: packets a second, what crossed the interface, what captures took and lost."""

    rate: float
    crossed: int
    ours: tuple[int, int] | None = None
    tcpdump: tuple[int, int] | None = None

    @property
    def exact(self) -> bool:
        """Whether our capture accounts for every packet."""
        return self.ours is None or sum(self.ours) == self.crossed


def transfer(kinda: Testbed, mode: str, packets: int, size: int, folder: Path) -> Run:
    """Send, captured as ``mode`` says."""
    receiver = kinda.node("h2")
    end = receiver.interfaces[0]
    capture: Any = None
    dump: Any = None
    with ExitStack() as stack:
        serving = stack.enter_context(receiver.start("iperf3", "-s", "-1", "--forceflush"))
        serving.wait_for_output("listening", timeout=20.0)
        if mode in ("tcpdump", "both"):
            argv = ("tcpdump", "-i", end.name, "-n", "-B", str(BUFFER), "-w", "/tmp/dump.pcap")
            dump = stack.enter_context(receiver.start(*argv))
            dump.wait_for_output("listening on", timeout=20.0)
        before = end.counters()
        if mode in ("ours", "both"):
            capture = kinda.capture(end, path=folder / "ours.pcapng", allow_drops=True).start()
        argv = ("iperf3", "-c", receiver.ip, "-u", "-b", "0", "-k", str(packets), "-l", str(size))
        result = kinda.node("h1").exec(*argv, "-J", timeout=120.0).json()["end"]["sum"]
        if capture is not None:
            capture.stop()
        counted = end.counters() - before
        found: tuple[int, int] | None = None
        if dump is not None:
            receiver.exec("pkill", "-INT", "-x", "tcpdump")
            dump.wait(timeout=30.0)
            match = _COUNTS.search(dump.stderr)
            found = (int(match[1]), int(match[2])) if match else (0, 0)
    return Run(
        result["packets"] / result["seconds"],
        counted.received_packets + counted.sent_packets,
        (capture.taken, capture.drops) if capture is not None else None,
        found,
    )


def main() -> int:
    """Print a line for each run; the status says whether every packet was accounted for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 1448])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} processors, {given.packets} packets a run")
    exact = True
    with (
        Testbed.build(CABLE, options=PlanOptions(engine="direct")) as kinda,
        tempfile.TemporaryDirectory(prefix="kinda-bench-") as folder,
    ):
        for size in given.sizes:
            for mode in MODES:
                for _ in range(given.repeats):
                    run = transfer(kinda, mode, given.packets, size, Path(folder))
                    parts = [
                        f"{name} took {found[0]}, lost {found[1]}"
                        for name, found in (("ours", run.ours), ("tcpdump", run.tcpdump))
                        if found
                    ]
                    told = "" if run.exact else f" NOT the {run.crossed} that crossed"
                    line = f"{size:5} bytes  {mode:8} {run.rate:9.0f} packets/s  "
                    print(line + "; ".join(parts) + told, flush=True)
                    exact = exact and run.exact
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
