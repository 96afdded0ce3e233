"""What an interface does to the packets that leave it: tbf for the rate, netem for the rest.

With both, netem is the root and tbf its child, as netem's manual page has it. A kernel without
netem has our own in its place: a tc program loses and duplicates packets, and hands what is to be
delayed or changed to a process (``hold.py``), which sends it into the same tbf.
"""

from __future__ import annotations

import errno
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import HostError
from pytest_kinda.host import egress
from pytest_kinda.host.holders import Holders
from pytest_kinda.host.links import index_of
from pytest_kinda.host.tunnel_links import set_own_sysctl
from pytest_kinda.operations import Place, SetShape, Shape

DEFAULT_LATENCY = 50_000_000  # ns
LEAST_BURST = 32 * 1024  # bytes
FASTEST = (2**32 - 1) * 8  # bit/s: the rate field of tbf has 32 bits of bytes per second

_ROOT = 0x10000  # 1:
_CHILD = 0x100000  # 10:
_INSIDE_ROOT = 0x10001  # 1:1
_ALL = 1 << 31  # what shape.c counts shares of


class Holding:
    """The holders of one place, as shaping its interfaces needs them; none outside a keeper."""

    def __init__(self, name: str, place: Place, holders: Holders | None) -> None:
        self.name = name
        self.place = place
        self.holders = holders

    def start(self, interface: str, shape: Shape) -> int:
        """Have a process hold packets; the index of its TAP. Raises HostError."""
        if self.holders is None:
            raise HostError(f"interface {interface}: only a keeper can delay packets")
        return self.holders.start(self.name, self.place, interface, shape)

    def end(self, interface: str) -> str:
        """End that process, if there is one; what was wrong with it."""
        return self.holders.end(self.name, interface) if self.holders else ""


def set_shape(ip: IPRoute, interface: str, shape: Shape, holding: Holding, by: str = "") -> None:
    """Replace what an interface does to packets; an empty shape takes ours away.

    ``by`` is ``netem``, ``hold`` (ours) or empty: netem where the kernel has it. Raises HostError,
    also where the process that delayed packets until now was found dead or stalled.
    """
    index = index_of(interface)
    broken = _clear(ip, index, interface, holding)
    netem = False
    if beyond_rate(shape):
        netem = by != "hold" and _add_netem(ip, index, shape)
        if not netem and by == "netem":
            raise HostError(
                f"interface {interface}: this kernel has no netem",
                remedy="load sch_netem (package linux-modules-extra on some systems)",
            )
    if shape.rate:
        place = {"parent": _INSIDE_ROOT} if netem else {}
        handle = _CHILD if netem else _ROOT
        ip.tc("add", "tbf", index, handle, **tbf_parameters(shape), **place)
    if beyond_rate(shape) and not netem:
        _add_ours(ip, index, interface, shape, holding)
    if broken:
        raise HostError(broken, remedy="what was measured meanwhile is void; see keeper.log")


def restore(ip: IPRoute, operation: SetShape, holding: Holding) -> None:
    """Undo: what stood before; an interface that is gone is no error.

    Without a keeper the testbed is going away, and a delay from before does not come back.
    """
    try:
        index = index_of(operation.interface)
    except HostError:
        return
    before = operation.before
    if holding.holders is None and needs_holder(before):
        _clear(ip, index, operation.interface, holding)
        return
    set_shape(ip, operation.interface, before, holding, operation.by)


def beyond_rate(shape: Shape) -> bool:
    """Whether more is asked for than a rate."""
    return shape != Shape(rate=shape.rate, burst=shape.burst, latency=shape.latency)


def needs_holder(shape: Shape) -> bool:
    """Whether packets must be held or changed, which a tc program cannot do."""
    return bool(shape.delay or shape.jitter or shape.reorder or shape.corrupt)


def _add_netem(ip: IPRoute, index: int, shape: Shape) -> bool:
    """Whether the kernel has it."""
    try:
        ip.tc("add", "netem", index, _ROOT, **netem_parameters(shape))
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EOPNOTSUPP):
            raise
        return False
    return True


def _add_ours(ip: IPRoute, index: int, interface: str, shape: Shape, holding: Holding) -> None:
    following = index
    if held := needs_holder(shape):
        following = holding.start(interface, shape)
    try:
        if held:
            tap = ip.get_links(following)[0].get_attr("IFLA_IFNAME")
            set_own_sysctl(f"net.ipv6.conf.{tap}.disable_ipv6", "1")
            egress.attach(ip, following, "shape_only", {})
            ip.link("set", index=following, arp=False, state="up")
        shares = {1: round(shape.loss * _ALL), 2: round(shape.duplicate * _ALL)}
        egress.attach(ip, index, "shape_out", {**shares, 3: following, 4: int(held)})
    except BaseException:
        holding.end(interface)
        raise


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


def _clear(ip: IPRoute, index: int, interface: str, holding: Holding) -> str:
    """Take ours away; what was wrong with the process that delayed packets."""
    try:
        ip.tc("del", index=index, parent=0xFFFFFFFF)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
            raise
    egress.detach(ip, index)
    return holding.end(interface)
