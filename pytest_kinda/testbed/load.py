"""Whether the machine was too busy to be faithful: CPU, scheduler delay, packets dropped by it.

A network on one machine is as good as that machine has time for it. What is read here is the
kernel's own account of everything that ran, not only of the testbed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType

INTERVAL = 0.25
"""Seconds between two looks at the processors."""
BUSY = 0.95
"""From this share of all processors on an interval counts as saturated."""
SATURATED = 1.0
"""Seconds of saturation, or of waiting for a processor, that are worth a word."""
WAITED = 0.5
"""Share of the time, in which something waited for a processor, that is worth a word."""
STOLEN = 0.1
"""Share of the processors, taken by the hypervisor, that is worth a word."""


@dataclass(frozen=True)
class Load:
    """What the machine did within a block. Truthy when it had enough time for everything.

    ``busy`` and ``stolen`` are shares (0 to 1) of all processors, ``saturated_seconds`` the time in
    which none was free, ``waited_seconds`` the time in which something that could run waited for
    a processor (0 where the kernel does not tell), ``dropped_packets`` those that the kernel's
    receive queues had no room for.
    """

    seconds: float
    busy: float = 0.0
    stolen: float = 0.0
    saturated_seconds: float = 0.0
    waited_seconds: float = 0.0
    dropped_packets: int = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """Why what was measured meanwhile may not be what the network would have done."""
        found = []
        if self.saturated_seconds >= SATURATED:
            found.append(
                f"no processor was free for {self.saturated_seconds:.1f} of {self.seconds:.1f} s"
            )
        if self.waited_seconds >= max(SATURATED, WAITED * self.seconds):
            found.append(
                f"processes waited for a processor in {self.waited_seconds:.1f} "
                f"of {self.seconds:.1f} s"
            )
        if self.stolen >= STOLEN:
            found.append(f"the hypervisor took {self.stolen:.0%} of the processors' time")
        if self.dropped_packets:
            found.append(f"the kernel's receive queues dropped {self.dropped_packets} packets")
        return tuple(found)

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        return "; ".join(self.problems) or f"{self.busy:.0%} busy for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Sample:
    """The counters at one moment: ticks of all processors, seconds of waiting, dropped packets."""

    at: float
    total: int = 0
    idle: int = 0
    stolen: int = 0
    waited: float = 0.0
    dropped: int = 0


def sample(proc: Path = Path("/proc")) -> Sample:
    """Read the counters; what this kernel does not tell is 0."""
    at = time.monotonic()
    ticks = [int(one) for one in _first_line(proc / "stat").split()[1:9]]
    ticks += [0] * (8 - len(ticks))
    waited = 0.0
    for word in _first_line(proc / "pressure/cpu").split():
        if word.startswith("total="):
            waited = int(word.partition("=")[2]) / 1e6
    dropped = 0
    for line in _read(proc / "net/softnet_stat").splitlines():
        dropped += int(line.split()[1], 16)
    return Sample(at, sum(ticks), ticks[3] + ticks[4], ticks[7], waited, dropped)


def load_of(samples: list[Sample]) -> Load:
    """What happened between the first and the last of some samples."""
    first, last = samples[0], samples[-1]
    total = max(1, last.total - first.total)
    saturated = sum(
        after.at - before.at
        for before, after in pairwise(samples)
        if after.total > before.total
        and 1 - (after.idle - before.idle) / (after.total - before.total) >= BUSY
    )
    return Load(
        seconds=last.at - first.at,
        busy=max(0.0, 1 - (last.idle - first.idle) / total),
        stolen=max(0.0, (last.stolen - first.stolen) / total),
        saturated_seconds=saturated,
        waited_seconds=max(0.0, last.waited - first.waited),
        dropped_packets=max(0, last.dropped - first.dropped),
    )


class LoadWatch:
    """Watches the machine within a ``with`` block; ``load`` once it has ended. Example::

    with LoadWatch() as watch:
        result = kinda.iperf("w1", "w2")
    assert watch.load, str(watch.load)
    """

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="kinda load", daemon=True)

    @property
    def load(self) -> Load:
        """What the machine did so far, or within the block."""
        return load_of(self._samples or [sample()])

    def __enter__(self) -> LoadWatch:
        self._samples.append(sample())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._samples.append(sample())

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            self._samples.append(sample())


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # an option of the kernel that it was built without
        return ""


def _first_line(path: Path) -> str:
    return (_read(path).splitlines() or [""])[0]
