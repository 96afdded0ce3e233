"""The JSON Schema of rows, made of the class that they are written from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from pytest_kinda.experiment.rows import OUTCOMES, SCHEMA, Row

_KINDS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str | None: {"type": ["string", "null"]},
    int | None: {"type": ["integer", "null"]},
    float | None: {"type": ["number", "null"]},
    Sequence[str]: {"type": "array", "items": {"type": "string"}, "minItems": 1},
    Mapping[str, str]: {"type": "object", "additionalProperties": {"type": "string"}},
}
_VALUES: dict[str, list[str | None]] = {
    "row": ["value", "place", "load", "end"],
    "better": ["lower", "higher", None],
    "outcome": [*OUTCOMES, None],
}
_TELLS: dict[str, dict[str, Any]] = {
    "value": {
        "metric": {"type": "string"},
        "value": {"type": "number"},
        "unit": {"type": "string"},
        "better": {"enum": ["lower", "higher"]},
    },
    "place": {name: {"type": "string"} for name in ("pod", "workload", "node")},
    "load": {
        "link": {"type": "string"},
        "node": {"type": "string"},
        "value": {"type": "number"},
        "unit": {"const": "bit/s"},
    },
    "end": {"outcome": {"enum": list(OUTCOMES)}},
}
"""What each kind of row has for certain."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one row."""
    hints = get_type_hints(Row)
    properties: dict[str, Any] = {"schema": {"const": SCHEMA}}
    for one in dataclasses.fields(Row):
        kind = {"enum": _VALUES[one.name]} if one.name in _VALUES else _KINDS[hints[one.name]]
        properties[one.name] = {**kind, "description": one.metadata["description"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-kinda row of an experiment",
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "allOf": [
            {"if": {"properties": {"row": {"const": row}}}, "then": {"properties": told}}
            for row, told in _TELLS.items()
        ],
    }
