"""A description as a Graphviz graph: programs in the nodes, ports at the ends of the links."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(data: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The graph, and nothing that it leaves out."""
    lines = [f"graph {json.dumps(data['topology'])} {{", "  node [shape=box];"]
    for one in data["nodes"]:
        program = one["about"].get("program", {})
        parts = [one["name"], one["kind"], program.get("name", ""), *one["endpoints"]]
        label = json.dumps("\n".join(filter(None, parts)))
        shape = "" if one["role"] == "device" else " shape=ellipse"
        lines.append(f"  {json.dumps(one['name'])} [label={label}{shape}];")
    known = {one["name"] for one in data["nodes"]}
    for link in data["links"]:
        a, b = link["ends"]
        for end in (a, b):
            if end["node"] not in known:  # a hub
                known.add(end["node"])
                lines.append(f"  {json.dumps(end['node'])} [shape=point];")
        labels = f"taillabel={_label(a)} headlabel={_label(b)}"
        lines.append(f"  {json.dumps(a['node'])} -- {json.dumps(b['node'])} [{labels}];")
    return "\n".join([*lines, "}", ""]), []


def _label(end: Mapping[str, Any]) -> str:
    number = f"{end['port']}: " if end["port"] is not None else ""
    return json.dumps(f"{number}{end['interface'] or ''}")
