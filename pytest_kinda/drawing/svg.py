"""Pictures as SVG, by nothing but this module."""

from __future__ import annotations

from html import escape

from pytest_kinda.drawing.layout import Positions, positions
from pytest_kinda.drawing.picture import Edge, Picture, Vertex
from pytest_kinda.drawing.text import COLOURS, OTHER_COLOUR

_LINE = 13
_CHARACTER = 6.6
_MARGIN = 70


def svg(picture: Picture) -> str:
    """A stand-alone SVG document."""
    found = positions(picture)
    widths = {one.name: _width(one) for one in picture.vertices}
    unit = max([90.0, *(width + 24 for width in widths.values())])
    if any(one.at_a or one.at_b for one in picture.edges):
        # room for two addresses and the settings on each link
        unit = max(unit, 150.0)
    at, width, height = _scaled(found, unit)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(picture.name)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for index, edge in enumerate(picture.edges):
        lines += _edge(edge, at, _bend(picture, index))
    for vertex in picture.vertices:
        lines += _vertex(vertex, at[vertex.name], widths[vertex.name])
    return "\n".join([*lines, "</svg>"]) + "\n"


def _scaled(found: Positions, unit: float) -> tuple[Positions, float, float]:
    if not found:
        return {}, 2 * _MARGIN, 2 * _MARGIN
    left = min(x for x, _ in found.values())
    top = min(y for _, y in found.values())
    at = {
        name: ((x - left) * unit + _MARGIN, (y - top) * unit * 0.8 + _MARGIN)
        for name, (x, y) in found.items()
    }
    return (
        at,
        max(x for x, _ in at.values()) + _MARGIN,
        max(y for _, y in at.values()) + _MARGIN,
    )


def _width(vertex: Vertex) -> float:
    return max(len(one) for one in (vertex.name, *vertex.notes)) * _CHARACTER + 16


def _bend(picture: Picture, index: int) -> int:
    """Which of several parallel links this is: they are drawn side by side."""
    ends = {picture.edges[index].a, picture.edges[index].b}
    same = [number for number, one in enumerate(picture.edges) if {one.a, one.b} == ends]
    return same.index(index) if len(same) > 1 else 0


def _edge(edge: Edge, at: Positions, bend: int) -> list[str]:
    (x1, y1), (x2, y2) = at[edge.a], at[edge.b]
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    if bend:
        side = 22 * ((bend + 1) // 2) * (1 if bend % 2 else -1)
        length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1)
        middle_x += -(y2 - y1) / length * side
        middle_y += (x2 - x1) / length * side
        control = f"{2 * middle_x - (x1 + x2) / 2:.1f} {2 * middle_y - (y1 + y2) / 2:.1f}"
        path = f"M {x1:.1f} {y1:.1f} Q {control} {x2:.1f} {y2:.1f}"
    else:
        path = f"M {x1:.1f} {y1:.1f} L {x2:.1f} {y2:.1f}"
    stroke, width = ("#c33", 1.3 + 6 * edge.weight) if edge.weight else ("#666", 1.3)
    lines = [f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="{width:.3g}"/>']
    for text, share in ((edge.at_a, 0.24), (edge.label, 0.5), (edge.at_b, 0.76)):
        if text:
            x = x1 + (x2 - x1) * share if share != 0.5 else middle_x
            y = y1 + (y2 - y1) * share if share != 0.5 else middle_y
            lines.append(
                f'<text x="{x:.1f}" y="{y - 3:.1f}" text-anchor="middle" font-size="9"'
                f' fill="#333" stroke="white" stroke-width="3" paint-order="stroke">'
                f"{escape(text)}</text>"
            )
    return lines


def _vertex(vertex: Vertex, where: tuple[float, float], width: float) -> list[str]:
    x, y = where
    height = _LINE * (1 + len(vertex.notes)) + 12
    radius = {"router": height / 2, "hub": height / 2, "switch": 2}.get(vertex.kind, 7)
    colour = COLOURS.get(vertex.kind, OTHER_COLOUR)
    lines = [
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}"'
        f' height="{height}" rx="{radius}" fill="{colour}" stroke="#444">'
        f"<title>{escape(vertex.kind)} {escape(vertex.name)}</title></rect>"
    ]
    first = y - height / 2 + 6 + _LINE * 0.75
    for index, text in enumerate((vertex.name, *vertex.notes)):
        weight = ' font-weight="bold"' if index == 0 else ' font-size="9"'
        lines.append(
            f'<text x="{x:.1f}" y="{first + index * _LINE:.1f}" text-anchor="middle"{weight}>'
            f"{escape(text)}</text>"
        )
    return lines
