"""Plans to JSON and back, and the signature of what was declared."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.plan.values import Plan, PlanOptions
from pytest_kinda.topology import Topology


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The JSON object of a plan; ``plan_from_json`` is its inverse."""
    return cast("dict[str, Any]", to_json(plan))


def plan_from_json(data: Any) -> Plan:
    """The plan of a JSON object. Raises ValueError where it is none."""
    return cast("Plan", from_json(Plan, data))


def signature(topology: Topology, options: PlanOptions) -> str:
    """A hex digest of what was declared and chosen: the key of reuse.

    Files count by their content, wherever they lie; facts of the host do not count.
    """
    data = {"topology": _declared(topology), "options": to_json(options)}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _declared(value: Any) -> Any:
    if isinstance(value, (str, int, float, type(None))):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {"is": type(value).__name__}
        for one in dataclasses.fields(value):
            item = getattr(value, one.name)
            if not one.compare or (one.default is not dataclasses.MISSING and item == one.default):
                continue
            found[one.name] = _mounts(item) if one.name == "mounts" else _declared(item)
        return found
    if isinstance(value, Mapping):
        return {str(key): _declared(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_declared(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return str(value)


def _mounts(mounts: Any) -> list[Any]:
    found = []
    for one in mounts:
        source, _, target = one.partition(":")
        found.append([target, _content(Path(source))])
    return found


def _content(path: Path) -> Any:
    """The content of a mounted file or directory, digested."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.is_dir():
        return {
            str(one.relative_to(path)): hashlib.sha256(one.read_bytes()).hexdigest()
            for one in sorted(path.rglob("*"))
            if one.is_file()
        }
    return str(path)  # a socket or device: its place is what it is
