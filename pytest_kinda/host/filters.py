"""tc programs on an interface: put at a hook, replaced, and taken away again."""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute

EGRESS, INGRESS = 0xFFFFFFF3, 0xFFFFFFF2
"""The hooks of a clsact, as numbers of a parent."""
_ALL_PROTOCOLS = 3


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
