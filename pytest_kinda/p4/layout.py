"""Where a program's headers and fields are in the C code: types, paths, and how they are copied."""

from __future__ import annotations

import re

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.objects import LastUnionRef
from pytest_kinda.p4.program import VALID, Field, FieldRef, HeaderType, LastRef, Program
from pytest_kinda.p4.unions import Unions

WIDEST = 128
"""Bits of the widest field that takes part in arithmetic; wider ones are bytes."""


def identifier(name: str) -> str:
    """A name in which only what C allows is left."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def storage(field: Field) -> str:
    """The C type of a field's value."""
    # a signed field keeps one bit more: BMv2 leaves 255 in an int<8> to which 255 is assigned
    bits = field.width + 1 if field.signed else field.width
    for width in (8, 16, 32, 64):
        if bits <= width:
            return f"{'int' if field.signed else 'uint'}{width}_t"
    return "i128" if field.signed else "u128"


def is_bytes(field: Field) -> bool:
    """Whether a field is kept as bytes: wider than arithmetic, or of variable length."""
    return field.variable or field.width > WIDEST


def variable_equal(one: str, two: str) -> str:
    """Whether two varbit fields have equal values, whatever their lengths, as in BMv2."""
    return f"bytes_equal({one}, {one}_bits / 8, {two}, {two}_bits / 8)"


