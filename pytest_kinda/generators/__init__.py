"""Topologies made by rule: each takes what is at its leaves and settings per level of links."""

from pytest_kinda.generators.graphs import from_networkx, random_graph
from pytest_kinda.generators.layered import fat_tree, leaf_spine, tree
from pytest_kinda.generators.leaves import Builder, Leaves
from pytest_kinda.generators.simple import grid, line, ring, star

__all__ = [
    "Builder",
    "Leaves",
    "fat_tree",
    "from_networkx",
    "grid",
    "leaf_spine",
    "line",
    "random_graph",
    "ring",
    "star",
    "tree",
]
