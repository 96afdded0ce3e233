"""The JSON Schema of topology files, for editors: made of the kinds themselves."""

from __future__ import annotations

from typing import Any

from pytest_kinda.readers.kinds import Field, fields_of, kinds
from pytest_kinda.topology import Node
from pytest_kinda.units import DURATIONS, RATES, SIZES

_TEXTS = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
_COMMAND = {
    "anyOf": [
        {"type": "string"},
        _TEXTS,
        {
            "type": "object",
            "properties": {
                "run": {"anyOf": [{"type": "string"}, _TEXTS]},
                "check": {"type": "boolean"},
            },
            "required": ["run"],
            "additionalProperties": False,
        },
    ]
}
_FILE = {
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {
            "type": "object",
            "properties": {"from": {"type": "string", "description": "a file or directory"}},
            "required": ["from"],
            "additionalProperties": False,
        },
    ]
}
_FORMS: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "integer", "null"]},
    "number": {"type": ["number", "null"]},
    "whole": {"type": ["integer", "null"]},
    "flag": {"type": "boolean"},
    "texts": {"anyOf": [_TEXTS, {"type": ["string", "null"]}]},
    "map": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "files": {"type": "object", "additionalProperties": _FILE},
    "commands": {"type": "array", "items": _COMMAND},
    "card": {"type": "object", "description": "what P4Nic takes: program, engine and more"},
    "records": {"type": "array", "items": {"type": "object"}},
}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a topology file."""
    names = sorted(kinds())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-kinda topology",
        "type": "object",
        "required": ["nodes"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string"},
            "name": {"type": "string"},
            "nodes": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [
                        {"enum": names},
                        *({"$ref": f"#/$defs/{name}"} for name in names),
                    ]
                },
            },
            "links": {
                "type": "array",
                "items": {"anyOf": [{"$ref": "#/$defs/ends"}, {"$ref": "#/$defs/link"}]},
            },
        },
        "$defs": {
            "ends": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 2,
                "maxItems": 2,
                "description": "the names of two nodes",
            },
            "link": _link(),
        }
        | {name: _kind(name, kind) for name, kind in sorted(kinds().items())},
    }


def _kind(name: str, kind: type[Node]) -> dict[str, Any]:
    first = (kind.__doc__ or "").strip().splitlines()
    return {
        "type": "object",
        "description": first[0] if first else name,
        "required": ["kind"],
        "additionalProperties": False,
        "properties": {"kind": {"const": name}}
        | {one.name: _field(one) for one in fields_of(kind).values()},
    }


def _field(field: Field) -> dict[str, Any]:
    if field.form == "choice":
        words = {"enum": list(field.choices)}
        return {"anyOf": [words, {"type": "object"}]} if field.record else words
    return _FORMS[field.form]


def _quantity(units: dict[str, int], example: str) -> dict[str, Any]:
    pattern = "|".join(units)
    return {
        # JSON Schema's patterns know no flag for case
        "anyOf": [
            {"type": "string", "pattern": r"^\s*[0-9]*\.?[0-9]+\s*([A-Za-z]+)?\s*$"},
            {"const": 0},
        ],
        "description": f"a number and one of {pattern.replace('|', ', ')}",
        "examples": [example],
    }


def _settings() -> dict[str, Any]:
    share = {
        "anyOf": [{"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"}, {"const": 0}],
        "description": "a percentage",
        "examples": ["0.1%"],
    }
    time = _quantity(DURATIONS, "5ms")
    return {
        "rate": _quantity(RATES, "100mbit"),
        "burst": _quantity(SIZES, "32kb"),
        "latency": time,
        "delay": time,
        "jitter": time,
        "loss": share,
        "corrupt": share,
        "duplicate": share,
        "reorder": share,
    }


def _link() -> dict[str, Any]:
    addresses = {
        "anyOf": [
            {"type": "string"},
            {
                "type": "array",
                "items": {"type": ["string", "null"]},
                "minItems": 2,
                "maxItems": 2,
            },
        ],
        "description": "a subnet, or the addresses of both ends",
    }
    direction = {"type": "object", "properties": _settings(), "additionalProperties": False}
    return {
        "type": "object",
        "required": ["ends"],
        "additionalProperties": False,
        "properties": {
            "ends": {"$ref": "#/$defs/ends"},
            "name": {"type": "string"},
            "mtu": {"type": "integer", "minimum": 576, "maximum": 65535},
            "ipv4": addresses,
            "ipv6": addresses,
            "interfaces": {
                "type": "array",
                "items": {"type": ["string", "null"]},
                "minItems": 2,
                "maxItems": 2,
            },
            "a_to_b": direction,
            "b_to_a": direction,
        }
        | _settings(),
    }
