"""Who reaches whom: a packet really sent from every node to every other, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pytest_kinda.errors import CommandError, HostError
from pytest_kinda.plan.values import Plan
from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.nodes import NodeHandle, addresses_of

LOSSY_TRIES = 12
"""Packets between two nodes, where some are lost by declaration, of which one must come back."""

# One exec a source: all its pings at once, and the addresses that answered on its output.
_PING_ALL = (
    'wait_s=$1; from=$2; shift 2; command -v ping >/dev/null || { echo "no ping"; exit 3; }; '
    'for to in "$@"; do { ping -n -q -c 1 -W "$wait_s" ${from:+-I "$from"} "$to" '
    '>/dev/null 2>&1 && echo "$to"; } & done; wait'
)


@dataclass(frozen=True)
class Reachability:
    """The table of who reaches whom; truthy when every pair does.

    ``pairs`` says of each (source, target) whether a packet came back; ``skipped`` are sources
    that have no ping. Example::

        table = kinda.reachability()
        assert table, str(table)
    """

    pairs: Mapping[tuple[str, str], bool]
    skipped: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """The pairs between which nothing came back."""
        return tuple(pair for pair, reached in self.pairs.items() if not reached)

    def __bool__(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        sources = list(dict.fromkeys(source for source, _ in self.pairs))
        targets = list(dict.fromkeys(target for _, target in self.pairs))
        width = max([len(name) for name in (*sources, *targets)] or [1])
        marks = {True: "yes", False: "NO", None: "-"}
        lines = [" ".join([" " * width, *(name.rjust(max(3, len(name))) for name in targets)])]
        for source in sources:
            cells = [
                marks[self.pairs.get((source, target))].rjust(max(3, len(target)))
                for target in targets
            ]
            lines.append(" ".join([source.ljust(width), *cells]))
        if self.skipped:
            lines.append(f"(no ping on {', '.join(self.skipped)})")
        return "\n".join(lines)

    def __or__(self, other: Reachability) -> Reachability:
        return Reachability(
            {**self.pairs, **other.pairs}, tuple(dict.fromkeys(self.skipped + other.skipped))
        )


def ping_all(
    place: CommandPlace, targets: Sequence[str], *, source: str = "", wait: float = 1.0
) -> frozenset[str] | None:
    """The addresses that answer a place's ping, sent to all of them at once.

    ``wait`` in seconds for an answer. None where the place has no ping. Raises CommandError.
    """
    if not targets:
        return frozenset()
    result = place.shell(_PING_ALL, f"{wait:g}", source, *targets, timeout=wait + 60.0, check=False)
    if result.rc in (3, 126, 127):
        return None
    if not result.ok:
        raise result.error()
    return frozenset(result.lines)


def reachability(
    sources: Iterable[NodeHandle],
    targets: Iterable[NodeHandle],
    *,
    wait: float = 1.0,
    every_address: bool = False,
) -> Reachability:
    """Ping from each source to each target that is another node.

    A target is its endpoint, between nodes of a dual-stack cluster that of either family; with
    ``every_address`` all its addresses must answer. ``wait`` in seconds. A source whose container
    is gone reaches nobody.
    """
    planned = [node.planned for node in targets if addresses_of(node.planned)]
    sources = [node for node in sources if addresses_of(node.planned)]

    def wanted(source: NodeHandle) -> dict[str, tuple[str, ...]]:
        # nobody but nodes of the cluster has a way to the address inside GRE
        return {
            one.name: addresses_of(one)[: None if every_address else 1]
            + ((one.endpoint6,) if one.endpoint6 and source.planned.endpoint6 else ())
            for one in planned
            if one.name != source.name
        }

    def probe(node: NodeHandle) -> frozenset[str] | None:
        others = [address for addresses in wanted(node).values() for address in addresses]
        try:
            return ping_all(node, others, wait=wait)
        except (CommandError, HostError):  # the Engine refuses commands in one that does not run
            return frozenset()

    pairs: dict[tuple[str, str], bool] = {}
    skipped: list[str] = []
    if not sources:
        return Reachability(pairs)
    with ThreadPoolExecutor(min(16, len(sources)), thread_name_prefix="reach") as pool:
        for source, answered in zip(sources, pool.map(probe, sources), strict=True):
            if answered is None:
                skipped.append(source.name)
                continue
            for name, addresses in wanted(source).items():
                pairs[source.name, name] = answered.issuperset(addresses)
    return Reachability(pairs, tuple(skipped))


def tries_of(plan: Plan) -> int:
    """How often a packet is sent before it counts: one may be lost where loss is declared."""
    shapes = [end.shape for node in plan.nodes for end in node.interfaces]
    return LOSSY_TRIES if any(shape and shape.loss for shape in shapes) else 1
