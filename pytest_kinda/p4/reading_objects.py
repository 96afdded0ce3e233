"""Header unions, value sets, action profiles, meters and digests of BMv2's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_kinda.p4.document import Part
from pytest_kinda.p4.objects import (
    Digest,
    HeaderUnion,
    HeaderUnionStack,
    Meters,
    Profile,
    ValueSet,
)
from pytest_kinda.p4.program import (
    VALID,
    Calculation,
    CalculationInput,
    Parser,
    Pipeline,
    Table,
)
from pytest_kinda.p4.reading_expressions import Names


def header_union(part: Part, headers: Mapping[int, str]) -> HeaderUnion:
    """A header union; ``headers`` are the program's, by BMv2's ids."""
    found = tuple(headers[one.number] for one in part["header_ids"] if one.number in headers)
    if len(found) != len(part["header_ids"]) or not found:
        raise part.bad("a union of headers that the program has")
    return HeaderUnion(part["name"].text, found)


def header_union_stack(
    part: Part, root: Part, unions: Mapping[int, HeaderUnion]
) -> HeaderUnionStack:
    """A stack of the unions that were read before."""
    wanted = part["union_type"].text
    kinds = [one for one in root["header_union_types"] if one["name"].text == wanted]
    if not kinds:
        raise part.bad("a stack of a union type that the program has")
    members = tuple(one[0].text for one in kinds[0]["headers"])
    elements = tuple(
        unions[one.number].headers for one in part["header_union_ids"] if one.number in unions
    )
    if len(elements) != len(part["header_union_ids"]) or not elements:
        raise part.bad("a stack of unions that the program has")
    if any(len(one) != len(members) for one in elements):
        raise part.bad(f"unions of {len(members)} headers")
    return HeaderUnionStack(part["name"].text, members, elements)


def value_sets(root: Part, parser: Parser, names: Names) -> tuple[ValueSet, ...]:
    """The parser value sets, with the parts that the selects on them give their values."""
    found = []
    for part in root.get("parse_vsets", []):
        name, width = part["name"].text, part["compressed_bitwidth"].number
        keys = [
            tuple(names.width(one) for one in state.key)
            for state in parser.states
            if any(case.value_set == name for case in state.cases)
        ]
        if width > 128:
            raise part.refuse(f"the value set {name} of {width} bits")
        if any(sum(key) != width for key in keys):
            raise part.bad(f"selects of {width} bits on the value set {name}")
        found.append(ValueSet(name, width, keys[0] if keys else (width,)))
    known = {one.name for one in found}
    for state in parser.states:
        for case in state.cases:
            if case.value_set is not None and case.value_set not in known:
                raise Part(case.value_set, state.where).bad("a value set that the program has")
    return tuple(found)


def profiles(root: Part, pipelines: Iterable[Pipeline], names: Names) -> tuple[Profile, ...]:
    """The action profiles and selectors, with the actions of the tables that have them."""
    tables = [node for one in pipelines for node in one.nodes if isinstance(node, Table)]
    found = []
    for pipeline in root["pipelines"]:
        for part in pipeline.get("action_profiles", []):
            name = part["name"].text
            actions: dict[int, None] = {}
            for table in tables:
                if table.profile == name:
                    actions |= dict.fromkeys(table.actions)
            selector = _selector(part["selector"], name, names) if "selector" in part else None
            found.append(Profile(name, tuple(actions), selector))
    known = {one.name for one in found}
    for table in tables:
        if table.profile is not None and table.profile not in known:
            raise Part(table.profile, table.where).bad("an action profile that the program has")
    return tuple(found)


def _selector(part: Part, name: str, names: Names) -> Calculation:
    inputs = []
    for one in part["input"]:
        if one["type"].text != "field":
            raise part.refuse(f"a {one['type'].text} in the selector of {name}")
        inputs.append(CalculationInput("field", names.field(one["value"])))
    return Calculation(name, part["algo"].text, tuple(inputs))


def meters(part: Part, names: Names) -> Meters:
    """A meter array, or the meter of each entry of a table."""
    name, kind = part["name"].text, part["type"].text
    if kind not in ("packets", "bytes"):
        raise part.bad("a meter of packets or bytes")
    if part["rate_count"].number != 2:
        raise part.refuse(f"the meter {name} of {part['rate_count'].number} rates")
    if part["is_direct"].truth:
        target = names.field(part["result_target"])
        return Meters(name, 0, kind == "bytes", part["binding"].text, target)
    return Meters(name, part["size"].number, kind == "bytes")


def digest_list(part: Part, names: Names) -> Digest:
    """A list of fields that is sent to the controller."""
    fields = []
    for one in part["elements"]:
        if one["type"].text != "field":
            raise part.refuse(f"a {one['type'].text} in the digest {part['name'].text}")
        field = names.field(one["value"])
        kinds = names.types[field.header].fields
        if field.field != VALID and any(k.variable for k in kinds if k.name == field.field):
            raise part.refuse(f"the varbit {field.header}.{field.field} in a digest")
        fields.append(field)
    return Digest(part["id"].number, part["name"].text, tuple(fields))
