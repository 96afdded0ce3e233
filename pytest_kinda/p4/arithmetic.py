"""Expressions as C.

BMv2 computes with integers of any size and cuts a value where it is stored. Here each expression
carries the range of values that it can have, and is computed in the smallest of ``uint64_t``,
``int64_t``, ``__int128`` and ``unsigned __int128`` that holds its operands and its result, so that
nothing is ever cut before BMv2 cuts it. Where only the low bits are asked for (a store, a mask),
sums, products, left shifts and bitwise operations need the low bits of their operands alone, and
are computed modulo a power of two. What fits neither way is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.layout import WIDEST, Layout, is_bytes, storage, variable_equal
from pytest_kinda.p4.objects import UnionRef, UnionStackRef
from pytest_kinda.p4.program import (
    Cells,
    Constant,
    Expression,
    Field,
    FieldRef,
    HeaderRef,
    HeaderType,
    LastRef,
    Lookahead,
    Operation,
    Parameter,
    ParameterRef,
    RegisterRef,
    StackRef,
    Truth,
)

_TYPES = (
    ("uint64_t", 0, 2**64 - 1),
    ("int64_t", -(2**63), 2**63 - 1),
    ("i128", -(2**127), 2**127 - 1),
    ("u128", 0, 2**128 - 1),
)
_RING = {"+": "+", "-": "-", "*": "*", "&": "&", "|": "|", "^": "^"}
_COMPARED = frozenset({"==", "!=", "<", "<=", ">", ">="})
_TRUTHS = _COMPARED | {"and", "or", "not", "valid", "valid_union", "d2b"}


@dataclass(frozen=True)
class Value:
    """A C expression and the least and greatest value that it can have."""

    code: str
    low: int
    high: int


def literal(value: int) -> str:
    """An integer constant of C, of any size up to 128 bits."""
    if 0 <= value < 2**64:
        return f"{value:#x}ull" if value > 9 else f"{value}ull"
    if -(2**63) < value < 0:
        return f"(-{-value}ll)"
    if value < 0:
        return f"(-(i128){literal(-value)})"
    return f"((u128){value >> 64:#x}ull << 64 | {value & (2**64 - 1):#x}ull)"


def holding(*bounds: int) -> str | None:
    """The C type that holds all these values, None where none does."""
    for name, low, high in _TYPES:
        if low <= min(bounds) and max(bounds) <= high:
            return name
    return None


def field_range(field: Field) -> tuple[int, int]:
    """The values that a field can hold (of a signed one those that BMv2 lets it hold)."""
    return (-(1 << (field.width - 1)) if field.signed else 0), (1 << field.width) - 1


class Arithmetic:
    """Makes C of the expressions of one program; ``parameters`` are those of the action."""

    def __init__(
        self, layout: Layout, registers: Mapping[str, int], cells: tuple[Cells, ...]
    ) -> None:
        self.layout = layout
        self._registers = registers
        self._cells = cells
        self.parameters: tuple[Parameter, ...] = ()
        self.where = layout.program.file

    def refuse(self, construct: str, where: str | None = None) -> NotCoveredError:
        """The refusal of a construct."""
        return NotCoveredError(construct, where or self.where)

    # ---- kinds ----

    def is_truth(self, one: Expression) -> bool:
        """Whether an expression is a boolean."""
        if isinstance(one, Operation):
            return one.name in _TRUTHS or (one.name == "?" and self.is_truth(one.operands[1]))
        return isinstance(one, Truth)

    def is_header(self, one: Expression) -> bool:
        """Whether an expression is a header as a whole."""
        if isinstance(one, Operation) and one.name == "?":
            return self.is_header(one.operands[1])
        return isinstance(one, HeaderRef) or (
            isinstance(one, Operation) and one.name == "dereference_header_stack"
        )

    def header(self, one: Expression) -> tuple[str, str]:
        """A pointer to a header, and the C name of its type."""
        if isinstance(one, HeaderRef):
            kind = self.layout.c_type(self.layout.type_of(one.header))
            return f"(&{self.layout.header(one.header)})", kind
        if isinstance(one, Operation) and one.name == "dereference_header_stack":
            stack, index = one.operands
            if isinstance(stack, StackRef):
                kind = self.layout.c_type(self.layout.stack_type(stack.stack))
                return f"{self.layout.stack(stack.stack)}_at(P, {self.index(index)})", kind
        if isinstance(one, Operation) and one.name == "?":
            condition = self.truth(one.operands[0])
            (yes, kind), (no, other) = self.header(one.operands[1]), self.header(one.operands[2])
            if kind == other:
                return f"({condition} ? {yes} : {no})", kind
        raise self.refuse("this expression as a header")

    def index(self, one: Expression) -> str:
        """An index: negative ones are huge, so that they are outside."""
        return f"(u128)({self.exact(one).code})"

    def register(self, name: str) -> tuple[str, int]:
        """A register array and the width of its cells."""
        if name not in self._registers:
            raise self.refuse(f"the register array {name!r}, which the program does not have")
        number = self._registers[name]
        return f"&registers[{number}]", self._cells[number].width

    # ---- fields ----

    def place(self, one: Expression) -> tuple[str, Field]:
        """A field as an lvalue."""
        if isinstance(one, (FieldRef, LastRef)):
            return self.layout.place(one)
        if isinstance(one, Operation) and one.name == "access_field":
            owner, number = one.operands
            pointer, _ = self.header(owner)
            kind = self._type_of(owner)
            assert isinstance(number, Constant)
            if number.value == len(kind.fields):
                return f"{pointer}->valid", Field("$valid$", 1)
            field = kind.fields[number.value]
            return f"{pointer}->{self.layout.member(kind, field.name)}", field
        raise self.refuse("an assignment to this")

    def _type_of(self, owner: Expression) -> HeaderType:
        if isinstance(owner, HeaderRef):
            return self.layout.type_of(owner.header)
        if isinstance(owner, Operation) and owner.name == "?":
            return self._type_of(owner.operands[1])
        if isinstance(owner, Operation) and isinstance(owner.operands[0], StackRef):
            return self.layout.stack_type(owner.operands[0].stack)
        raise self.refuse("a field of this")

    def is_place(self, one: Expression) -> bool:
        """Whether an expression is a field."""
        return isinstance(one, (FieldRef, LastRef)) or (
            isinstance(one, Operation) and one.name == "access_field"
        )

    def store(self, target: Expression, value: Expression, where: str) -> str:
        """A C statement that assigns a value."""
        self.where = where
        if isinstance(target, RegisterRef):
            array, width = self.register(target.array)
            code = self.low_bits(value, width)
            return f"{{ u128 *c = cell({array}, {self.index(target.index)}); if (c) *c = {code}; }}"
        place, field = self.place(target)
        if is_bytes(field):
            return self._store_bytes(place, field, value)
        return f"{place} = {self.stored(field, value)};"

    def stored(self, field: Field, value: Expression) -> str:
        """A value as a field keeps it."""
        if self.is_truth(value):
            value = Operation("b2d", (value,), self.where)
        if not field.signed:
            return f"({storage(field)})({self.low_bits(value, field.width)})"
        found = self.exact(value)
        low, high = field_range(field)
        if low <= found.low and found.high <= high:
            return f"({storage(field)})({found.code})"
        if holding(found.low, found.high) not in ("uint64_t", "int64_t", "i128"):
            raise self.refuse(f"a value of more than 127 bits in the signed field {field.name}")
        return f"({storage(field)})signed_kept((i128)({found.code}), {field.width})"

    def _store_bytes(self, place: str, field: Field, value: Expression) -> str:
        if not field.variable and isinstance(value, Constant):
            data = (value.value & ((1 << field.width) - 1)).to_bytes(field.width // 8, "big")
            listed = ", ".join(str(byte) for byte in data)
            return f"memcpy({place}, (const uint8_t[]){{{listed}}}, {len(data)});"
        if isinstance(value, Lookahead) and (value.width, value.offset % 8) == (field.width, 0):
            return f"memcpy({place}, data + at + {value.offset // 8}, {field.width // 8});"
        if self.is_place(value):
            source, other = self.place(value)
            if is_bytes(other) and not field.variable and not other.variable:
                if other.width == field.width:
                    return f"memcpy({place}, {source}, {field.width // 8});"
            elif field.variable and other.variable and other.width <= field.width:
                return (
                    f"{place}_bits = {source}_bits; memcpy({place}, {source}, {source}_bits / 8);"
                )
        raise self.refuse(f"this assignment to the {field.width} bits of {field.name}")

    # ---- exact values ----

    def exact(self, one: Expression) -> Value:
        """An expression with its true value, whatever its size."""
        if isinstance(one, Constant):
            if holding(one.value) is None:
                raise self.refuse("a constant of more than 128 bits")
            return Value(literal(one.value), one.value, one.value)
        if isinstance(one, ParameterRef):
            if one.index >= len(self.parameters):
                raise self.refuse("a parameter that the action does not have")
            width = self.parameters[one.index].width
            kind = "uint64_t" if width <= 64 else "u128"
            return Value(f"({kind})A[{one.index}]", 0, (1 << width) - 1)
        if isinstance(one, RegisterRef):
            array, width = self.register(one.array)
            kind = "uint64_t" if width <= 64 else "u128"
            code = f"({kind})cell_value({array}, {self.index(one.index)})"
            return Value(code, 0, (1 << width) - 1)
        if self.is_place(one):
            place, field = self.place(one)
            if is_bytes(field):
                kind = "varbit" if field.variable else "bit"
                raise self.refuse(f"{kind}<{field.width}> {field.name} as a number")
            return Value(place, *field_range(field))
        if isinstance(one, Lookahead):
            if one.width > WIDEST:
                raise self.refuse(f"a lookahead of {one.width} bits")
            code = f"bits_get(data + at, {one.offset}, {one.width})"
            if one.width <= 64:
                code = f"(uint64_t){code}"
            return Value(code, 0, (1 << one.width) - 1)
        if isinstance(one, Operation):
            self.where = one.where
            return self._exact_operation(one)
        raise self.refuse("this expression as a number")

    def _exact_operation(self, one: Operation) -> Value:
        name = one.name
        if name == "b2d":
            return Value(f"({self.truth(one.operands[0])} ? 1 : 0)", 0, 1)
        if name in ("last_stack_index", "size_stack"):
            stack, unions = one.operands[0], self.layout.unions
            if isinstance(stack, StackRef):
                c_name, depth = self.layout.stack(stack.stack), self.layout.depth(stack.stack)
            elif isinstance(stack, UnionStackRef):
                c_name, depth = unions.name(stack.stack), unions.depth(stack.stack)
            else:
                raise self.refuse(f"{name} of this")
            count = f"(uint64_t)P->{c_name}_next"
            if name == "size_stack":
                return Value(f"({count})", 0, depth)
            return Value(f"({count} - 1)", 0, 2**64 - 1)
        if name == "~":
            inner = self.exact(one.operands[0])
            return self._typed("~@0", (inner,), -inner.high - 1, -inner.low - 1)
        if name == "?":
            condition = self.truth(one.operands[0])
            left, right = self.exact(one.operands[1]), self.exact(one.operands[2])
            low, high = min(left.low, right.low), max(left.high, right.high)
            return self._typed(f"{condition} ? @0 : @1", (left, right), low, high)
        if name in ("two_comp_mod", "usat_cast", "sat_cast"):
            return self._cast(one)
        if name == "&":
            for value, mask in (one.operands, one.operands[::-1]):
                if isinstance(mask, Constant) and 0 <= mask.value < 2**WIDEST:
                    bits = max(1, mask.value.bit_length())
                    code = self.modular(value, bits)
                    return Value(f"({code} & {literal(mask.value)})", 0, mask.value)
        if name not in ("+", "-", "*", "&", "|", "^", "<<", ">>", "/", "%"):
            raise self.refuse(f"the operation {name!r} here")
        left, right = self.exact(one.operands[0]), self.exact(one.operands[1])
        self.where = one.where
        if name in ("<<", ">>"):
            return self._shift(name, left, right)
        if name in ("/", "%"):
            if left.low < 0 or right.low < 0:
                raise self.refuse(f"{name!r} of negative numbers")
            high = left.high if name == "/" else min(left.high, max(right.high - 1, 0))
            kind = self._kind(left, right)
            form = f"(@1 ? @0 {name} @1 : ({kind})0)"
            return self._typed(form, (left, right), 0, high)
        low, high = self._bounds(name, left, right)
        return self._typed(f"@0 {name} @1", (left, right), low, high)

    def _bounds(self, name: str, left: Value, right: Value) -> tuple[int, int]:
        if name == "+":
            return left.low + right.low, left.high + right.high
        if name == "-":
            return left.low - right.high, left.high - right.low
        if name == "*":
            all_ = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
            return min(all_), max(all_)
        if left.low >= 0 and right.low >= 0:
            if name == "&":
                return 0, min(left.high, right.high)
            return 0, (1 << max(left.high, right.high).bit_length()) - 1
        if name == "&" and max(left.low, right.low) >= 0:
            return 0, left.high if left.low >= 0 else right.high
        ends = (left.low, left.high, right.low, right.high)
        bits = max((end if end >= 0 else ~end).bit_length() for end in ends)
        return -(1 << bits), (1 << bits) - 1

    def _shift(self, name: str, left: Value, right: Value) -> Value:
        if right.low < 0:
            raise self.refuse("a shift by a negative number")
        if name == ">>":
            high, low = max(left.high, 0), min(left.low, 0)
            if right.low == right.high:
                low, high = left.low >> right.low, left.high >> right.low
            kind = self._kind(left, left)
            helper = "shift_right_signed" if left.low < 0 else "shift_right"
            code = f"({kind}){helper}({left.code}, (u128)({right.code}))"
            return Value(f"({code})", low, high)
        if right.high > WIDEST:
            raise self.refuse("a left shift whose result is not cut to a width")
        factor = Value(f"shift_left(1, (u128)({right.code}))", 1 << right.low, 1 << right.high)
        low, high = self._bounds("*", left, factor)
        return self._typed("@0 * @1", (left, factor), low, high)

    def _cast(self, one: Operation) -> Value:
        width = one.operands[1]
        if not isinstance(width, Constant) or not 1 <= width.value <= WIDEST:
            raise self.refuse(f"{one.name} to this width")
        bits = width.value
        if one.name == "two_comp_mod":
            low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
            kind = holding(low, high)
            code = f"({kind})sign_extended({self.modular(one.operands[0], bits)}, {bits})"
            return Value(f"({code})", low, high)
        low, high = (
            (0, (1 << bits) - 1)
            if one.name == "usat_cast"
            else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        )
        value = self.exact(one.operands[0])
        least, most = Value(literal(low), low, low), Value(literal(high), high, high)
        form = "(@0 < @1 ? @1 : @0 > @2 ? @2 : @0)"
        found = self._typed(form, (value, least, most), min(low, value.low), max(high, value.high))
        return Value(found.code, max(low, min(value.low, high)), min(high, max(value.high, low)))

    def _kind(self, *values: Value) -> str:
        found = holding(*(bound for value in values for bound in (value.low, value.high)))
        if found is None:
            raise self.refuse("arithmetic that needs more than 128 bits")
        return found

    def _typed(self, form: str, values: tuple[Value, ...], low: int, high: int) -> Value:
        kind = self._kind(*values, Value("", low, high))
        code = form
        for number, value in enumerate(values):
            code = code.replace(f"@{number}", f"({kind})({value.code})")
        return Value(f"({kind})({code})", low, high)

    # ---- low bits ----

    def low_bits(self, one: Expression, width: int) -> str:
        """The low bits of an expression, the others zero; unsigned."""
        if isinstance(one, (FieldRef, LastRef, ParameterRef, Constant)):
            found = self._known(one)
            if found is not None and found.low >= 0 and found.high < 1 << width:
                return found.code
        return f"({self.modular(one, width)} & {literal((1 << width) - 1)})"

    def _known(self, one: Expression) -> Value | None:
        try:
            return self.exact(one)
        except NotCoveredError:
            return None

    def modular(self, one: Expression, bits: int) -> str:
        """An unsigned C expression that is right in its low bits; the others are anything."""
        if bits > WIDEST:
            raise self.refuse(f"arithmetic on {bits} bits")
        kind = "uint64_t" if bits <= 64 else "u128"
        if isinstance(one, Constant):
            return f"({kind}){literal(one.value & ((1 << bits) - 1))}"
        if isinstance(one, Operation):
            self.where = one.where
            if one.name in _RING:
                left, right = (self.modular(each, bits) for each in one.operands)
                return f"({left} {_RING[one.name]} {right})"
            if one.name == "~":
                return f"(~{self.modular(one.operands[0], bits)})"
            if one.name == ">>":
                slice_ = self._slice(one.operands[0], one.operands[1], bits)
                if slice_ is not None:
                    return slice_
            if one.name == "<<":
                count = self.exact(one.operands[1])
                if count.low < 0:
                    raise self.refuse("a shift by a negative number", one.where)
                value = self.modular(one.operands[0], bits)
                return f"({kind})shift_left({value}, (u128)({count.code}))"
            if one.name == "?":
                condition = self.truth(one.operands[0])
                left, right = (self.modular(each, bits) for each in one.operands[1:])
                return f"({condition} ? {left} : {right})"
        if self.is_place(one):
            slice_ = self._slice(one, Constant(0), bits)
            if slice_ is not None:
                return slice_
        return f"({kind})({self.exact(one).code})"

    def _slice(self, one: Expression, shift: Expression, bits: int) -> str | None:
        """Bits of a field that is wider than arithmetic, None where it is something else."""
        if not self.is_place(one) or not isinstance(shift, Constant) or shift.value < 0:
            return None
        place, field = self.place(one)
        if not is_bytes(field) or field.variable or field.signed:
            return None
        width = min(bits, field.width - shift.value)
        if width <= 0:
            return "0ull"
        kind = "uint64_t" if bits <= 64 else "u128"
        return f"({kind})bits_get({place}, {field.width - shift.value - width}, {width})"

    # ---- truth ----

    def truth(self, one: Expression) -> str:
        """A boolean as a C expression."""
        if isinstance(one, Truth):
            return "1" if one.value else "0"
        if not isinstance(one, Operation):
            raise self.refuse("this expression as a condition")
        self.where = one.where
        name, operands = one.name, one.operands
        if name == "not":
            return f"(!{self.truth(operands[0])})"
        if name in ("and", "or"):
            sign = "&&" if name == "and" else "||"
            return f"({self.truth(operands[0])} {sign} {self.truth(operands[1])})"
        if name == "valid":
            if isinstance(operands[0], HeaderRef):
                return f"({self.layout.valid(operands[0].header)})"
            return f"({self.header(operands[0])[0]}->valid)"
        if name == "valid_union" and isinstance(operands[0], UnionRef):
            return self.layout.unions.valid(operands[0].union)
        if name == "d2b":
            return f"({self.exact(operands[0]).code} != 0)"
        if name == "?":
            parts = [self.truth(each) for each in operands]
            return f"({parts[0]} ? {parts[1]} : {parts[2]})"
        if name in _COMPARED:
            return self._comparison(one)
        raise self.refuse(f"the operation {name!r} as a condition")

    def _comparison(self, one: Operation) -> str:
        left, right = one.operands
        if self.is_truth(left) and self.is_truth(right):
            return f"(!{self.truth(left)} {one.name} !{self.truth(right)})"
        if self.is_header(left) and self.is_header(right):
            (first, kind), (second, other) = self.header(left), self.header(right)
            if kind != other or one.name not in ("==", "!="):
                raise self.refuse("a comparison of these headers")
            sign = "" if one.name == "==" else "!"
            return f"({sign}{kind}_equal({first}, {second}))"
        if isinstance(left, UnionRef) and isinstance(right, UnionRef):
            equal = self.layout.unions.equal(left.union, right.union)
            if equal is None or one.name not in ("==", "!="):
                raise self.refuse("a comparison of these header unions")
            return equal if one.name == "==" else f"(!{equal})"
        wide = self._wide_comparison(one)
        if wide:
            return wide
        first_value, second_value = self.exact(left), self.exact(right)
        self.where = one.where
        kind = self._kind(first_value, second_value)
        return f"(({kind})({first_value.code}) {one.name} ({kind})({second_value.code}))"

    def _wide_comparison(self, one: Operation) -> str | None:
        left, right = one.operands
        if not self.is_place(left):
            left, right = right, left
        if not self.is_place(left):
            return None
        place, field = self.place(left)
        if not is_bytes(field) or one.name not in ("==", "!="):
            return None
        if field.variable:
            if not self.is_place(right):
                return None
            other_place, other = self.place(right)
            sign = "" if one.name == "==" else "!"
            return f"({sign}{variable_equal(place, other_place)})" if other.variable else None
        size = field.width // 8
        if isinstance(right, Constant) and 0 <= right.value < 1 << field.width:
            listed = ", ".join(str(byte) for byte in right.value.to_bytes(size, "big"))
            return f"(memcmp({place}, (const uint8_t[]){{{listed}}}, {size}) {one.name} 0)"
        if self.is_place(right):
            other_place, other = self.place(right)
            if is_bytes(other) and not other.variable and other.width == field.width:
                return f"(memcmp({place}, {other_place}, {size}) {one.name} 0)"
        return None
