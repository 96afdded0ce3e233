"""How long planning takes and how much memory: a fat tree k=16 (1,344 nodes, 3,072 links).

Bars: under 2 s of processor time (planning is one thread and waits for nothing, and the machine may
be busy; the clock's time is printed beside it) and under 300 MB. Prints bar, result, met or missed;
status 1 when one is missed.
"""

from __future__ import annotations

import resource
import sys
import time

from pytest_kinda.generators import fat_tree
from pytest_kinda.plan import plan

SECONDS = 2.0
MEGABYTES = 300.0


def main() -> int:
    missed = 0
    for leaves in ("hosts", "workers"):
        topology = fat_tree(16, leaves=leaves)
        times = []
        for _ in range(3):
            clock, processor = time.perf_counter(), time.process_time()
            made = plan(topology)
            times.append((time.process_time() - processor, time.perf_counter() - clock))
        best, clock = min(times)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        routes = sum(len(one.routes) for one in made.nodes)
        size = f"{len(made.nodes)} nodes, {len(made.links)} links, {routes} routes"
        print(f"{leaves}: {size}; {clock:.2f} s by the clock")
        for what, bar, found, unit in (
            ("time", SECONDS, best, "s"),
            ("memory", MEGABYTES, memory, "MB"),
        ):
            met = found <= bar
            missed += not met
            print(f"  {what}: bar {bar:g} {unit}, result {found:.2f} {unit}, {_word(met)}")
    return 1 if missed else 0


def _word(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    sys.exit(main())
