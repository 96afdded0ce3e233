"""Packets that grow on their way: programs of switches add to them what nodes never sent.

A switch that says ``growth`` (telemetry: something once, and something at each hop) makes packets
longer than their sender's MTU. What lies between switches and routers has room for that, and
nodes keep the MTU that was declared: the last program takes off what was added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_kinda.errors import Problem
from pytest_kinda.plan.layout import Layout, Segment, Union

LONGEST = 65521
"""The longest packet of a frame that our engine takes (65535 bytes with its Ethernet header)."""

_PART = re.compile(r"(\d+)\s*B(/hop)?")


@dataclass(frozen=True)
class Growth:
    """Bytes that a packet grows by: ``once``, and ``each_hop`` at every such switch."""

    once: int = 0
    each_hop: int = 0

    def __bool__(self) -> bool:
        return bool(self.once or self.each_hop)


def parse_growth(text: str) -> Growth:
    """What a text says; an empty one says nothing. Raises ValueError with what is expected.

    >>> parse_growth("52B+36B/hop")
    Growth(once=52, each_hop=36)
    """
    once = each = 0
    for part in str(text).split("+") if text else ():
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise ValueError('bytes such as "52B", "36B/hop" or "52B+36B/hop"')
        if found[2]:
            each += int(found[1])
        else:
            once += int(found[1])
    return Growth(once, each)


def grow(layout: Layout) -> list[Problem]:
    """Give the segments between forwarding nodes room for what is added; what has none.

    A packet may cross every growing switch that can be reached without crossing an end, so that
    a test may lead it by another way than the plan's.
    """
    growing = {
        name: growth
        for name, node in layout.nodes.items()
        if isinstance(growth := getattr(node, "growth", None), Growth) and growth
    }
    if not growing:
        return []
    reached = Union()
    for segment in layout.segments:
        reached.join(one.node for one in segment.ports if layout.roles[one.node] != "end")
    problems = []
    for segment in layout.segments:
        inner = [one.node for one in segment.ports if layout.roles[one.node] != "end"]
        if len(inner) < 2:
            continue
        together = [
            growth
            for name, growth in growing.items()
            if reached.find(name) == reached.find(inner[0])
        ]
        if together:
            segment.room = max(one.once for one in together) + sum(one.each_hop for one in together)
            problems += _without_room(segment, layout, growing)
    return problems


def _without_room(segment: Segment, layout: Layout, growing: dict[str, Growth]) -> list[Problem]:
    where = f"link {segment.links[0].name}"
    added = f"{segment.room} bytes that {', '.join(growing)} may add"
    if segment.mtu > LONGEST:
        return [
            Problem(
                where,
                "mtu",
                f"{segment.mtu - segment.room}, and {added}",
                f"{LONGEST} at the most with what is added",
            )
        ]
    ends = [one.node for one in segment.ports if layout.roles[one.node] == "end"]
    if ends:
        return [
            Problem(
                where,
                "grows_by",
                f"{added}, on a segment that {', '.join(ends)} is on too",
                "links of their own between the switches: an end there takes no longer packets "
                "than it may send",
            )
        ]
    return []
