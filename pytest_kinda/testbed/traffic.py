"""Traffic and what it measured: ping and iperf3 between any two places where commands run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_kinda.errors import CommandError, KindaError
from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.results import Result


class Addressed(Protocol):
    """A node, device or pod: it has an address."""

    @property
    def ip(self) -> str:
        """Its address."""
        ...


Target = str | Addressed


@dataclass(frozen=True)
class Ping:
    """What a ping measured; round trips in milliseconds, None where nothing came back."""

    sent: int
    received: int
    min_ms: float | None = None
    mean_ms: float | None = None
    max_ms: float | None = None

    @property
    def loss(self) -> float:
        """The share that was lost, from 0 to 1."""
        return 1 - self.received / self.sent if self.sent else 0.0

    def __bool__(self) -> bool:
        """Whether anything came back."""
        return self.received > 0


@dataclass(frozen=True)
class Iperf:
    """What iperf3 measured: payload rates in bit/s, times in seconds.

    ``lost_packets`` and ``jitter_ms`` are those of a UDP test, ``retransmits`` of a TCP one.
    ``raw`` is all that the client printed.
    """

    sent_bits_per_second: float
    received_bits_per_second: float
    seconds: float
    sent_bytes: int
    received_bytes: int
    retransmits: int | None
    lost_packets: int | None
    packets: int | None
    jitter_ms: float | None
    raw: Mapping[str, Any]


def address_of(target: Target) -> str:
    """An address given as text, or that of a node or pod."""
    return target if isinstance(target, str) else target.ip


_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) (?:packets )?received")
_TIMES = re.compile(r"min/avg/max(?:/mdev)? = ([\d.]+)/([\d.]+)/([\d.]+)")


def parse_ping(result: Result) -> Ping:
    """What ping (of iputils or busybox) printed. Raises CommandError."""
    counts = _COUNTS.search(result.stdout)
    if counts is None:
        raise result.error("it is no ping's output")
    times = _TIMES.search(result.stdout)
    values = [float(one) for one in times.groups()] if times else [None] * 3
    return Ping(int(counts.group(1)), int(counts.group(2)), *values)


def ping(
    source: CommandPlace,
    target: Target,
    *,
    count: int = 3,
    interval: float = 0.2,
    size: int = 56,
    dont_fragment: bool = False,
    wait: float = 1.0,
    pattern: str = "",
) -> Ping:
    """Ping from a place to a node, pod or address.

    ``interval`` and ``wait`` (for an answer) in seconds, ``size`` in bytes of payload, which
    repeats the bytes of ``pattern`` (hex, at most 16). No answer is a result, not an error.
    Raises CommandError where ping itself fails. Example::

        assert ping(w1, w2, size=1472, dont_fragment=True).loss == 0
    """
    argv = ["ping", "-n", "-c", str(count), "-i", f"{interval:g}", "-W", f"{wait:g}"]
    argv += ["-p", pattern] if pattern else []
    argv += ["-s", str(size), *(["-M", "do"] if dont_fragment else []), address_of(target)]
    limit = count * (interval + wait) + 30.0
    result = source.exec(*argv, check=False, timeout=limit)
    # 1 says that nothing came back; a packet that is too big is told with 1 as well.
    if result.rc not in (0, 1):
        raise result.error()
    return parse_ping(result)


def parse_iperf(data: Mapping[str, Any]) -> Iperf:
    """The JSON of an iperf3 client. Raises KindaError with iperf3's own words."""
    if error := data.get("error"):
        raise KindaError(f"iperf3: {error}")
    end = data["end"]
    both = end.get("sum", {})
    sent, received = end.get("sum_sent", both), end.get("sum_received", both)
    udp = "lost_packets" in both
    return Iperf(
        float(sent["bits_per_second"]),
        float(received["bits_per_second"]),
        float(received.get("seconds", 0.0)),
        int(sent["bytes"]),
        int(received["bytes"]),
        None if udp else sent.get("retransmits"),
        int(both["lost_packets"]) if udp else None,
        int(both["packets"]) if udp else None,
        float(both["jitter_ms"]) if udp else None,
        data,
    )


def iperf(
    client: CommandPlace,
    server: CommandPlace,
    target: Target | None = None,
    *,
    seconds: float = 3.0,
    udp: bool = False,
    rate: int | None = None,
    parallel: int = 1,
    reverse: bool = False,
    port: int = 5201,
    server_port: int | None = None,
    length: int | None = None,
) -> Iperf:
    """Run an iperf3 server in one place and a client in another, for whole ``seconds``.

    ``target`` is the server's address where it is not its own (a service's, for example), and
    ``server_port`` where it listens when that is not the ``port`` that the client asks for;
    ``rate`` in bit/s (of UDP: 1 Mbit/s unless told otherwise, 0: all that can be sent); ``length``
    is the bytes of a datagram, of TCP those of a write; ``reverse`` lets the server send.
    Raises CommandError, KindaError. Example::

        assert 80e6 < iperf(client, server).received_bits_per_second < 105e6
    """
    if target is None:
        target = getattr(server, "ip", None)
    if target is None:
        raise KindaError(f"{server!r} has no address; pass target=")
    if seconds < 1 or seconds != int(seconds):
        # It reads 0.5 as 0, which is without an end.
        raise KindaError(
            f"iperf: seconds: found {seconds:g}; iperf3 counts whole seconds, from 1",
            remedy="for less than a second use ping, or link.measure() around what you send",
        )
    argv = ["iperf3", "-c", address_of(target), "-p", str(port), "-t", str(int(seconds)), "-J"]
    argv += ["-P", str(parallel)] if parallel > 1 else []
    argv += ["-u"] if udp else []
    argv += ["-b", str(rate)] if rate is not None else []
    argv += ["-l", str(length)] if length is not None else []
    argv += ["-R"] if reverse else []
    with server.start(
        "iperf3", "-s", "-1", "-p", str(server_port or port), "--forceflush"
    ) as serving:
        serving.wait_for_output("listening", timeout=20.0)
        result = client.exec(*argv, timeout=seconds + 60.0, check=False)
        try:
            data = result.json()
        except CommandError:
            raise result.error("iperf3 gave no JSON") from None
        return parse_iperf(data)
