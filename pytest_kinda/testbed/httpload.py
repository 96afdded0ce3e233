"""HTTP load: many requests from one place by its own curl, and how long each took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_kinda.errors import KindaError
from pytest_kinda.testbed.commands import CommandPlace

MOST = 100_000
"""Requests of one load: each is a line of what curl is told."""

# The place's clock around curl; without nanoseconds (busybox) the caller's stopwatch has to do.
_SCRIPT = (
    'begun=$(date +%s%N); curl "$@"; rc=$?; ended=$(date +%s%N); '
    'echo "took $begun $ended"; exit $rc'
)
_FORMAT = "answer %{http_code} %{time_total} %{size_download} %{exitcode}\\n"


@dataclass(frozen=True)
class HttpLoad:
    """What a load measured. Truthy when every request was answered with a status below 400.

    ``seconds`` is the time of all together; times of single requests are in milliseconds, from
    the start of the connection to the end of the answer, of those that were answered. ``statuses``
    counts answers by HTTP status, ``errors`` requests without an answer by curl's exit status.
    """

    requests: int
    seconds: float
    received_bytes: int
    statuses: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[int, int] = field(default_factory=dict)
    times_ms: tuple[float, ...] = field(default=(), repr=False)

    @property
    def answered(self) -> int:
        """How many requests had an answer, of whatever status."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """How many had none, or one of 400 and above."""
        bad = sum(count for status, count in self.statuses.items() if status >= 400)
        return bad + sum(self.errors.values())

    @property
    def requests_per_second(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def mean_ms(self) -> float | None:
        """The mean time of an answer; None without any."""
        return sum(self.times_ms) / len(self.times_ms) if self.times_ms else None

    @property
    def max_ms(self) -> float | None:
        """The longest time of an answer; None without any."""
        return max(self.times_ms, default=None)

    def percentile_ms(self, share: float) -> float | None:
        """The time within which that share (0 to 1) of the answers came; None without any.

        Raises KindaError for a share that is none.
        """
        if not 0 <= share <= 1:
            raise KindaError(f"percentile: found {share!r}; expected a share from 0 to 1")
        if not self.times_ms:
            return None
        times = sorted(self.times_ms)
        return times[max(0, math.ceil(share * len(times)) - 1)]

    def __bool__(self) -> bool:
        return self.requests > 0 and not self.failed and self.answered == self.requests


def parse_load(lines: Sequence[str], requests: int, seconds: float) -> HttpLoad:
    """What curl printed, a line for each request; ``seconds`` where the place has no clock."""
    statuses: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    times: list[float] = []
    received = 0
    for line in lines:
        words = line.split()
        if words[:1] == ["took"] and len(words) == 3 and words[1].isdigit():
            seconds = (int(words[2]) - int(words[1])) / 1e9
        if words[:1] != ["answer"] or len(words) != 5:
            continue
        status, rc = int(words[1]), int(words[4])
        received += int(words[3])
        if rc or not status:
            errors[rc] += 1
        else:
            statuses[status] += 1
            times.append(float(words[2]) * 1000)
    return HttpLoad(requests, seconds, received, dict(statuses), dict(errors), tuple(times))


def http_load(
    client: CommandPlace,
    url: str,
    *,
    requests: int = 200,
    parallel: int = 10,
    timeout: float = 10.0,
    keepalive: bool = True,
    headers: Mapping[str, str] | None = None,
) -> HttpLoad:
    """Ask for a URL so many times, ``parallel`` at once, and measure each answer.

    ``timeout`` in seconds is for one request. Without ``keepalive`` each has a connection of its
    own. An answer that does not come is a result, not an error. Raises KindaError for arguments
    that make no load, CommandError where the place has no curl. Example::

        load = kinda.http_load(client, f"http://{server.ip}:8080/", requests=500)
        assert load and load.percentile_ms(0.99) < 50
    """
    if not url.startswith(("http://", "https://")) or any(one in url for one in '"\\\n\r'):
        raise KindaError(f"url: found {url!r}; expected one that begins with http:// or https://")
    if not 1 <= requests <= MOST or not 1 <= parallel <= 300:
        raise KindaError(
            f"found requests={requests!r}, parallel={parallel!r}; "
            f"expected 1 to {MOST} requests, 1 to 300 of them at once"
        )
    argv = ["-sSkgZ", "--parallel-immediate", "--parallel-max", str(parallel)]
    argv += ["--max-time", f"{timeout:g}", "-w", _FORMAT, "-K", "-"]
    for name, value in {
        **({} if keepalive else {"Connection": "close"}),
        **(headers or {}),
    }.items():
        argv += ["-H", f"{name}: {value}"]
    told = f'url = "{url}"\noutput = "/dev/null"\n' * requests
    limit = timeout * math.ceil(requests / parallel) + 60.0
    result = client.shell(_SCRIPT, *argv, stdin=told, timeout=limit, check=False)
    found = parse_load(result.lines, requests, result.duration)
    if not found.answered and not found.errors:
        raise result.error("curl made no request")
    return found
