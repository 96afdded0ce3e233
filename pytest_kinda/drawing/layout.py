"""Where nodes stand: in layers where the network has some, else by springs; always the same."""

from __future__ import annotations

import math

from pytest_kinda.drawing.picture import Picture

Positions = dict[str, tuple[float, float]]
SPRINGS_UP_TO = 80
"""More nodes than that are always drawn in layers: springs take the square of their number."""


def positions(picture: Picture) -> Positions:
    """A place for every node; the unit is the least distance of two nodes."""
    if not picture.vertices:
        return {}
    neighbours: dict[str, list[str]] = {one.name: [] for one in picture.vertices}
    for edge in picture.edges:
        if edge.b not in neighbours[edge.a]:
            neighbours[edge.a].append(edge.b)
            neighbours[edge.b].append(edge.a)
    level = _levels(picture, neighbours)
    flat = sum(level[one.a] == level[one.b] for one in picture.edges)
    if flat > 1 and flat * 4 > len(picture.edges) and len(neighbours) <= SPRINGS_UP_TO:
        return _springs(neighbours)
    return _layers(level, neighbours)


def _levels(picture: Picture, neighbours: dict[str, list[str]]) -> dict[str, int]:
    """How far each node is from the nearest end: ends are at the bottom, the core on top."""
    ends = [one.name for one in picture.vertices if not one.inner]
    level = dict.fromkeys(ends, 0)
    frontier = ends
    waiting = [one.name for one in picture.vertices]
    while len(level) < len(neighbours):
        if not frontier:
            frontier = [next(one for one in waiting if one not in level)]
            level[frontier[0]] = 0
        following = []
        for name in frontier:
            for other in neighbours[name]:
                if other not in level:
                    level[other] = level[name] + 1
                    following.append(other)
        frontier = following
    return level


def _layers(level: dict[str, int], neighbours: dict[str, list[str]]) -> Positions:
    top = max(level.values())
    rows: list[list[str]] = [[] for _ in range(top + 1)]
    for name in neighbours:
        rows[top - level[name]].append(name)
    widest = max(len(row) for row in rows)
    place: dict[str, float] = {}

    def spread(row: list[str]) -> None:
        step = widest / len(row)
        for index, name in enumerate(row):
            place[name] = (index + 0.5) * step

    for row in rows:
        spread(row)
    # each sweep puts a node near the middle of its neighbours, which uncrosses most links
    for _ in range(8):
        for row in rows:
            keys = {
                name: sum(place[one] for one in neighbours[name]) / len(neighbours[name])
                if neighbours[name]
                else place[name]
                for name in row
            }
            row.sort(key=lambda name: (keys[name], place[name]))
            spread(row)
    return {name: (place[name], index * 1.5) for index, row in enumerate(rows) for name in row}


def _springs(neighbours: dict[str, list[str]]) -> Positions:
    """Links pull, nodes push each other away (Fruchterman and Reingold), from a fixed circle."""
    names = list(neighbours)
    order = _walk(neighbours)
    count = len(names)
    at = {
        name: [
            math.sqrt(count) * math.cos(2 * math.pi * index / count),
            math.sqrt(count) * math.sin(2 * math.pi * index / count),
        ]
        for index, name in enumerate(order)
    }
    length = 1.4
    rounds = 150
    for step in range(rounds):
        heat = 0.6 * (1 - step / rounds) + 0.01
        force = {name: [0.0, 0.0] for name in names}
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                dx, dy = at[one][0] - at[other][0], at[one][1] - at[other][1]
                square = max(dx * dx + dy * dy, 0.01)
                push = length * length / square
                force[one][0] += dx * push
                force[one][1] += dy * push
                force[other][0] -= dx * push
                force[other][1] -= dy * push
            for other in neighbours[one]:
                dx, dy = at[one][0] - at[other][0], at[one][1] - at[other][1]
                pull = math.hypot(dx, dy) / length
                force[one][0] -= dx * pull
                force[one][1] -= dy * pull
        for name in names:
            size = math.hypot(*force[name]) or 1.0
            move = min(size, heat) / size
            at[name][0] += force[name][0] * move
            at[name][1] += force[name][1] * move
    return {name: (round(x, 3), round(y, 3)) for name, (x, y) in at.items()}


def _walk(neighbours: dict[str, list[str]]) -> list[str]:
    """Every node once, neighbours one after the other where possible: a circle without twists."""
    found: list[str] = []
    seen: set[str] = set()
    for start in neighbours:
        stack = [start]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            found.append(name)
            # nodes with one link are taken first: they stand beside their neighbour then
            stack += sorted(neighbours[name], key=lambda one: -len(neighbours[one]))
    return found
