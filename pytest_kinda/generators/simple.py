"""Lines, rings, stars and grids of routers."""

from __future__ import annotations

from pytest_kinda.devices import Router
from pytest_kinda.generators.leaves import Builder, Leaf, Leaves, Levels, MakeNode, at_least
from pytest_kinda.topology import Topology


def line(
    routers: int,
    *,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "line",
) -> Topology:
    """Routers in a row, a leaf at each: ``2n`` nodes, ``2n - 1`` links.

    Levels of ``links``: ``core``, ``leaf``, ``all``.

    >>> line(3)
    <Topology line: 6 nodes, 5 links>
    """
    at_least("routers", routers, 1)
    builder = _chain(routers, leaves, router, links, name)
    return builder.build()


def ring(
    routers: int,
    *,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "ring",
) -> Topology:
    """Routers in a circle, a leaf at each: ``2n`` nodes, ``2n`` links.

    Levels of ``links``: ``core``, ``leaf``, ``all``.
    """
    at_least("routers", routers, 3)
    builder = _chain(routers, leaves, router, links, name)
    builder.link(f"r{routers}", "r1", level="core")
    return builder.build()


def _chain(
    routers: int, leaves: Leaf, router: MakeNode, links: Levels | None, name: str
) -> Builder:
    builder = Builder(name, links)
    each = Leaves(leaves)
    for index in range(1, routers + 1):
        leaf = each.make()
        builder.add(router(f"r{index}"), leaf)
        builder.link(leaf, f"r{index}", level="leaf")
        if index > 1:
            builder.link(f"r{index - 1}", f"r{index}", level="core")
    return builder


def star(
    arms: int,
    *,
    leaves: Leaf = "workers",
    center: MakeNode = Router,
    links: Levels | None = None,
    name: str = "star",
) -> Topology:
    """Leaves around the router ``r1``: ``n + 1`` nodes, ``n`` links.

    Levels of ``links``: ``leaf``, ``all``.
    """
    at_least("arms", arms, 1)
    builder = Builder(name, links)
    each = Leaves(leaves)
    builder.add(center("r1"))
    for _ in range(arms):
        leaf = each.make()
        builder.add(leaf)
        builder.link(leaf, "r1", level="leaf")
    return builder.build()


def grid(
    rows: int,
    columns: int,
    *,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "grid",
) -> Topology:
    """Routers ``r1-1``… in a grid, a leaf at each: ``2rc`` nodes, ``3rc - r - c`` links.

    Levels of ``links``: ``core``, ``leaf``, ``all``.
    """
    at_least("rows", rows, 1)
    at_least("columns", columns, 1)
    builder = Builder(name, links)
    each = Leaves(leaves)
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            here, leaf = f"r{row}-{column}", each.make()
            builder.add(router(here), leaf)
            builder.link(leaf, here, level="leaf")
            if column > 1:
                builder.link(f"r{row}-{column - 1}", here, level="core")
            if row > 1:
                builder.link(f"r{row - 1}-{column}", here, level="core")
    return builder.build()
