"""Expressions, parser steps and primitive calls of BMv2's JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_kinda.p4.document import Part
from pytest_kinda.p4.objects import (
    HeaderUnion,
    HeaderUnionStack,
    LastUnionRef,
    UnionRef,
    UnionStackRef,
)
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
    KeyPart,
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

_UNARY = frozenset(
    {"not", "~", "valid", "valid_union", "d2b", "b2d", "last_stack_index", "size_stack"}
)
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
    """The headers, stacks and unions of a program, against which references are checked."""

    def __init__(
        self,
        types: Mapping[str, HeaderType],
        stacks: Mapping[str, HeaderType],
        unions: Mapping[str, HeaderUnion],
        union_stacks: Mapping[str, HeaderUnionStack],
    ) -> None:
        self.types = types
        self.stacks = stacks
        self.unions = unions
        self.union_stacks = union_stacks

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
            if field == "last":  # p4c's mistake: BMv2 reads what is not there
                raise part.refuse("the last element of a stack as a whole header")
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

    def union(self, part: Part) -> UnionRef:
        """A reference to a header union as a whole."""
        if part.text not in self.unions:
            raise part.bad("a header union that the program has")
        return UnionRef(part.text)

    def union_stack(self, part: Part) -> UnionStackRef:
        """A reference to a stack of header unions as a whole."""
        if part.text not in self.union_stacks:
            raise part.bad("a stack of header unions that the program has")
        return UnionStackRef(part.text)

    def union_member(self, part: Part) -> tuple[UnionStackRef, int]:
        """A stack of unions and the number of a header in them: ``["options", "nop"]``."""
        stack, name = self.union_stack(part[0]), part[1].text
        members = self.union_stacks[stack.stack].members
        if name not in members:
            raise part.bad(f"a header of the unions of {stack.stack}: {', '.join(members)}")
        return stack, members.index(name)

    def last_union(self, part: Part) -> LastUnionRef:
        """A reference to a field of a union stack's last element."""
        stack, member = self.union_member(part)
        field = part[2].text
        header = self.union_stacks[stack.stack].elements[0][member]
        if not any(one.name == field for one in self.types[header].fields):
            raise part.bad(f"a field of {header}")
        return LastUnionRef(stack.stack, member, field)

    def width(self, part: KeyPart) -> int:
        """Bits of one part of a select's key."""
        if isinstance(part, Lookahead):
            return part.width
        if isinstance(part, FieldRef):
            if part.field == VALID:
                return 1
            kind = self.types[part.header]
        elif isinstance(part, LastRef):
            kind = self.stacks[part.stack]
        else:
            kind = self.types[self.union_stacks[part.stack].elements[0][part.member]]
        return next(field.width for field in kind.fields if field.name == part.field)


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
    if kind == "header_union":
        return names.union(value)
    if kind == "header_union_stack":
        return names.union_stack(value)
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
        elif kind in ("extern", "field_list"):
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
        target: HeaderRef | StackRef | UnionStackRef
        member = 0
        if kind == "regular":
            target = names.header(given[0]["value"])
        elif kind == "stack":
            target = names.stack(given[0]["value"])
        elif kind == "union_stack":
            target, member = names.union_member(given[0]["value"])
        else:
            raise Part(part.value, place).refuse(f"extraction into a {kind}")
        length = expression(given[1], names, place) if name == "extract_VL" else None
        return Extract(target, length, place, member)
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
