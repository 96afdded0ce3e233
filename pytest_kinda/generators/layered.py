"""Trees and data-centre fabrics."""

from __future__ import annotations

import dataclasses

from pytest_kinda.devices import Router
from pytest_kinda.generators.leaves import Builder, Leaf, Leaves, Levels, MakeNode, at_least
from pytest_kinda.topology import Node, Topology

_PRIVATE = 64512  # the first autonomous system of RFC 6996


def tree(
    depth: int,
    fanout: int,
    *,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "tree",
) -> Topology:
    """A tree of routers, ``depth`` levels of links deep, whose last level are the leaves.

    The root is ``r1``; routers are numbered level by level. ``fanout ** depth`` leaves,
    ``(fanout ** depth - 1) / (fanout - 1)`` routers, one link less than nodes. Levels of ``links``:
    ``level1`` (at the root) … ``levelN``, ``all``.

    >>> tree(2, 2)
    <Topology tree: 7 nodes, 6 links>
    """
    at_least("depth", depth, 1)
    at_least("fanout", fanout, 1)
    builder = Builder(name, links)
    each = Leaves(leaves)
    count = 1
    builder.add(router("r1"))
    above = ["r1"]
    for level in range(1, depth + 1):
        here: list[str] = []
        for parent in above:
            for _ in range(fanout):
                if level == depth:
                    node = each.make()
                else:
                    count += 1
                    node = router(f"r{count}")
                builder.add(node)
                builder.link(node, parent, level=f"level{level}")
                here.append(node.name)
        above = here
    return builder.build()


def leaf_spine(
    spines: int,
    leaves: int,
    workers_per_leaf: int = 1,
    *,
    at_leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "leaf-spine",
) -> Topology:
    """Leaf routers, each linked to every spine, with nodes at each leaf.

    ``s + l + l·w`` nodes, ``s·l + l·w`` links. ``at_leaves`` is what the nodes are. Levels of
    ``links``: ``fabric``, ``leaf``, ``all``. Routers with ``routing="bgp"`` are in a private
    autonomous system of their level unless ``router`` gives another ``asn``.
    """
    at_least("spines", spines, 1)
    at_least("leaves", leaves, 1)
    at_least("workers_per_leaf", workers_per_leaf, 1)
    builder = Builder(name, links)
    each = Leaves(at_leaves)
    builder.add(*(_in_level(router(f"spine{index}"), 0) for index in range(1, spines + 1)))
    for leaf in range(1, leaves + 1):
        builder.add(_in_level(router(f"leaf{leaf}"), 1))
        for spine in range(1, spines + 1):
            builder.link(f"leaf{leaf}", f"spine{spine}", level="fabric")
        for _ in range(workers_per_leaf):
            node = each.make()
            builder.add(node)
            builder.link(node, f"leaf{leaf}", level="leaf")
    return builder.build()


def fat_tree(
    k: int,
    *,
    leaves: Leaf = "workers",
    router: MakeNode = Router,
    links: Levels | None = None,
    name: str = "",
) -> Topology:
    """The k-ary fat tree of Al-Fares et al.: ``5k²/4`` switches, ``k³/4`` leaves, ``3k³/4`` links.

    ``k`` pods of ``k/2`` edge (``e1-1``…) and ``k/2`` aggregation switches (``a1-1``…), ``k²/4``
    core switches (``core1``…). Switches are routers unless ``router`` makes something else. Levels
    of ``links``: ``core``, ``aggregation``, ``leaf``, ``all``. Routers with ``routing="bgp"`` are
    in a private autonomous system of their level unless ``router`` gives another ``asn``.

    >>> fat_tree(4, leaves="hosts")
    <Topology fat-tree-4: 36 nodes, 48 links>
    """
    at_least("k", k, 2)
    if k % 2:
        raise ValueError(f"k: found {k}; expected an even number")
    half = k // 2
    builder = Builder(name or f"fat-tree-{k}", links)
    each = Leaves(leaves)
    cores = range(1, half * half + 1)
    builder.add(*(_in_level(router(f"core{index}"), 0) for index in cores))
    for pod in range(1, k + 1):
        for aggregation in range(1, half + 1):
            builder.add(_in_level(router(f"a{pod}-{aggregation}"), 1))
            for core in range((aggregation - 1) * half + 1, aggregation * half + 1):
                builder.link(f"a{pod}-{aggregation}", f"core{core}", level="core")
        for edge in range(1, half + 1):
            builder.add(_in_level(router(f"e{pod}-{edge}"), 2))
            for aggregation in range(1, half + 1):
                builder.link(f"e{pod}-{edge}", f"a{pod}-{aggregation}", level="aggregation")
            for _ in range(half):
                leaf = each.make()
                builder.add(leaf)
                builder.link(leaf, f"e{pod}-{edge}", level="leaf")
    return builder.build()


def _in_level(node: Node, level: int) -> Node:
    """A router that speaks BGP, in the autonomous system of its level unless it has one."""
    if isinstance(node, Router) and node.routing == "bgp" and node.asn is None:
        return dataclasses.replace(node, asn=_PRIVATE + level)
    return node
