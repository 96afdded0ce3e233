"""Workloads from traces: what arrives when, how large it is, how long it stays.

``trace()`` reads the CSV format of openb (Alibaba's cluster-trace-gpu-v2023), ``replay`` lets it
arrive. A trace of our own in that format, 200 pods within an hour, comes with the package.
"""

from __future__ import annotations

import csv
import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_kinda.errors import ExperimentError

SYNTHETIC = Path(__file__).parent / "data" / "synthetic.csv"
"""Our own trace: made by a seeded generator in the project's tests, licensed as the project."""
_COLUMNS = ("name", "cpu_milli", "creation_time", "deletion_time")


@dataclass(frozen=True)
class Arrival:
    """One thing that arrives, ``time`` seconds after the trace's beginning, for ``duration``.

    ``requests`` are quantities as Kubernetes writes them (``{"cpu": "500m"}``); a ``duration`` of
    None stays for ever.
    """

    time: float
    name: str
    kind: str = "pod"
    requests: Mapping[str, str] = field(default_factory=dict, hash=False)
    duration: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Replayed:
    """What arrived, and how many seconds later than it should have."""

    arrival: Arrival
    late: float


class Trace:
    """Arrivals in the order of time. Example::

    for one in trace(limit=20, scale=0.01):
        print(one.time, one.name, one.requests)
    """

    def __init__(self, arrivals: Iterable[Arrival]) -> None:
        self.arrivals = tuple(sorted(arrivals, key=lambda one: one.time))

    def __iter__(self) -> Iterator[Arrival]:
        return iter(self.arrivals)

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def seconds(self) -> float:
        """From the beginning to the last arrival."""
        return self.arrivals[-1].time if self.arrivals else 0.0

    def replay(
        self, begin: Callable[[Arrival], object], end: Callable[[Arrival], object] | None = None
    ) -> tuple[Replayed, ...]:
        """Call ``begin`` when something arrives, and ``end`` when its duration is over.

        Both are called in this thread, one after the other: what takes long makes the next ones
        late, which is told. Ends that lie after the last arrival are waited for. Whatever they
        raise ends the replay. Example::

            trace(limit=50, scale=0.01).replay(
                lambda one: kinda.cluster.run_pod(one.name, requests=one.requests, wait=False)
            )
        """
        events = [(one.time, number, True, one) for number, one in enumerate(self.arrivals)]
        heapq.heapify(events)
        clock, found = threading.Event(), []  # nobody sets it: a wait that has an end
        started = time.monotonic()
        while events:
            due, number, arrives, one = heapq.heappop(events)
            clock.wait(max(0.0, started + due - time.monotonic()))
            if not arrives:
                assert end is not None
                end(one)
                continue
            found.append(Replayed(one, max(0.0, time.monotonic() - started - due)))
            begin(one)
            if end is not None and one.duration is not None:
                heapq.heappush(events, (due + one.duration, number, False, one))
        return tuple(found)


def trace(
    source: str | Path | Iterable[Arrival] = SYNTHETIC,
    *,
    scale: float = 1.0,
    limit: int | None = None,
    window: tuple[float, float] | None = None,
    longest_gap: float | None = None,
    shrink: float = 1.0,
    gpu: str = "",
) -> Trace:
    """Read a trace, or take arrivals that are there; its first arrival is at 0.

    ``window`` (seconds from the trace's first arrival) and then ``limit`` choose what arrives;
    ``scale`` multiplies all times and durations (0.01: a hundred times as fast); no two arrivals
    are then farther apart than ``longest_gap`` seconds. ``shrink`` multiplies CPU and memory, so
    that pods of large machines fit on small ones; ``gpu`` names the resource that GPUs are asked
    as (without it they are not). Raises ExperimentError for what is no such trace.

    Example: ``trace("openb_pod_list.csv", window=(0, 86400), scale=0.001, shrink=0.01)``
    """
    for name, value in (("scale", scale), ("shrink", shrink)):
        if value <= 0:
            raise ExperimentError(f"{name}: found {value!r}; expected a number above 0")
    if isinstance(source, (str, Path)):
        found = Trace(_read(Path(source), shrink, gpu)).arrivals
    else:
        found = Trace(source).arrivals
    first = found[0].time if found else 0.0
    found = tuple(replace(one, time=one.time - first) for one in found)
    if window is not None:
        found = tuple(one for one in found if window[0] <= one.time < window[1])
    return Trace(_scaled(found[:limit], scale, longest_gap))


def _scaled(
    arrivals: Iterable[Arrival], scale: float, longest_gap: float | None
) -> Iterator[Arrival]:
    before: float | None = None
    now = 0.0
    for one in arrivals:
        gap = (one.time - before) * scale if before is not None else 0.0
        now += gap if longest_gap is None else min(gap, longest_gap)
        before = one.time
        duration = None if one.duration is None else one.duration * scale
        yield replace(one, time=now, duration=duration)


def _read(path: Path, shrink: float, gpu: str) -> Iterator[Arrival]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ExperimentError(f"trace: {error}") from None
    reader = csv.DictReader(lines)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ExperimentError(f"{path}:1: lacks the columns {', '.join(missing)}")
    for row in reader:
        try:
            yield _arrival(row, shrink, gpu)
        except (TypeError, ValueError) as error:
            raise ExperimentError(f"{path}:{reader.line_num}: {error}") from None


def _arrival(row: Mapping[str, str], shrink: float, gpu: str) -> Arrival:
    created, deleted = float(row["creation_time"]), row["deletion_time"]
    # what waited for a node in the trace may wait here as well, and runs as long as it ran there
    began = float(row.get("scheduled_time") or created)
    requests = {"cpu": f"{max(1, round(int(row['cpu_milli']) * shrink))}m"}
    if memory := row.get("memory_mib"):
        requests["memory"] = f"{max(1, round(int(memory) * shrink))}Mi"
    if gpu and int(row.get("num_gpu") or 0):
        requests[gpu] = row["num_gpu"]
    return Arrival(
        created,
        row["name"],
        requests=requests,
        duration=max(0.0, float(deleted) - began) if deleted else None,
        group=row.get("qos") or "",
    )
