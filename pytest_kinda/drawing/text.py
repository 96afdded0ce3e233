"""Pictures as text for other programs: Mermaid and Graphviz."""

from __future__ import annotations

from pytest_kinda.drawing.picture import Picture, Vertex

COLOURS = {
    "control-plane": "#cfe2ff",
    "worker": "#dbeafe",
    "router": "#fde8c8",
    "switch": "#d9f2d9",
    "hub": "#eeeeee",
    "host": "#f3e8ff",
}
OTHER_COLOUR = "#fce7f3"


def mermaid(picture: Picture) -> str:
    """A Mermaid flowchart."""
    ids = {one.name: f"n{index}" for index, one in enumerate(picture.vertices)}
    lines = ["graph TD"]
    for one in picture.vertices:
        left, right = _mermaid_shape(one)
        text = "<br/>".join(_mermaid(part) for part in (one.name, *one.notes))
        lines.append(f'  {ids[one.name]}{left}"{text}"{right}')
    for edge in picture.edges:
        parts = [one for one in (edge.at_a, edge.label, edge.at_b) if one]
        text = f'|"{"<br/>".join(_mermaid(one) for one in parts)}"|' if parts else ""
        lines.append(f"  {ids[edge.a]} ---{text} {ids[edge.b]}")
    for kind in sorted({one.kind for one in picture.vertices}):
        members = ",".join(ids[one.name] for one in picture.vertices if one.kind == kind)
        style = kind.replace("-", "")
        lines.append(f"  classDef {style} fill:{COLOURS.get(kind, OTHER_COLOUR)},stroke:#555")
        lines.append(f"  class {members} {style}")
    return "\n".join(lines) + "\n"


def _mermaid_shape(vertex: Vertex) -> tuple[str, str]:
    if vertex.kind in ("router", "hub"):
        return "((", "))"
    if vertex.kind in ("control-plane", "worker"):
        return "([", "])"
    return "[", "]"


def _mermaid(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def dot(picture: Picture) -> str:
    """A Graphviz graph."""
    lines = [
        f"graph {_quoted(picture.name)} {{",
        '  node [style=filled fontname="sans-serif" fontsize=11];',
        '  edge [fontname="sans-serif" fontsize=9];',
    ]
    for one in picture.vertices:
        shape = "ellipse" if one.kind in ("router", "hub") else "box"
        label = "\n".join((one.name, *one.notes))
        colour = COLOURS.get(one.kind, OTHER_COLOUR)
        style = f"shape={shape} fillcolor={_quoted(colour)}"
        lines.append(f"  {_quoted(one.name)} [label={_quoted(label)} {style}];")
    for edge in picture.edges:
        labels = [
            f"{name}={_quoted(value)}"
            for name, value in (
                ("label", edge.label),
                ("taillabel", edge.at_a),
                ("headlabel", edge.at_b),
            )
            if value
        ]
        options = f" [{' '.join(labels)}]" if labels else ""
        lines.append(f"  {_quoted(edge.a)} -- {_quoted(edge.b)}{options};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
