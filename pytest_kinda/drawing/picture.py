"""What every drawing shows: nodes, and links with their settings and addresses."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kinda.operations import Shape
from pytest_kinda.plan import Plan
from pytest_kinda.topology import Link, Topology, forwarding
from pytest_kinda.units import SHAPE_FIELDS, SHAPE_FORMATS, format_rate


@dataclass(frozen=True)
class Vertex:
    """A node; ``notes`` are lines beneath its name, ``inner`` whether it forwards."""

    name: str
    kind: str
    inner: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A link; ``label`` are its settings, ``at_a`` and ``at_b`` stand at its ends.

    ``weight`` (0 to 1) is how heavily it is drawn.
    """

    a: str
    b: str
    label: str = ""
    at_a: str = ""
    at_b: str = ""
    weight: float = 0.0


@dataclass(frozen=True)
class Picture:
    """A network to be drawn."""

    name: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def picture(subject: Topology | Plan) -> Picture:
    """The picture of a topology with its settings, or of a plan with its addresses too."""
    return of_plan(subject) if isinstance(subject, Plan) else of_topology(subject)


def of_topology(topology: Topology) -> Picture:
    """Nodes and links as declared."""
    vertices = tuple(Vertex(one.name, one.kind, forwarding(one) != "end") for one in topology.nodes)
    edges = []
    for link in topology.links:
        at_a, at_b = _declared_addresses(link)
        edges.append(Edge(link.a, link.b, _settings(link), at_a, at_b))
    return Picture(topology.name, vertices, tuple(edges))


def _declared_addresses(link: Link) -> tuple[str, str]:
    pairs = [one for one in (link.ipv4, link.ipv6) if isinstance(one, tuple)]
    return " ".join(one[0] or "" for one in pairs), " ".join(one[1] or "" for one in pairs)


def _settings(link: Link) -> str:
    there, back = (_texts(link.settings(one)) for one in ("a", "b"))
    parts = [there if there == back else f"{there or '-'} / {back or '-'}"]
    parts += [one for one in (link.ipv4, link.ipv6) if isinstance(one, str)]
    if link.mtu != 1500:
        parts.append(f"mtu {link.mtu}")
    return ", ".join(one for one in parts if one)


def _texts(settings: dict[str, int | float]) -> str:
    found = []
    for name, value in settings.items():
        text = SHAPE_FORMATS[name](value)  # type: ignore[arg-type]
        found.append(text if name in ("rate", "delay") else f"{name} {text}")
    return ", ".join(found)


def of_plan(plan: Plan) -> Picture:
    """Nodes with endpoints and pods' networks, links with addresses and settings."""
    vertices = []
    for node in plan.nodes:
        notes = [one for one in (node.endpoint, *node.pod_cidrs) if one]
        inner = node.kind in ("router", "switch") or (
            not node.is_kubernetes and len(node.interfaces) > 1
        )
        vertices.append(Vertex(node.name, node.kind, inner, tuple(notes)))
    known = {one.name for one in vertices}
    # a hub is no machine: only the links that end at it name it
    ends = [end.node for link in plan.links for end in (link.a, link.b)]
    vertices += [Vertex(one, "hub", True) for one in dict.fromkeys(ends) if one not in known]
    interfaces = {(node.name, one.name): one for node in plan.nodes for one in node.interfaces}
    edges = []
    for link in plan.links:
        a = interfaces.get((link.a.node, link.a.interface))
        b = interfaces.get((link.b.node, link.b.interface))
        there, back = (_shape(one.shape if one else None) for one in (a, b))
        label = there if there == back else f"{there or '-'} / {back or '-'}"
        at_a, at_b = (" ".join((one.name, *one.addresses)) if one else "" for one in (a, b))
        edges.append(Edge(link.a.node, link.b.node, label, at_a, at_b))
    return Picture(plan.topology, tuple(vertices), tuple(edges))


def _shape(shape: Shape | None) -> str:
    if shape is None:
        return ""
    parts = [format_rate(shape.rate)] if shape.rate else []
    shown = {name: getattr(shape, name) for name in SHAPE_FIELDS if name not in ("rate", "burst")}
    shown = {name: value for name, value in shown.items() if value and name != "latency"}
    return ", ".join(one for one in (*parts, _texts(shown)) if one)
