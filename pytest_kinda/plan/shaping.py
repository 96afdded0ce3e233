"""What the interfaces do to packets: link settings as shapes, refused where nothing can do them."""

from __future__ import annotations

from pytest_kinda.errors import Problem
from pytest_kinda.operations import Shape
from pytest_kinda.plan.values import HostFacts
from pytest_kinda.topology import Link
from pytest_kinda.units import format_rate

LATENCY = 50_000_000
"""Longest wait in a rate's queue where none is declared, in nanoseconds."""

HELD = 256 << 20
"""Bytes that one direction holds at once where there is no netem; ``MEMORY`` in host/hold.py."""

_NETEM = ("delay", "jitter", "loss", "corrupt", "duplicate", "reorder")


def default_burst(rate: int, mtu: int) -> int:
    """How many bytes may go at once: 4 ms of the rate (a timer tick at 250 Hz), 10 packets."""
    return max(rate // 250 // 8, 10 * mtu)


def shape_of(link: Link, direction: str) -> Shape | None:
    """The shape of the interface at that end (``a`` or ``b``), or None without settings."""
    settings = link.settings("a" if direction == "a" else "b")
    if not settings:
        return None
    rate = settings.get("rate")
    if rate:
        settings.setdefault("burst", default_burst(int(rate), link.mtu))
        settings.setdefault("latency", LATENCY)
    plain = {
        name: int(value) if isinstance(value, int) else float(value)
        for name, value in settings.items()
    }
    return Shape(**plain)  # type: ignore[arg-type]


def shape_problems(links: tuple[Link, ...], facts: HostFacts) -> list[Problem]:
    """Settings that this machine has no mechanism for."""
    problems: list[Problem] = []
    for link in links:
        both = {**link.settings("b"), **link.settings("a")}
        wanted = [name for name in _NETEM if both.get(name)]
        if wanted and not (facts.netem or facts.hold):
            problems.append(
                Problem(
                    link.where,
                    ", ".join(wanted),
                    "a kernel without netem, and without eBPF and TAP to do it in its place",
                    "a kernel that has sch_netem (modprobe sch_netem), or only rate=",
                )
            )
        held = int(both.get("rate") or 0) * int(both.get("delay") or 0) // 8_000_000_000
        if held > HELD and facts.hold and not facts.netem:
            problems.append(
                Problem(
                    link.where,
                    "rate and delay",
                    f"{held >> 20} MiB on their way at once, without netem",
                    f"at most {HELD >> 20} MiB, or a kernel that has sch_netem",
                )
            )
        if "rate" not in both:
            for name in ("burst", "latency"):
                if name in both:
                    problems.append(
                        Problem(link.where, name, "no rate", "a rate that it belongs to")
                    )
        burst, rate = both.get("burst"), both.get("rate")
        if burst and rate and burst < link.mtu + 14:
            problems.append(
                Problem(
                    link.where,
                    "burst",
                    f"{burst} bytes at {format_rate(int(rate))}",
                    f"at least one whole packet, {link.mtu + 14} bytes",
                )
            )
    return problems
