"""What ``kinda.capture(...)`` takes, resolved to interfaces of nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from pytest_kinda.errors import UnknownNameError
from pytest_kinda.testbed.interfaces import InterfaceHandle
from pytest_kinda.testbed.links import LinkHandle
from pytest_kinda.testbed.nodes import NodeHandle
from pytest_kinda.testbed.pods import PodHandle

Ends = Literal["a", "b", "both"]
Point = tuple[str, str]
Where = str | InterfaceHandle | LinkHandle | NodeHandle | PodHandle | Iterable["Where"] | None


class Names(Protocol):
    """A testbed, as far as names are looked up."""

    @property
    def nodes(self) -> tuple[NodeHandle, ...]:
        """All nodes."""
        ...

    @property
    def links(self) -> tuple[LinkHandle, ...]:
        """All links."""
        ...

    def node(self, name: str) -> NodeHandle:
        """A node. Raises UnknownNameError."""
        ...


def points(names: Names, where: Where, ends: Ends = "a") -> tuple[Point, ...]:
    """The (node, interface) pairs of a place, each once, in order.

    None is every interface of the virtual network. A text is ``node:interface`` (Docker's ``eth0``
    and ``kgre`` too), a link's name, or a node's. Raises UnknownNameError with what exists.
    """
    return tuple(dict.fromkeys(_points(names, where, ends)))


def _points(names: Names, where: Where, ends: Ends) -> list[Point]:
    if where is None:
        return [point for node in names.nodes for point in _points(names, node, ends)]
    if isinstance(where, str):
        return _named(names, where, ends)
    if isinstance(where, InterfaceHandle):
        return [(where.node.name, where.name)]
    if isinstance(where, LinkHandle):
        there = where.interfaces  # one only where the other end is a hub
        chosen = {"a": there[:1], "b": there[-1:], "both": there}[ends]
        return [(end.node.name, end.name) for end in chosen]
    if isinstance(where, PodHandle):
        return [where.capture_point()]
    if isinstance(where, NodeHandle):
        return [(where.name, one.name) for one in where.interfaces]
    return [point for each in where for point in _points(names, each, ends)]


def _named(names: Names, name: str, ends: Ends) -> list[Point]:
    node, colon, interface = name.partition(":")
    if colon:
        return [(names.node(node).name, interface)]
    for link in names.links:
        if link.name == name:
            return _points(names, link, ends)
    if any(one.name == name for one in names.nodes):
        return _points(names, names.node(name), ends)
    raise UnknownNameError(
        f"nothing is named {name!r}; nodes: {', '.join(one.name for one in names.nodes)}; "
        f"links: {', '.join(link.name for link in names.links) or 'none'}; "
        "an interface reads NODE:INTERFACE"
    )
