"""The keeper's children that a testbed needs to be what it is: whether they all work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.nodes import NodeHandle


def helpers_broken(
    standing: Standing, nodes: Mapping[str, NodeHandle], away: Collection[str]
) -> list[str]:
    """What does not work, in words.

    Links that carry nothing because what delays their packets is dead or stalled, and the watch
    where it has died for good. Not links to nodes of ``away``, which a fault has stopped: with
    ``engine="direct"`` their interface is gone with it.
    """
    keeper: Any = standing.keeper

    def stopped(place: str, interface: str) -> bool:
        known = nodes[place].planned.interfaces if place in nodes else ()
        return any({place, *one.peers} & {*away} for one in known if one.name == interface)

    found = [
        str(one["broken"])
        for one in keeper.holders()
        if one["broken"] and not stopped(one["place"], one["interface"])
    ]
    broken = watch_broken(standing)
    return [*found, broken] if broken else found


def watch_broken(standing: Standing) -> str:
    """Why nodes that start again get their links back no more; empty: they do."""
    keeper: Any = standing.keeper
    return "; ".join(str(one["broken"]) for one in keeper.tended() if one["broken"])
