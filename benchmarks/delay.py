"""Links with a delay: how exact it is and what they carry, beside the bar.

Run as root: ``python benchmarks/delay.py [--delays 1 10 50] [--seconds 4]``.

Two hosts on one link, on the direct engine. For each delay, set both ways: datagrams that carry
their time of sending go one way, and what they take beyond the delay and beyond what they take
without one is the error (bar: the median under 0.2 ms). Then 8 parallel TCP connections, and
1 Gbit/s of UDP, counted where the far end's interface receives (bar: 1 Gbit/s by either; what the
receiving program has no time to read from its socket is not the link's loss, and printed beside).
"""

from __future__ import annotations

import argparse
import platform
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest_kinda import Host, Link, Topology
from pytest_kinda.host.facts import has_netem
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed

ERROR_BAR = 0.2  # ms each way
RATE_BAR = 1e9  # bit/s
LINK = Topology(name="delayed", nodes=[Host("h1"), Host("h2")], links=[Link("h1", "h2")])


def inside(testbed: Testbed, node: str) -> socket.socket:
    """A datagram socket in a node's network namespace."""
    place = testbed.standing.places[node]
    with Namespace.open(place.pid, place.started) as namespace, entered(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    return made


def one_way(testbed: Testbed, count: int = 300, gap: float = 0.005) -> list[float]:
    """Milliseconds from h1 to h2."""
    took: list[float] = []
    with inside(testbed, "h1") as one, inside(testbed, "h2") as two:
        two.bind((testbed.node("h2").interfaces[0].address, 0))
        one.connect(two.getsockname())

        def read() -> None:
            for _ in range(count):
                sent = int(two.recv(100))
                took.append((time.monotonic_ns() - sent) / 1e6)

        one.send(b"0")  # the neighbour is asked for
        two.recv(100)
        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(count):
            one.send(str(time.monotonic_ns()).encode())
            time.sleep(gap)
        reader.join()
    return took


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", type=int, nargs="+", default=[1, 10, 50], metavar="MS")
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    by = "netem" if has_netem() else "ours (no netem)"
    print(f"delay by {by}; Linux {platform.release()}")
    missed = 0
    options = PlanOptions(engine="direct")
    with Testbed.build(LINK, options=options) as testbed:
        link = testbed.link("h1", "h2")
        plain = statistics.median(one_way(testbed))
        print(f"one way without a delay: {plain:.3f} ms")
        for delay in given.delays:
            with link.impair(delay=f"{delay}ms"):
                errors = sorted(one - delay - plain for one in one_way(testbed))
                median, late = statistics.median(errors), errors[int(len(errors) * 0.99)]
                met = abs(median) < ERROR_BAR
                missed += not met
                print(
                    f"{delay:3} ms: error each way {median:+.3f} ms, 99 % under {late:+.3f} ms "
                    f"(bar {ERROR_BAR} ms: {verdict(met)})"
                )
                tcp = testbed.iperf("h1", "h2", seconds=given.seconds, parallel=8)
                with link.measure() as measured:
                    udp = testbed.iperf(
                        "h1", "h2", seconds=given.seconds, udp=True, rate=1_000_000_000
                    )
                counters = measured.counters
                arrived = counters.b.received_bytes * 8 / udp.seconds
                best = max(tcp.received_bits_per_second, arrived)
                missed += best < RATE_BAR * 0.95
                print(
                    f"        8 x TCP {tcp.received_bits_per_second / 1e9:.2f} Gbit/s; UDP offered "
                    f"{udp.sent_bits_per_second / 1e9:.2f}, arrived {arrived / 1e9:.2f}, read "
                    f"{udp.received_bits_per_second / 1e9:.2f} Gbit/s "
                    f"(bar 1 Gbit/s by either: {verdict(best >= RATE_BAR * 0.95)})"
                )
                for one in testbed.standing.keeper.holders():
                    print(
                        f"        leaving {one['place']}: {one['released']} held and released, "
                        f"{one['lost']} lost, {one['late']} late by more than 0.2 ms, "
                        f"{one['latest'] / 1e6:.1f} ms at worst"
                    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
