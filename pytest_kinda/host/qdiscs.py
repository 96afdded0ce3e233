"""What an interface does to the packets that leave it: tbf for the rate, netem for the rest.

With both, netem is the root and tbf its child, as netem's manual page has it.
"""

from __future__ import annotations

import errno
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import HostError
from pytest_kinda.host.links import index_of
from pytest_kinda.operations import SetShape, Shape

DEFAULT_LATENCY = 50_000_000  # ns
LEAST_BURST = 32 * 1024  # bytes
FASTEST = (2**32 - 1) * 8  # bit/s: the rate field of tbf has 32 bits of bytes per second

_ROOT = 0x10000  # 1:
_CHILD = 0x100000  # 10:
_INSIDE_ROOT = 0x10001  # 1:1


def set_shape(ip: IPRoute, interface: str, shape: Shape) -> None:
    """Replace the queueing discipline of an interface; an empty shape takes ours away.

    Raises HostError where the kernel lacks netem and the shape needs it.
    """
    index = index_of(interface)
    _clear(ip, index)
    if shape.empty:
        return
    needs_netem = shape != Shape(rate=shape.rate, burst=shape.burst, latency=shape.latency)
    if needs_netem:
        try:
            ip.tc("add", "netem", index, _ROOT, **netem_parameters(shape))
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
            raise HostError(
                f"interface {interface}: this kernel has no netem, which delay, jitter, loss, "
                "corrupt, duplicate and reorder need",
                remedy="load sch_netem (package linux-modules-extra on some systems), "
                "or declare the rate only",
            ) from error
    if shape.rate:
        place = {"parent": _INSIDE_ROOT} if needs_netem else {}
        handle = _CHILD if needs_netem else _ROOT
        ip.tc("add", "tbf", index, handle, **tbf_parameters(shape), **place)


def restore(ip: IPRoute, operation: SetShape) -> None:
    """Undo: what stood before; an interface that is gone is no error."""
    try:
        index_of(operation.interface)
    except HostError:
        return
    set_shape(ip, operation.interface, operation.before)


def tbf_parameters(shape: Shape) -> dict[str, Any]:
    """Rate in bit/s, burst and limit in bytes, as pyroute2 takes them.

    Without a ``burst`` it is 4 ms of the rate (a timer tick at 250 Hz), at least 32 KiB; without a
    ``latency`` a packet waits for 50 ms at most. Raises HostError for a rate beyond 34 Gbit/s.
    """
    rate = shape.rate or 0
    if rate > FASTEST:
        raise HostError(f"rate {rate} bit/s: tbf takes at most {FASTEST} bit/s")
    burst = shape.burst or max(LEAST_BURST, rate // 8 // 250)
    latency = DEFAULT_LATENCY if shape.latency is None else shape.latency
    limit = burst + rate // 8 * latency // 1_000_000_000
    return {"rate": f"{rate}bit", "burst": burst, "limit": min(limit, 2**32 - 1), "latency": 0}


def netem_parameters(shape: Shape) -> dict[str, Any]:
    """Delay and jitter in microseconds, the others in per cent, as pyroute2 takes them."""
    found: dict[str, Any] = {"limit": _netem_limit(shape)}
    for name, value in (("delay", shape.delay), ("jitter", shape.jitter)):
        if value:
            found[name] = max(1, round(value / 1000))
    for name, fraction in (
        ("loss", shape.loss),
        ("duplicate", shape.duplicate),
        ("prob_corrupt", shape.corrupt),
        ("prob_reorder", shape.reorder),
    ):
        if fraction:
            found[name] = fraction * 100
    return found


def _netem_limit(shape: Shape) -> int:
    """Packets that may be on their way at once: what the rate (or 10 Gbit/s) puts into the delay.

    Counted in packets of 500 bytes; too small a limit would be a loss nobody asked for.
    """
    rate = shape.rate or 10_000_000_000
    packets = rate * (shape.delay + shape.jitter) // 1_000_000_000 // 8 // 500
    return max(1000, min(packets * 2, 1_000_000))


def _clear(ip: IPRoute, index: int) -> None:
    try:
        ip.tc("del", index=index, parent=0xFFFFFFFF)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
            raise
