"""The leak guard: what crossed Docker's network though it belongs on the virtual one.

Each Kubernetes node counts on its Docker interface, in the table ``inet kinda`` that the plan
loads before its first pod. Here the counters are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pytest_kinda.errors import KindaError
from pytest_kinda.plan.outside import NFT_TABLE
from pytest_kinda.testbed.nodes import NodeHandle

TABLE = ("inet", "kinda")
OUTSIDE = ("inet", NFT_TABLE)
_BYPASS = "bypass"
_LEAKS = ("leak_out", "leak_in")


@dataclass(frozen=True)
class Count:
    """Packets and bytes that a counter has seen."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.packets - other.packets, self.bytes - other.bytes)


@dataclass(frozen=True)
class NodeLeaks:
    """The guard of one node.

    ``out`` and ``into`` are leaks; ``others`` what may cross Docker's network, by kind; ``flows``
    the first leaks as "source > destination protocol port".
    """

    node: str
    out: Count
    into: Count
    others: Mapping[str, Count]
    flows: tuple[str, ...] = ()

    @property
    def packets(self) -> int:
        """All leaked packets that it saw."""
        return self.out.packets + self.into.packets


@dataclass(frozen=True)
class Leaks:
    """The guards of all Kubernetes nodes. Falsy when nothing has leaked.

    Example::

        before = kinda.leaks()
        ...
        assert not kinda.leaks().since(before)
    """

    nodes: tuple[NodeLeaks, ...]

    @property
    def packets(self) -> int:
        """Leaked packets as their senders counted them.

        Every leak between two members leaves one member, so that outgoing packets count each one
        once; the incoming ones are for what a node receives from elsewhere.
        """
        return max(
            sum(one.out.packets for one in self.nodes), sum(one.into.packets for one in self.nodes)
        )

    def __bool__(self) -> bool:
        return self.packets > 0

    def since(self, earlier: Leaks) -> Leaks:
        """What has leaked since another reading."""
        before = {one.node: one for one in earlier.nodes}
        return Leaks(tuple(_difference(one, before.get(one.node)) for one in self.nodes))

    def __str__(self) -> str:
        lines = [f"leaked packets on Docker's network: {self.packets}"]
        for one in self.nodes:
            kinds = ", ".join(f"{name} {count.packets}" for name, count in one.others.items())
            lines.append(
                f"  {one.node}: out {one.out.packets}, in {one.into.packets} (allowed: {kinds})"
            )
            lines += [f"    {flow}" for flow in one.flows]
        return "\n".join(lines)


def _difference(now: NodeLeaks, before: NodeLeaks | None) -> NodeLeaks:
    if before is None:
        return now
    others = {name: count - before.others.get(name, Count()) for name, count in now.others.items()}
    flows = tuple(flow for flow in now.flows if flow not in before.flows)
    return NodeLeaks(now.node, now.out - before.out, now.into - before.into, others, flows)


def parse_guard(node: str, ruleset: Any) -> NodeLeaks:
    """The guard's counters from ``nft -j list table inet kinda``.

    Raises KindaError where the leak counters are not there: the guard is not at work.
    """
    counters, flows = _counted(node, ruleset, _LEAKS)
    others = {name: count for name, count in counters.items() if name not in _LEAKS}
    return NodeLeaks(node, counters["leak_out"], counters["leak_in"], others, tuple(sorted(flows)))


def with_outside(leaks: NodeLeaks, ruleset: Any) -> NodeLeaks:
    """The guard of a node together with that of its way outside (``internet_via``).

    Packets that left by Docker's interface though they were no pulls are leaks. Raises KindaError
    where that guard is not at work.
    """
    counters, flows = _counted(leaks.node, ruleset, (_BYPASS,))
    bypass = counters.pop(_BYPASS)
    return replace(
        leaks,
        out=leaks.out + bypass,
        others={**leaks.others, **counters},
        flows=(*leaks.flows, *sorted(flows)),
    )


def _counted(node: str, ruleset: Any, needed: Iterable[str]) -> tuple[dict[str, Count], list[str]]:
    """The counters and the first leaks in nft's JSON. Raises KindaError without the needed ones."""
    counters: dict[str, Count] = {}
    flows: list[str] = []
    for item in ruleset.get("nftables", ()):
        if counter := item.get("counter"):
            counters[counter["name"]] = Count(counter["packets"], counter["bytes"])
        elif (found := item.get("set")) and str(found["name"]).startswith("leaks"):
            flows += [_flow(element) for element in found.get("elem", ())]
    missing = [name for name in needed if name not in counters]
    if missing:
        raise KindaError(
            f"node {node}: its leak guard has no counter {' and '.join(missing)}; "
            f"found {', '.join(counters) or 'none'}",
            remedy="another program has replaced the nft table inet kinda; build the testbed anew",
        )
    return counters, flows


def _flow(element: Any) -> str:
    if isinstance(element, Mapping) and "elem" in element:
        element = element["elem"]["val"]
    if isinstance(element, Mapping) and "concat" in element:
        parts = [str(part) for part in element["concat"]]
        return f"{parts[0]} > {' '.join(parts[1:])}" if len(parts) > 1 else parts[0]
    return str(element)


def read_leaks(nodes: Iterable[NodeHandle], *, outside: bool = False) -> Leaks:
    """Read the guards of Kubernetes nodes side by side; ``outside`` where the plan has an uplink.

    Raises CommandError, KindaError.
    """

    def listed(node: NodeHandle, *table: str) -> Any:
        found = node.exec("nft", "-j", "list", "table", *table, timeout=30.0)
        try:
            return json.loads(found.stdout)
        except ValueError as error:
            raise found.error(f"nft printed no JSON: {error}") from None

    def read(node: NodeHandle) -> NodeLeaks:
        found = parse_guard(node.name, listed(node, *TABLE))
        return with_outside(found, listed(node, *OUTSIDE)) if outside else found

    nodes = tuple(nodes)
    if not nodes:
        return Leaks(())
    with ThreadPoolExecutor(min(8, len(nodes)), thread_name_prefix="leaks") as pool:
        return Leaks(tuple(pool.map(read, nodes)))
