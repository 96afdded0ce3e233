"""Names and MAC addresses: deterministic, unique, and short enough for whoever is told them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

INTERFACE_LIMIT = 15
"""Longest name of an interface in Linux."""

ENGINE_LIMIT = 30
"""Longest name that Kathara accepts; letters, digits and ``_`` only."""

HUBS = "@hubs"
"""The place (a network namespace of the testbed) where the direct engine keeps its hubs."""


def digest(*parts: str, length: int = 10) -> str:
    """The first hex digits of a hash of the parts, whose borders count."""
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def engine_names(names: Iterable[str]) -> dict[str, str]:
    """What an engine is told for each declared name: ``[a-z0-9_]{1,30}``, unique."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^a-z0-9_]", "_", name.lower())
        if len(plain) > ENGINE_LIMIT or plain in taken:
            # 8 digits keep two long names apart that begin alike, or differ by '-' and '_' only
            plain = f"{plain[: ENGINE_LIMIT - 9]}_{digest(name, length=8)}"
        taken.add(plain)
        found[name] = plain
    return found


def mac(topology: str, node: str, interface: str, taken: set[str]) -> str:
    """A locally administered unicast MAC address that nobody in ``taken`` has; adds it there."""
    attempt = 0
    while True:
        parts = (topology, node, interface) + ((str(attempt),) if attempt else ())
        value = "02" + digest("mac", *parts)
        found = ":".join(value[at : at + 2] for at in range(0, 12, 2))
        if found not in taken:
            taken.add(found)
            return found
        attempt += 1


def port_name(testbed: str, node: str, interface: str) -> str:
    """The name of the end that a node's interface has on a bridge of the machine."""
    return "kd" + digest("port", testbed, node, interface)


def uplink_bridge(testbed: str) -> str:
    """The bridge on the machine that a testbed's uplink (``internet_via``) is in."""
    return "ku" + digest("uplink", testbed)


def hub_name(segment: str) -> str:
    """The name of the bridge that is a hub of the direct engine."""
    return "kh" + digest("hub", segment)
