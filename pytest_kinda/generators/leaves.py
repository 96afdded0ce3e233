"""What a generator puts at its leaves, and what it puts on the links of each level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_kinda.devices import Host, Router
from pytest_kinda.topology import ControlPlane, Link, Node, Topology, Worker

MakeNode = Callable[[str], Node]
Leaf = str | MakeNode | Sequence[str | MakeNode]
Levels = Mapping[str, Mapping[str, Any]]

_BY_NAME: Mapping[str, tuple[str, MakeNode]] = {
    "control-plane": ("c", ControlPlane),
    "worker": ("w", Worker),
    "host": ("h", Host),
    "router": ("r", Router),
}


class Leaves:
    """Names and makes the leaves of a topology.

    ``what`` is ``"workers"`` (the first leaf is the control plane ``c1``, the others ``w1``,
    ``w2``…), ``"hosts"`` (``h1``…), a kind (``"worker"``, ``"host"``…), a function from name to
    node, or a sequence of those, one per leaf, whose last repeats.
    """

    def __init__(self, what: Leaf, prefix: str = "n") -> None:
        self._prefix = prefix
        self._counters: dict[str, int] = {}
        if what == "workers":
            what = ("control-plane", "worker")
        elif what == "hosts":
            what = "host"
        if isinstance(what, str) or callable(what):
            what = (what,)
        self._kinds = tuple(what)
        self._made = 0

    def make(self) -> Node:
        """The next leaf."""
        kind = self._kinds[min(self._made, len(self._kinds) - 1)]
        self._made += 1
        if isinstance(kind, str):
            if kind not in _BY_NAME:
                accepted = ", ".join(["workers", "hosts", *_BY_NAME])
                raise ValueError(f"leaves: found {kind!r}; expected {accepted} or a function")
            prefix, maker = _BY_NAME[kind]
        else:
            prefix, maker = self._prefix, kind
        number = self._counters[prefix] = self._counters.get(prefix, 0) + 1
        return maker(f"{prefix}{number}")


class Builder:
    """A topology put together step by step, for irregular ones.

    >>> builder = Builder("pair")
    >>> builder.add(Worker("w1"), Worker("w2"), ControlPlane("c1"))
    >>> builder.link("w1", "w2", rate="10mbit")
    >>> builder.build()
    <Topology pair: 3 nodes, 1 links>
    """

    def __init__(self, name: str, links: Levels | None = None) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.links: list[Link] = []
        self._levels = dict(links or {})
        self._used: set[str] = set()

    def add(self, *nodes: Node) -> None:
        """Add nodes."""
        self.nodes += nodes

    def link(self, a: str | Node, b: str | Node, *, level: str = "", **settings: Any) -> None:
        """Link two nodes; the settings of ``level`` are those given to the builder for it."""
        names = [one if isinstance(one, str) else one.name for one in (a, b)]
        self._used.add(level)
        merged = {**self._levels.get("all", {}), **self._levels.get(level, {}), **settings}
        self.links.append(Link(names[0], names[1], **merged))

    def build(self) -> Topology:
        """The topology. Raises TopologyError; ValueError for settings of a level without links."""
        unknown = set(self._levels) - self._used - {"all"}
        if unknown:
            accepted = ", ".join(sorted({"all", *self._used} - {""}))
            raise ValueError(f"links: found levels {sorted(unknown)}; expected {accepted}")
        return Topology(self.name, self.nodes, self.links)


def at_least(what: str, value: int, least: int) -> None:
    """Raise ValueError where a size is too small."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{what}: found {value!r}; expected a whole number of at least {least}")
