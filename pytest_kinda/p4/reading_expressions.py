"""Expressions, parser steps and primitive calls of BMv2's JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_kinda.p4.document import Part
from pytest_kinda.p4.program import (
    VALID,
    Advance,
    Call,
    Constant,
    Expression,
    Extract,
    FieldRef,
    HeaderRef,
    HeaderType,
    LastRef,
    Lookahead,
    Named,
    Operation,
    ParameterRef,
    ParserStep,
    RegisterRef,
    SetField,
    StackRef,
    Truth,
    Verify,
)

_UNARY = frozenset({"not", "~", "valid", "d2b", "b2d", "last_stack_index", "size_stack"})
_BINARY = frozenset(
    {"+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "and", "or"}
    | {"==", "!=", ">", ">=", "<", "<=", "two_comp_mod", "usat_cast", "sat_cast"}
)
_NAMED = {
    "calculation": "calculation",
    "meter_array": "meter",
    "counter_array": "counter",
    "register_array": "register",
    "string": "string",
}


class Names:
    """The headers and stacks of a program, against which references are checked."""

    def __init__(self, types: Mapping[str, HeaderType], stacks: Mapping[str, HeaderType]) -> None:
        self.types = types
        self.stacks = stacks

    def field(self, part: Part) -> FieldRef:
        """A reference to a field: ``["ipv4", "ttl"]``."""
        header, field = part[0].text, part[1].text
        if header not in self.types:
            raise part.bad("a field of a header that the program has")
        fields = self.types[header].fields
        if field != VALID and not any(one.name == field for one in fields):
            raise part.bad(f"a field of {header}")
        return FieldRef(header, field)

    def last(self, part: Part) -> LastRef:
        """A reference to a field of a stack's last element."""
        stack, field = part[0].text, part[1].text
        if stack not in self.stacks:
            raise part.bad("a stack that the program has")
        if not any(one.name == field for one in self.stacks[stack].fields):
            raise part.bad(f"a field of the elements of {stack}")
        return LastRef(stack, field)

    def header(self, part: Part) -> HeaderRef:
        """A reference to a header as a whole."""
        if part.text not in self.types:
            raise part.bad("a header that the program has")
        return HeaderRef(part.text)

    def stack(self, part: Part) -> StackRef:
        """A reference to a stack as a whole."""
        if part.text not in self.stacks:
            raise part.bad("a header stack that the program has")
        return StackRef(part.text)


def expression(part: Part, names: Names, where: str) -> Expression:
    """A "type value object"; ``where`` is the nearest place in the P4 source."""
    if part.value is None:
        raise part.bad("an expression")
    if "op" in part:
        return _operation(part, names, where)
    kind, value = part["type"].text, part["value"]
    if kind == "expression":
        return expression(value, names, where)
    if kind == "hexstr":
        return Constant(value.hexadecimal)
    if kind == "bool":
        return Truth(value.truth)
    if kind == "field":
        return names.field(value)
    if kind == "stack_field":
        return names.last(value)
    if kind in ("local", "runtime_data"):
        return ParameterRef(value.number)
    if kind == "header":
        return names.header(value)
    if kind == "header_stack":
        return names.stack(value)
    if kind == "lookahead":
        return Lookahead(value[0].number, value[1].number)
    if kind == "register":
        return RegisterRef(value[0].text, expression(value[1], names, where))
    raise Part(part.value, where).refuse(f"a value of type {kind!r}")


def _operation(part: Part, names: Names, where: str) -> Expression:
    name = part["op"].text
    if name == "access_field":
        header = expression(part["left"], names, where)
        return Operation("access_field", (header, Constant(part["right"].number)), where)
    if name == "dereference_header_stack":
        stack = expression(part["left"], names, where)
        return Operation(name, (stack, expression(part["right"], names, where)), where)
    if name == "?":
        parts = (part["cond"], part["left"], part["right"])
        return Operation(name, tuple(expression(one, names, where) for one in parts), where)
    if name in _UNARY:
        return Operation(name, (expression(part["right"], names, where),), where)
    if name in _BINARY:
        both = (part["left"], part["right"])
        return Operation(name, tuple(expression(one, names, where) for one in both), where)
    raise Part(part.value, where).refuse(f"the operation {name!r}")


def call(part: Part, names: Names) -> Call:
    """A primitive with its arguments."""
    arguments: list[Expression | Named] = []
    for given in part["parameters"]:
        kind = given["type"].text
        if kind == "parameters_vector":  # what log_msg prints: it prints nothing here
            continue
        if kind in _NAMED:
            arguments.append(Named(_NAMED[kind], given["value"].text))
        elif kind in ("extern", "header_union", "header_union_stack", "field_list"):
            raise part.refuse(f"{part['op'].text} of a {kind}")
        else:
            arguments.append(expression(given, names, part.where))
    return Call(part["op"].text, tuple(arguments), part.where)


def parser_step(part: Part, names: Names, where: str) -> ParserStep:
    """One operation of a parser state."""
    name, given = part["op"].text, part["parameters"]
    place = part.where if "source_info" in part else where
    if name in ("extract", "extract_VL"):
        kind = given[0]["type"].text
        target: HeaderRef | StackRef
        if kind == "regular":
            target = names.header(given[0]["value"])
        elif kind == "stack":
            target = names.stack(given[0]["value"])
        else:
            raise Part(part.value, place).refuse(f"extraction into a {kind}")
        length = expression(given[1], names, place) if name == "extract_VL" else None
        return Extract(target, length, place)
    if name == "set":
        return SetField(names.field(given[0]["value"]), expression(given[1], names, place), place)
    if name == "verify":
        return Verify(expression(given[0], names, place), expression(given[1], names, place), place)
    if name == "shift":
        return Advance(Constant(given[0].number * 8), place)
    if name == "advance":
        return Advance(expression(given[0], names, place), place)
    if name == "primitive":
        return call(given[0], names)
    raise Part(part.value, place).refuse(f"the parser operation {name!r}")
