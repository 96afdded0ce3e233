"""Pod to pod across a router: plain routes beside each tunnel driver that this kernel has.

Run as root: ``python benchmarks/tunnels.py [--seconds 2] [--repeats 5] [--exchanges 20000]``.

Throughput is one TCP stream between two child processes, the round trip the median of small UDP
exchanges. Repeats go round the drivers, so that a busy machine hits all of them; medians are
printed, with the ratio to plain routes of the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pyroute2 import IPRoute

from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.host.tunnels import refusal
from tests.support.tunnel_lab import Lab, Reply, lab, ping

TARGET = "10.244.2.2"
BAR = 0.8
"""The share of plain routes' throughput that the eBPF driver must reach."""


def plain_routes(made: Lab) -> None:
    """Pods' networks as ordinary routes of nodes and router, without any tunnel."""
    with entered(made.router), IPRoute() as ip:
        for i in (1, 2):
            ip.route("add", dst=f"10.244.{i}.0/24", gateway=f"10.9.{i}.1")


def in_child(place: Namespace, work: Callable[[], None]) -> int:
    """Fork a process that works in a namespace; its number."""
    child = os.fork()
    if child == 0:
        try:
            with entered(place):
                work()
        finally:
            os._exit(0)
    return child


def throughput(made: Lab, seconds: float) -> float:
    """Gbit/s of one TCP stream from pod 1 to pod 2."""
    with entered(made.pods[1]):
        server = socket.create_server((TARGET, 0))

    def send() -> None:
        with socket.create_connection(server.getsockname()) as client:
            block = bytes(1 << 17)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                client.sendall(block)

    with server:
        child = in_child(made.pods[0], send)
        connection, _ = server.accept()
        began, received, room = time.monotonic(), 0, bytearray(1 << 18)
        with connection:
            while got := connection.recv_into(room):
                received += got
        took = time.monotonic() - began
        os.waitpid(child, 0)
    return received * 8 / took / 1e9


def round_trip(made: Lab, exchanges: int) -> float:
    """Median microseconds of a 16-byte UDP exchange between the pods."""
    with entered(made.pods[1]):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with entered(made.pods[0]):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.bind((TARGET, 0))
        client.connect(server.getsockname())
        client.settimeout(2)

        def echo() -> None:
            for _ in range(exchanges):
                data, back = server.recvfrom(100)
                server.sendto(data, back)

        # Both ends on one CPU: else it is the scheduler's wake-ups that are measured.
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        child = in_child(made.pods[1], echo)
        taken = []
        for number in range(exchanges):
            began = time.perf_counter_ns()
            client.send(struct.pack("QQ", number, 0))
            client.recv(100)
            taken.append(time.perf_counter_ns() - began)
        os.waitpid(child, 0)
        os.sched_setaffinity(0, allowed)
    return statistics.median(taken) / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--exchanges", type=int, default=20_000)
    arguments = parser.parse_args()
    refused = {driver: refusal(driver) for driver in ("bpf", "gre", "vxlan")}
    variants = ["plain", *(driver for driver, why in refused.items() if not why)]
    rates: dict[str, list[float]] = {one: [] for one in variants}
    trips: dict[str, list[float]] = {one: [] for one in variants}
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    with ExitStack() as stack:
        labs = {one: stack.enter_context(lab(2)) for one in variants}
        for one, made in labs.items():
            plain_routes(made) if one == "plain" else made.add_tunnels(one)
            answer = ping(made.pods[0], TARGET)
            if answer != Reply("reply"):
                sys.exit(f"{one}: {answer.kind} from {TARGET}")
        for _ in range(arguments.repeats):
            for one, made in labs.items():
                rates[one].append(throughput(made, arguments.seconds))
                trips[one].append(round_trip(made, arguments.exchanges))
    print(f"{'':8}{'Gbit/s':>8}{'ratio':>7}{'round trip us':>15}{'ratio':>7}")
    base_rate, base_trip = (statistics.median(all_["plain"]) for all_ in (rates, trips))
    for one in variants:
        rate, trip = statistics.median(rates[one]), statistics.median(trips[one])
        print(f"{one:8}{rate:8.2f}{rate / base_rate:7.2f}{trip:15.2f}{trip / base_trip:7.2f}")
    for driver, why in refused.items():
        if why:
            print(f"{driver}: not measured: {why.splitlines()[0]}")
    if "bpf" not in variants:
        return 0
    ratio = statistics.median(rates["bpf"]) / base_rate
    met = "met" if ratio >= BAR else "missed"
    print(f"bpf carries {ratio:.2f} of plain routes (bar {BAR}: {met})")
    return int(ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
