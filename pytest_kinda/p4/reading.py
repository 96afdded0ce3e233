"""Reads the JSON file that p4c writes for BMv2's simple_switch (v1model) into a ``Program``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pytest_kinda.errors import ProgramError
from pytest_kinda.p4.document import Part
from pytest_kinda.p4.program import (
    Action,
    Calculation,
    CalculationInput,
    Case,
    Cells,
    Checksum,
    Field,
    FieldRef,
    Header,
    HeaderRef,
    HeaderType,
    KeyPart,
    LastRef,
    Lookahead,
    Parameter,
    Parser,
    Pipeline,
    Program,
    Stack,
    State,
)
from pytest_kinda.p4.reading_expressions import Names, call, expression, parser_step
from pytest_kinda.p4.reading_objects import (
    digest_list,
    header_union,
    header_union_stack,
    meters,
    profiles,
    value_sets,
)
from pytest_kinda.p4.reading_tables import pipeline

_REQUIRED = ("ingress_port", "egress_spec", "egress_port", "packet_length", "instance_type")


def read_program(path: Path) -> Program:
    """Read a compiled v1model program.

    Raises:
        NotCoveredError: It uses what the native engine does not cover; the error names it.
        ProgramError: The file is not such a program.

    Example:
        >>> read_program(Path("router.json")).tables[0].name  # doctest: +SKIP
        'MyIngress.ipv4_lpm'
    """
    try:
        return parse_program(path.read_bytes(), path.name)
    except OSError as problem:
        raise _unreadable(str(path), problem) from problem


def parse_program(content: bytes, name: str) -> Program:
    """The program of a file's content; ``name`` is the file's, for errors. Raises as above."""
    try:
        found = json.loads(content)
    except ValueError as problem:
        raise _unreadable(name, problem) from problem
    return program_from(Part(found, name), hashlib.sha256(content).hexdigest())


def _unreadable(name: str, problem: Exception) -> ProgramError:
    return ProgramError(
        f"{name}: cannot be read as JSON: {problem}",
        remedy="give the JSON file that p4c's bmv2 backend (p4c-bm2-ss) writes",
    )


def program_from(root: Part, digest: str) -> Program:
    """The program that a JSON document describes; ``read_program`` says what is raised."""
    _refused_as_a_whole(root)
    types = tuple(_type(part) for part in root["header_types"])
    by_name = {one.name: one for one in types}
    headers = tuple(
        Header(part["name"].text, part["header_type"].text, part["metadata"].truth)
        for part in root["headers"]
    )
    for part, header in zip(root["headers"], headers, strict=True):
        if header.type not in by_name:
            raise part.bad("a header of a type that the program has")
    ids = {part["id"].number: part["name"].text for part in root["headers"]}
    stacks = tuple(_stack(part, ids) for part in root.get("header_stacks", []))
    unions = {part["id"].number: header_union(part, ids) for part in root.get("header_unions", [])}
    union_stacks = tuple(
        header_union_stack(part, root, unions) for part in root.get("header_union_stacks", [])
    )
    names = Names(
        {header.name: by_name[header.type] for header in headers},
        {stack.name: by_name[stack.type] for stack in stacks},
        {one.name: one for one in unions.values()},
        {one.name: one for one in union_stacks},
    )
    actions = tuple(_action(part, names) for part in root["actions"])
    aliases = tuple((part[0].text, names.field(part[1])) for part in root.get("field_aliases", []))
    standard = names.types.get("standard_metadata")
    missing = [
        name
        for name in _REQUIRED
        if standard is None or not any(field.name == name for field in standard.fields)
    ]
    if missing:
        raise ProgramError(
            f"{root.where}: standard_metadata has no {', '.join(missing)}",
            remedy="compile the program for v1model (p4c-bm2-ss), not for another architecture",
        )
    pipelines = {part["name"].text: pipeline(part, names, actions) for part in root["pipelines"]}
    parser = _parser(root, names)
    nothing = Pipeline("", None, ())
    counters = [
        Cells(
            part["name"].text,
            part.get("size", 0).number,
            64,
            part["binding"].text if part["is_direct"].truth else None,
        )
        for part in root.get("counter_arrays", [])
    ]
    return Program(
        file=root.where,
        digest=digest,
        types=types,
        headers=headers,
        stacks=stacks,
        errors=tuple((p[0].text, p[1].number) for p in root.get("errors", [])),
        parser=parser,
        deparser=_deparser(root, names),
        actions=actions,
        ingress=pipelines.get("ingress", nothing),
        egress=pipelines.get("egress", nothing),
        calculations=tuple(_calculation(part, names) for part in root.get("calculations", [])),
        checksums=tuple(_checksum(part, names) for part in root.get("checksums", [])),
        registers=tuple(
            Cells(p["name"].text, p["size"].number, _cell_width(p))
            for p in root.get("register_arrays", [])
        ),
        counters=tuple(counters),
        meters=tuple(meters(part, names) for part in root.get("meter_arrays", [])),
        lists=tuple(_field_list(part, names) for part in root.get("field_lists", [])),
        aliases=aliases,
        unions=tuple(unions.values()),
        union_stacks=union_stacks,
        value_sets=value_sets(root, parser, names),
        profiles=profiles(root, pipelines.values(), names),
        digests=tuple(digest_list(part, names) for part in root.get("learn_lists", [])),
    )


def _refused_as_a_whole(root: Part) -> None:
    version = root["__meta__"]["version"]
    if version[0].number != 2:
        raise version.bad("format version 2.x")
    for part in root.get("extern_instances", []):
        raise part.refuse(f"instances of externs ({part['name'].text})")


def _type(part: Part) -> HeaderType:
    fields = []
    if "length_exp" in part:
        raise part.refuse(f"a length in the header type {part['name'].text} (P4_14)")
    fixed = sum(field[1].number for field in part["fields"] if field[1].value != "*")
    for field in part["fields"]:
        name = field[0].text
        signed = len(field) > 2 and _flag(field[2])
        if len(field) > 3 and _flag(field[3]):
            raise part.refuse(f"the saturating field {name}")
        if field[1].value == "*":
            most = part["max_length"].number * 8 - fixed
            fields.append(Field(name, most, signed, variable=True))
        else:
            fields.append(Field(name, field[1].number, signed))
        if signed and not 2 <= fields[-1].width <= 126:
            raise part.refuse(f"the signed field {name} of {fields[-1].width} bits")
    if sum(field.variable for field in fields) > 1:
        raise part.bad("a header type with one varbit field at the most")
    return HeaderType(part["name"].text, tuple(fields))


def _stack(part: Part, ids: dict[int, str]) -> Stack:
    elements = tuple(ids[one.number] for one in part["header_ids"] if one.number in ids)
    if len(elements) != len(part["header_ids"]) or not elements:
        raise part.bad("a stack of headers that the program has")
    return Stack(part["name"].text, part["header_type"].text, elements)


def _parser(root: Part, names: Names) -> Parser:
    parsers = list(root["parsers"])
    if len(parsers) != 1:
        raise root["parsers"].refuse(f"{len(parsers)} parsers")
    states = tuple(_state(part, names) for part in parsers[0]["parse_states"])
    known = {state.name for state in states}
    start = parsers[0]["init_state"].name
    for state in states:
        ways = [case.state for case in state.cases] + [state.otherwise, start]
        for way in ways:
            if way is not None and way not in known:
                raise ProgramError(f"{state.where}: there is no parser state {way!r}")
    return Parser(start, states)


def _state(part: Part, names: Names) -> State:
    key = tuple(_parser_key(one, names, part.where) for one in part["transition_key"])
    size = sum((names.width(one) + 7) // 8 for one in key)
    cases: list[Case] = []
    otherwise: str | None = None
    for way in part["transitions"]:
        kind = way.get("type", "default").text
        if way["value"].value == "default" or kind == "default":
            otherwise = way["next_state"].name
            continue
        if kind == "parse_vset":
            if "mask" in way:
                raise part.refuse("a mask over a parser value set")
            cases.append(Case(b"", None, way["next_state"].name, way["value"].text))
            continue
        if kind != "hexstr":
            raise part.refuse(f"a transition on a {kind}")
        value = _key_bytes(way["value"], size)
        mask = _key_bytes(way["mask"], size) if "mask" in way else None
        cases.append(Case(value, mask, way["next_state"].name))
    return State(
        part["name"].text,
        tuple(parser_step(one, names, part.where) for one in part["parser_ops"]),
        key,
        tuple(cases),
        otherwise,
        part.where,
    )


def _parser_key(part: Part, names: Names, where: str) -> KeyPart:
    if part["type"].text == "union_stack_field":
        return names.last_union(part["value"])
    found = expression(part, names, where)
    if isinstance(found, (FieldRef, LastRef, Lookahead)):
        return found
    raise part.refuse("a select on this")


def _key_bytes(part: Part, size: int) -> bytes:
    try:
        return part.hexadecimal.to_bytes(size, "big")
    except OverflowError:
        raise part.bad(f"a value of {size} bytes") from None


def _deparser(root: Part, names: Names) -> tuple[str, ...]:
    deparsers = list(root["deparsers"])
    if len(deparsers) != 1:
        raise root["deparsers"].refuse(f"{len(deparsers)} deparsers")
    for primitive in deparsers[0].get("primitives", []):
        raise primitive.refuse(f"{primitive['op'].text} in the deparser")
    return tuple(names.header(one).header for one in deparsers[0]["order"])


def _action(part: Part, names: Names) -> Action:
    parameters = tuple(
        Parameter(one["name"].text, one["bitwidth"].number) for one in part["runtime_data"]
    )
    for one in parameters:
        if one.width > 128:
            raise part.refuse(f"the parameter {one.name} of {one.width} bits")
    return Action(
        part["id"].number,
        part["name"].text,
        parameters,
        tuple(call(one, names) for one in part["primitives"]),
    )


def _calculation(part: Part, names: Names) -> Calculation:
    inputs = []
    for one in part["input"]:
        kind = one["type"].text
        if kind == "field":
            inputs.append(CalculationInput(kind, names.field(one["value"])))
        elif kind == "header":
            inputs.append(CalculationInput(kind, HeaderRef(names.header(one["value"]).header)))
        elif kind == "hexstr":
            width = one["bitwidth"].number
            value = one["value"].hexadecimal & ((1 << width) - 1)
            inputs.append(CalculationInput(kind, None, value, width))
        elif kind == "payload":
            inputs.append(CalculationInput(kind))
        else:
            raise part.refuse(f"a {kind} in the calculation {part['name'].text}")
    return Calculation(part["name"].text, part["algo"].text, tuple(inputs))


def _checksum(part: Part, names: Names) -> Checksum:
    if part["type"].text != "generic":
        raise part.refuse(f"a checksum of type {part['type'].text!r}")
    condition = None
    if "if_cond" in part:
        condition = expression(part["if_cond"], names, part.where)
    return Checksum(
        part["name"].text,
        names.field(part["target"]),
        part["calculation"].text,
        condition,
        part.get("update", True).truth,
        part.get("verify", True).truth,
    )


def _cell_width(part: Part) -> int:
    width = part["bitwidth"].number
    if width > 128:
        raise part.refuse(f"registers of {width} bits")
    return width


def _field_list(part: Part, names: Names) -> tuple[int, tuple[FieldRef, ...]]:
    fields = []
    for one in part["elements"]:
        if one["type"].text != "field":
            raise part.refuse(f"a {one['type'].text} in a field list")
        fields.append(names.field(one["value"]))
    return part["id"].number, tuple(fields)


def _flag(part: Part) -> bool:
    """A boolean that p4c writes as 0 or 1 in places."""
    if isinstance(part.value, bool) or part.value not in (0, 1):
        return part.truth
    return part.number == 1
