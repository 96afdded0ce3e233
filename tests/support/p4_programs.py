"""Small v1model programs as BMv2's JSON, made by hand for tests that have no compiler for P4."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_kinda import folders
from pytest_kinda.p4 import FileSwitch, compile_program, read_program, translate

QUICK = ("-std=gnu11", "-O0", "-Wall", "-Wno-unused-function")
ADDRESS = ("-fsanitize=address",)  # beside QUICK: compiled in a fifth of SANITIZED's time
SANITIZED = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-Wall",
    "-Wno-unused-function",
)
STANDARD = [
    ["ingress_port", 9, False],
    ["egress_spec", 9, False],
    ["egress_port", 9, False],
    ["instance_type", 32, False],
    ["packet_length", 32, False],
    ["mcast_grp", 16, False],
    ["egress_rid", 16, False],
    ["checksum_error", 1, False],
    ["parser_error", 32, False],
    ["_padding", 3, False],
]
ERRORS = ["NoError", "PacketTooShort", "NoMatch", "StackOutOfBounds", "HeaderTooShort"]


def hexstr(value: int) -> dict[str, Any]:
    return {"type": "hexstr", "value": hex(value) if value >= 0 else "-" + hex(-value)}


def field(header: str, name: str) -> dict[str, Any]:
    return {"type": "field", "value": [header, name]}


def op(name: str, *operands: Any) -> dict[str, Any]:
    inner: dict[str, Any] = {"op": name, "left": None, "right": operands[-1]}
    if name == "?":
        inner = {"op": "?", "cond": operands[0], "left": operands[1], "right": operands[2]}
    elif len(operands) == 2:
        inner["left"] = operands[0]
    return {"type": "expression", "value": inner}


def given(value: Any) -> Any:
    """A parameter: p4c writes an expression into one more pair of braces there."""
    return {"type": "expression", "value": value} if value["type"] == "expression" else value


def call(name: str, *parameters: Any, line: int = 7) -> dict[str, Any]:
    source = {"filename": "made.p4", "line": line, "column": 1, "source_fragment": ""}
    return {"op": name, "parameters": [given(one) for one in parameters], "source_info": source}


def assign(target: Any, value: Any) -> dict[str, Any]:
    return call("assign", target, value)


def table(name: str, actions: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    last = actions[-1]
    return {
        "name": name,
        "id": 0,
        "key": [],
        "match_type": "exact",
        "type": "simple",
        "max_size": 1024,
        "with_counters": False,
        "support_timeout": False,
        "direct_meters": None,
        "action_ids": [one["id"] for one in actions],
        "actions": [one["name"] for one in actions],
        "base_default_next": None,
        "next_tables": {one["name"]: None for one in actions},
        "default_entry": {
            "action_id": last["id"],
            "action_const": False,
            "action_data": ["0x0"] * len(last["runtime_data"]),
            "action_entry_const": False,
        },
    } | changes


def action(number: int, name: str, calls: Sequence[Any], **widths: int) -> dict[str, Any]:
    data = [{"name": one, "bitwidth": width} for one, width in widths.items()]
    return {"name": name, "id": number, "runtime_data": data, "primitives": list(calls)}


def program(
    types: Mapping[str, Sequence[Sequence[Any]]],
    actions: Sequence[dict[str, Any]],
    tables: Sequence[dict[str, Any]],
    **changes: Any,
) -> dict[str, Any]:
    """A program that extracts one header of each type, in order, and runs the first table."""
    header_types = [
        {"name": name, "id": i, "fields": [list(one) for one in fields]}
        for i, (name, fields) in enumerate(types.items())
    ]
    header_types.append({"name": "standard_metadata_t", "id": len(types), "fields": STANDARD})
    headers = [
        {"name": name, "id": i, "header_type": name, "metadata": False}
        for i, name in enumerate(types)
    ]
    headers.append(
        {
            "name": "standard_metadata",
            "id": len(types),
            "header_type": "standard_metadata_t",
            "metadata": True,
        }
    )
    extracts = [
        {"op": "extract", "parameters": [{"type": "regular", "value": name}]} for name in types
    ]
    start = {
        "name": "start",
        "id": 0,
        "parser_ops": extracts,
        "transitions": [{"value": "default", "mask": None, "next_state": None}],
        "transition_key": [],
    }
    first = tables[0]["name"] if tables else None
    return {
        "__meta__": {"version": [2, 23], "compiler": "by hand"},
        "header_types": header_types,
        "headers": headers,
        "header_stacks": [],
        "field_lists": [],
        "errors": [[name, i] for i, name in enumerate(ERRORS)],
        "parsers": [{"name": "parser", "id": 0, "init_state": "start", "parse_states": [start]}],
        "deparsers": [{"name": "deparser", "id": 0, "order": list(types)}],
        "meter_arrays": [],
        "counter_arrays": [],
        "register_arrays": [],
        "calculations": [],
        "checksums": [],
        "actions": list(actions),
        "pipelines": [
            {
                "name": "ingress",
                "id": 0,
                "init_table": first,
                "tables": list(tables),
                "action_profiles": [],
                "conditionals": [],
            },
            {
                "name": "egress",
                "id": 1,
                "init_table": None,
                "tables": [],
                "action_profiles": [],
                "conditionals": [],
            },
        ],
        "field_aliases": [
            ["intrinsic_metadata.mcast_grp", ["standard_metadata", "mcast_grp"]],
            ["intrinsic_metadata.egress_rid", ["standard_metadata", "egress_rid"]],
        ],
    } | changes


def written(folder: Path, content: Mapping[str, Any], name: str = "made.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def started(path: Path, flags: Sequence[str] = QUICK) -> FileSwitch:
    """The program as a process; what is compiled is kept in the user's cache, by content."""
    return FileSwitch(read_program(path), binary(path, flags))


def binary(path: Path, flags: Sequence[str] = QUICK) -> Path:
    """The compiled program."""
    return compile_program(translate(read_program(path)), _cache(), flags=flags)


@cache
def _cache() -> Path:
    return folders.cache("p4")
