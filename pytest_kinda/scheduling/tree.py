"""The links as a tree, for schedulers that know no other shape."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pytest_kinda.errors import FactsError, UnknownNameError
from pytest_kinda.plan.values import Plan


@dataclass(frozen=True)
class Tree:
    """A tree of nodes, devices and hubs: its root, and the parent of each other one."""

    root: str
    parents: dict[str, str] = field(hash=False)
    neighbours: dict[str, tuple[str, ...]] = field(hash=False)

    def children(self, name: str) -> tuple[str, ...]:
        """Those that have it as their parent, in the order of links."""
        return tuple(one for one in self.neighbours[name] if self.parents.get(one) == name)

    def above(self, name: str) -> tuple[str, ...]:
        """The way to the root, without the node itself."""
        found = []
        while name in self.parents:
            name = self.parents[name]
            found.append(name)
        return tuple(found)


def tree_of(plan: Plan, root: str | None = None) -> Tree:
    """The links of a plan as a tree; without ``root`` it hangs from its middle.

    Nodes without a link are left out. Raises FactsError: the links have a cycle, which is named, or
    are in several parts; UnknownNameError for a root that is no node.
    """
    neighbours: dict[str, list[str]] = {}
    for link in plan.links:
        neighbours.setdefault(link.a.node, []).append(link.b.node)
        neighbours.setdefault(link.b.node, []).append(link.a.node)
    if not neighbours:
        raise FactsError(f"topology {plan.topology} has no link, so no tree")
    if root is not None and root not in neighbours:
        raise UnknownNameError(f"no node {root!r} has a link; there are {', '.join(neighbours)}")
    start = root or next(iter(neighbours))
    parents = _hang(neighbours, start)
    _refuse_cycles(plan, parents, start)
    alone = [name for name in neighbours if name not in parents and name != start]
    if alone:
        raise FactsError(
            f"topology {plan.topology}: no tree, its links are in several parts; nothing joins "
            f"{start} and {alone[0]}"
        )
    if root is None:
        start = _middle(neighbours, start)
        parents = _hang(neighbours, start)
    return Tree(start, parents, {name: tuple(each) for name, each in neighbours.items()})


def _hang(neighbours: dict[str, list[str]], root: str) -> dict[str, str]:
    """The parent of everything that is reached from a root, the nearest first."""
    parents: dict[str, str] = {}
    waiting = deque([root])
    while waiting:
        name = waiting.popleft()
        for other in neighbours[name]:
            if other != root and other not in parents:
                parents[other] = name
                waiting.append(other)
    return parents


def _refuse_cycles(plan: Plan, parents: dict[str, str], root: str) -> None:
    """Every link beside those of the tree closes a cycle; the first is told."""
    used: set[str] = set()
    closing = []
    for link in plan.links:
        a, b = link.a.node, link.b.node
        child = a if parents.get(a) == b else b if parents.get(b) == a else ""
        if child and child not in used:
            used.add(child)
        elif a in parents or b in parents or root in (a, b):
            closing.append((link.name, a, b))
    if not closing:
        return
    name, a, b = closing[0]
    up, down = _line(parents, a), _line(parents, b)
    while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
        up.pop()
        down.pop()
    circle = [*up, *reversed(down[:-1])]
    raise FactsError(
        f"topology {plan.topology} is no tree: link {name} closes the cycle "
        f"{' - '.join([*circle, circle[0]])} ({len(closing)} links too many)",
        remedy="declare a topology without cycles, such as tree() or star(), or use a form that "
        "takes any network",
    )


def _line(parents: dict[str, str], name: str) -> list[str]:
    found = [name]
    while found[-1] in parents:
        found.append(parents[found[-1]])
    return found


def _middle(neighbours: dict[str, list[str]], start: str) -> str:
    """The node halfway along the longest line."""
    far = _farthest(neighbours, start)
    parents = _hang(neighbours, far)
    line = _line(parents, _farthest(neighbours, far))
    return line[len(line) // 2]


def _farthest(neighbours: dict[str, list[str]], start: str) -> str:
    return [start, *_hang(neighbours, start)][-1]  # the last that is reached is the farthest