class Layout:
    """Paths into ``struct phv *P``. Numbers in the names keep them unique."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._types = {
            one.name: f"t{i}_{identifier(one.name)}" for i, one in enumerate(program.types)
        }
        self._by_type = {one.name: one for one in program.types}
        self._headers: dict[str, str] = {}
        self._stacks: dict[str, str] = {}
        self._metadata = {header.name for header in program.headers if header.metadata}
        for i, stack in enumerate(program.stacks):
            self._stacks[stack.name] = f"s{i}_{identifier(stack.name)}"
            for k, element in enumerate(stack.elements):
                self._headers[element] = f"{self._stacks[stack.name]}[{k}]"
        for i, header in enumerate(program.headers):
            self._headers.setdefault(header.name, f"h{i}_{identifier(header.name)}")
        self._stack_types = {stack.name: stack.type for stack in program.stacks}
        self.unions = Unions(self)

    # ---- names ----

    def type_of(self, header: str) -> HeaderType:
        """The type of a header."""
        return self.program.types_by_header[header]

    def stack_type(self, stack: str) -> HeaderType:
        """The type of a stack's elements."""
        return self._by_type[self._stack_types[stack]]

    def c_type(self, one: HeaderType) -> str:
        """The C name of a header type, without ``struct``."""
        return self._types[one.name]

    def header(self, name: str) -> str:
        """A header as an lvalue."""
        return f"P->{self._headers[name]}"

    def stack(self, name: str) -> str:
        """The C name of a stack, which its functions begin with."""
        return self._stacks[name]

    def depth(self, name: str) -> int:
        """Elements of a stack."""
        return next(len(one.elements) for one in self.program.stacks if one.name == name)

    def is_metadata(self, header: str) -> bool:
        """Whether a header is metadata."""
        return header in self._metadata

    def valid(self, header: str) -> str:
        """Whether a header is valid, as a C expression."""
        return "1" if header in self._metadata else f"{self.header(header)}.valid"

    def member(self, one: HeaderType, field: str) -> str:
        """The C name of a field in its struct."""
        index = next(i for i, each in enumerate(one.fields) if each.name == field)
        return f"f{index}_{identifier(field)}"

    def place(self, reference: FieldRef | LastRef | LastUnionRef) -> tuple[str, Field]:
        """A field as an lvalue, and the field."""
        if isinstance(reference, LastRef):
            one = self.stack_type(reference.stack)
            owner = f"{self._stacks[reference.stack]}_last(P)->"
        elif isinstance(reference, LastUnionRef):
            one = self.type_of(self.unions.member_header(reference.stack, reference.member))
            name = self.unions.name(reference.stack)
            owner = f"{name}_{reference.member}_at(P, P->{name}_next - 1)->"
        else:
            one = self.type_of(reference.header)
            if reference.field == VALID:
                return f"{self.header(reference.header)}.valid", Field(VALID, 1)
            owner = f"{self.header(reference.header)}."
        field = next(each for each in one.fields if each.name == reference.field)
        return owner + self.member(one, field.name), field

    # ---- C text ----

    def declarations(self) -> str:
        """The structs, and functions on each header type and stack."""
        parts = [self._struct(one) for one in self.program.types]
        members = [
            f"    struct {self.c_type(self.type_of(header.name))} {self._headers[header.name]};"
            for header in self.program.headers
            if "[" not in self._headers[header.name]
        ]
        for stack in self.program.stacks:
            name = self._stacks[stack.name]
            kind = self.c_type(self.stack_type(stack.name))
            members.append(f"    struct {kind} {name}[{len(stack.elements)}];")
            members.append(f"    uint32_t {name}_next;")
        members += self.unions.members()
        parts.append("struct phv {\n" + "\n".join(members) + "\n};")
        parts += [self._type_functions(one) for one in self.program.types]
        parts += [self._stack_functions(one.name) for one in self.program.stacks]
        parts += self.unions.functions()
        return "\n\n".join(parts)

    def _struct(self, one: HeaderType) -> str:
        lines = [f"struct {self.c_type(one)} {{", "    uint8_t valid;"]
        for field in one.fields:
            member = self.member(one, field.name)
            if field.variable:
                lines.append(f"    uint32_t {member}_bits;")
            if is_bytes(field):
                if field.width % 8:
                    raise NotCoveredError(
                        f"the field {one.name}.{field.name} of {field.width} bits",
                        self.program.file,
                    )
                lines.append(f"    uint8_t {member}[{max(1, field.width // 8)}];")
            else:
                lines.append(f"    {storage(field)} {member};")
        return "\n".join([*lines, "};"])

    def _type_functions(self, one: HeaderType) -> str:
        name = self.c_type(one)
        nowhere = f"""static struct {name} {name}_nowhere_;

/* Stands for an element outside its stack: invalid, zero, and nobody's. */
static NOTHING struct {name} *{name}_nowhere(void)
{{
    memset(&{name}_nowhere_, 0, sizeof {name}_nowhere_);
    return &{name}_nowhere_;
}}"""
        if one.fixed_bits % 8:
            return nowhere  # metadata: never on the wire (the deparser and parsers are checked)
        get, put, equal = [], [], ["one->valid", "two->valid"]
        bit = 0
        for field in one.fields:
            member = self.member(one, field.name)
            if field.variable:
                if bit % 8:
                    raise NotCoveredError(
                        f"the varbit field {one.name}.{field.name} inside a byte",
                        self.program.file,
                    )
                get.append(f"    h->{member}_bits = variable_bits;")
                get.append(f"    memcpy(h->{member}, data + {bit // 8}, variable_bits / 8);")
                put.append(f"    memcpy(data + {bit // 8}, h->{member}, h->{member}_bits / 8);")
                equal.append(variable_equal(f"one->{member}", f"two->{member}"))
                get.append("    data += variable_bits / 8;")
                put.append(f"    data += h->{member}_bits / 8;")
                continue
            if is_bytes(field):
                if bit % 8:
                    raise NotCoveredError(
                        f"the field {one.name}.{field.name} of {field.width} bits inside a byte",
                        self.program.file,
                    )
                size = field.width // 8
                get.append(f"    memcpy(h->{member}, data + {bit // 8}, {size});")
                put.append(f"    memcpy(data + {bit // 8}, h->{member}, {size});")
                equal.append(f"!memcmp(one->{member}, two->{member}, {size})")
            else:
                read = f"bits_get(data, {bit}, {field.width})"
                if field.signed:
                    read = f"sign_extended({read}, {field.width})"
                get.append(f"    h->{member} = ({storage(field)}){read};")
                put.append(f"    bits_or(data, {bit}, {field.width}, (u128)h->{member});")
                equal.append(f"one->{member} == two->{member}")
            bit += field.width
        variable = one.variable
        extra = f" + h->{self.member(one, variable.name)}_bits / 8" if variable else ""
        body_get = "\n".join(get)
        body_put = "\n".join(put)
        body_equal = " &&\n           ".join(equal)
        return f"""{nowhere}

static NOTHING size_t {name}_bytes(const struct {name} *h)
{{
    (void)h;
    return {one.fixed_bits // 8}{extra};
}}

static NOTHING void {name}_get(struct {name} *h, const uint8_t *data, uint32_t variable_bits)
{{
    (void)data, (void)variable_bits;
{body_get}
    h->valid = 1;
}}

/* The bytes must be zero. */
static NOTHING void {name}_put(const struct {name} *h, uint8_t *data)
{{
    (void)h, (void)data;
{body_put}
}}

/* As BMv2 compares: two invalid headers are not equal. */
static NOTHING bool {name}_equal(const struct {name} *one, const struct {name} *two)
{{
    return {body_equal};
}}"""

    def _stack_functions(self, stack: str) -> str:
        name, depth = self.stack(stack), self.depth(stack)
        kind = self.c_type(self.stack_type(stack))
        return f"""static NOTHING struct {kind} *{name}_at(struct phv *P, u128 index)
{{
    return index < {depth} ? &P->{name}[(size_t)index] : {kind}_nowhere();
}}

static NOTHING struct {kind} *{name}_last(struct phv *P)
{{
    return P->{name}_next ? &P->{name}[P->{name}_next - 1] : {kind}_nowhere();
}}

static NOTHING void {name}_push(struct phv *P, u128 wanted)
{{
    uint32_t count = wanted < {depth} ? (uint32_t)wanted : {depth};
    P->{name}_next = P->{name}_next + count < {depth} ? P->{name}_next + count : {depth};
    for (uint32_t i = {depth}; i-- > count;)
        P->{name}[i] = P->{name}[i - count];
    for (uint32_t i = 0; i < count; i++)
        P->{name}[i].valid = 0;
}}

static NOTHING void {name}_pop(struct phv *P, u128 wanted)
{{
    uint32_t count = wanted < {depth} ? (uint32_t)wanted : {depth};
    P->{name}_next -= P->{name}_next < count ? P->{name}_next : count;
    for (uint32_t i = 0; i + count < {depth}; i++)
        P->{name}[i] = P->{name}[i + count];
    for (uint32_t i = {depth} - count; i < {depth}; i++)
        P->{name}[i].valid = 0;
}}"""
