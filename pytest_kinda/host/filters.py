"""tc programs on an interface: put at a hook, replaced, and taken away again."""

from __future__ import annotations

import errno
from typing import Any

from pyroute2 import IPRoute, NetlinkError

EGRESS, INGRESS = 0xFFFFFFF3, 0xFFFFFFF2
"""The hooks of a clsact, as numbers of a parent."""
_ALL_PROTOCOLS = 3


def add_hooks(ip: IPRoute, index: int) -> bool:
    """Give an interface a clsact; whether it had none before. Raises NetlinkError."""
    try:
        ip.tc("add", "clsact", index)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        return False
    return True


def put(ip: IPRoute, index: int, hook: int, descriptor: int, *, name: str, priority: int) -> None:
    """Attach a loaded program; one of the same priority is replaced. Raises NetlinkError."""
    ip.tc(
        "replace-filter",
        "bpf",
        index,
        fd=descriptor,
        name=name,
        direct_action=True,
        **_place(hook, priority),
    )


def take(ip: IPRoute, index: int, hook: int, priority: int) -> None:
    """Detach it. Raises NetlinkError."""
    ip.tc("del-filter", "bpf", index, **_place(hook, priority))


def _place(hook: int, priority: int) -> dict[str, Any]:
    return {"handle": 1, "parent": hook, "prio": priority, "protocol": _ALL_PROTOCOLS}
