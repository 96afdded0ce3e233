"""A tc program on what leaves an interface: attached, and taken away without a trace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyroute2 import IPRoute

from pytest_kinda.host import bpf, filters
from pytest_kinda.host.bpf import instructions

_PRIORITY = 0x6B68
_OURS = "kinda_shape"
_THEIRS = "kinda_shape_on"  # the name says that clsact had been there before


def attach(ip: IPRoute, index: int, program: str, constants: Mapping[int, int]) -> None:
    """Let a program of ours see what leaves an interface. Raises HostError, NetlinkError."""
    name = _OURS if filters.add_hooks(ip, index) else _THEIRS
    descriptor = bpf.load_classifier("kinda_shape", instructions(program), constants)
    try:
        filters.put(ip, index, filters.EGRESS, descriptor, name=name, priority=_PRIORITY)
    finally:
        os.close(descriptor)


def detach(ip: IPRoute, index: int) -> None:
    """Take our program away, and clsact if it came with it and nobody else uses it."""
    ours = [one for one in ip.get_filters(index, parent=filters.EGRESS) if _name(one)]
    if not ours:
        return
    filters.take(ip, index, filters.EGRESS, _PRIORITY)
    hooks = filters.EGRESS, filters.INGRESS
    used = any(len(ip.get_filters(index, parent=one)) for one in hooks)
    if _name(ours[0]) == _OURS and not used:
        ip.tc("del", "clsact", index)


def _name(one: Any) -> str:
    """The name of a filter if it is ours, else nothing."""
    name = one.get_nested("TCA_OPTIONS", "TCA_BPF_NAME")
    return name if name in (_OURS, _THEIRS) else ""
