"""The parser, the deparser, and the calculations, as C."""

from __future__ import annotations

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.actions import Primitives
from pytest_kinda.p4.arithmetic import Value, field_range, literal
from pytest_kinda.p4.layout import WIDEST, identifier, is_bytes
from pytest_kinda.p4.objects import LastUnionRef
from pytest_kinda.p4.program import (
    VALID,
    Advance,
    Calculation,
    CalculationInput,
    Case,
    Extract,
    FieldRef,
    HeaderRef,
    KeyPart,
    Lookahead,
    ParserStep,
    Program,
    SetField,
    StackRef,
    State,
    Verify,
)

HASHES = (
    "csum16",
    "identity",
    "xxh64",
    "xor16",
    "xor32",
    "crcCCITT",
    "crc8",
    "crc16",
    "crc32",
    "crc64",
)
"""Algorithms of which runtime/hashes.h has ``hash_NAME``."""

_SAME = {
    "cksum16": "csum16",
    "bmv2_hash": "xxh64",
    # what "custom" means before somebody sets other parameters
    "crc8_custom": "crc8",
    "crc16_custom": "crc16",
    "crc32_custom": "crc32",
    "crc64_custom": "crc64",
}
_CORE = (
    "NoError",
    "PacketTooShort",
    "NoMatch",
    "StackOutOfBounds",
    "HeaderTooShort",
    "ParserTimeout",
    "ParserInvalidArgument",
)
_INPUT_MOST = 4096  # bytes of a calculation's input without the payload, as in hashes.h


class Parsing:
    """Makes C of the parser."""

    def __init__(self, program: Program, primitives: Primitives) -> None:
        self.program = program
        self.layout = primitives.layout
        self.arithmetic = primitives.arithmetic
        self.primitives = primitives
        self._value_sets = {one.name: i for i, one in enumerate(program.value_sets)}
        self._labels = {
            state.name: f"state_{i}_{identifier(state.name)}"
            for i, state in enumerate(program.parser.states)
        }

    def errors(self) -> str:
        """The numbers of the core errors; those that the program lacks get free ones."""
        known = dict(self.program.errors)
        number = 0
        for name in _CORE:
            if name in known:
                continue
            while number in known.values():
                number += 1
            known[name] = number
        return "\n".join(f"#define ERROR_{name} {known[name]}u" for name in _CORE)

    def function(self) -> str:
        """``parser_run``."""
        parser = self.program.parser
        start = f"goto {self._labels[parser.start]};" if parser.start else "goto done;"
        states = "\n".join(self._state(state) for state in parser.states)
        verified = "\n".join(self._verified())
        return f"""static void parser_run(struct packet *p)
{{
    struct phv *P = p->phv;
    const uint8_t *data = p->data;
    const size_t size = size_of(p);
    size_t at = 0;
    unsigned states = 0;
    (void)P, (void)data, (void)size, (void)states;
    p->error = ERROR_NoError;
    p->checksum_error = false;
    {start}
{states}
done:;
    p->data += at;
    p->size -= at;
{verified}
}}"""

    # ---- states ----

    def _state(self, state: State) -> str:
        lines = [f"{self._labels[state.name]}:;", "    if (states++ >= STATES_MOST)"]
        lines.append("        { p->error = ERROR_ParserTimeout; goto done; }")
        for step in state.steps:
            lines.append("    " + self._step(step))
        self.arithmetic.where = state.where
        if state.key and state.cases:
            lines.append("    {")
            widths = self._key(state, lines)
            lines += [f"        {self._case(case, widths)}" for case in state.cases]
            lines.append("    }")
        lines.append(f"    {self._to(state.otherwise)}")
        return "\n".join(lines)

    def _to(self, state: str | None) -> str:
        return f"goto {self._labels[state]};" if state is not None else "goto done;"

    def _key(self, state: State, lines: list[str]) -> list[int]:
        widths = []
        for number, part in enumerate(state.key):
            if isinstance(part, Lookahead):
                lines.append(f"        {self._enough(part)}")
            value = self._part(part)
            width = self._width(part)
            widths.append(width)
            kind = "uint64_t" if width <= 64 else "u128"
            code = value.code
            if value.low < 0:
                code = f"({code}) & {literal((1 << width) - 1)}"
            lines.append(f"        const {kind} k{number} = ({kind})({code});")
        return widths

    def _part(self, part: KeyPart) -> Value:
        if not isinstance(part, LastUnionRef):
            return self.arithmetic.exact(part)
        place, field = self.layout.place(part)
        if is_bytes(field):
            raise self.arithmetic.refuse(f"a select on the {field.width} bits of {field.name}")
        return Value(place, *field_range(field))

    def _width(self, part: KeyPart) -> int:
        if isinstance(part, Lookahead):
            return part.width
        return self.layout.place(part)[1].width

    def _enough(self, part: Lookahead) -> str:
        wanted = (part.offset + part.width + 7) // 8
        return f"if (size - at < {wanted}) {{ p->error = ERROR_PacketTooShort; goto done; }}"

    def _case(self, case: Case, widths: list[int]) -> str:
        if case.value_set is not None:
            whole = "(u128)k0"
            for number, width in enumerate(widths[1:], 1):
                whole = f"({whole} << {width} | k{number})"
            test = f"value_set_has(&value_sets[{self._value_sets[case.value_set]}], {whole})"
            return f"if ({test}) {self._to(case.state)}"
        tests, start = [], 0
        for number, width in enumerate(widths):
            size = (width + 7) // 8
            value = int.from_bytes(case.value[start : start + size], "big")
            if case.mask is None:
                tests.append(f"k{number} == {literal(value)}")
            else:
                mask = int.from_bytes(case.mask[start : start + size], "big")
                if mask:
                    tests.append(f"(k{number} & {literal(mask)}) == {literal(value & mask)}")
            start += size
        condition = " && ".join(tests) or "1"
        return f"if ({condition}) {self._to(case.state)}"

    # ---- steps ----

    def _step(self, step: ParserStep) -> str:
        self.arithmetic.where = step.where
        if isinstance(step, Extract):
            return self._extract(step)
        if isinstance(step, SetField):
            check = self._enough(step.value) + " " if isinstance(step.value, Lookahead) else ""
            return check + self.arithmetic.store(step.target, step.value, step.where)
        if isinstance(step, Verify):
            error = self.arithmetic.low_bits(step.error, 32)
            condition = self.arithmetic.truth(step.condition)
            return f"if (!{condition}) {{ p->error = (uint32_t)({error}); goto done; }}"
        if isinstance(step, Advance):
            bits = self.arithmetic.exact(step.bits)
            return (
                f"{{ u128 bits = (u128)({bits.code}); "
                "if (bits % 8) { p->error = ERROR_ParserInvalidArgument; goto done; } "
                "if (bits / 8 > size - at) { p->error = ERROR_PacketTooShort; goto done; } "
                "at += (size_t)(bits / 8); }"
            )
        if step.name in ("assert", "assume"):
            return self.primitives.asserted_in_parser(step)
        return self.primitives.statement(step)

    def _extract(self, step: Extract) -> str:
        full = ""
        if isinstance(step.target, HeaderRef):
            kind = self.layout.type_of(step.target.header)
            header = f"&{self.layout.header(step.target.header)}"
            after = self.layout.unions.made_valid(step.target.header)
        elif isinstance(step.target, StackRef):
            kind = self.layout.stack_type(step.target.stack)
            name, depth = self.layout.stack(step.target.stack), self.layout.depth(step.target.stack)
            full = _full(name, depth)
            header, after = f"&P->{name}[P->{name}_next]", f" P->{name}_next++;"
        else:
            unions, stack = self.layout.unions, step.target.stack
            kind = self.layout.type_of(unions.member_header(stack, step.member))
            name, next_one = unions.name(stack), f"P->{unions.name(stack)}_next"
            full = _full(name, unions.depth(stack))
            header = f"{name}_{step.member}_at(P, {next_one})"
            after = f" {name}_made_valid(P, {next_one}, {step.member}); {next_one}++;"
        if kind.fixed_bits % 8:
            raise NotCoveredError(f"a header of {kind.fixed_bits} bits", step.where)
        name, fixed = self.layout.c_type(kind), kind.fixed_bits // 8
        if step.length is None:
            if kind.variable:
                raise NotCoveredError("extraction of a varbit without its length", step.where)
            return (
                f"{full}if (size - at < {fixed}) {{ p->error = ERROR_PacketTooShort; goto done; }} "
                f"{name}_get({header}, data + at, 0); at += {fixed};{after}"
            )
        if not kind.variable:
            raise NotCoveredError("a length for a header without a varbit", step.where)
        bits = self.arithmetic.exact(step.length)
        return (
            f"{full}{{ u128 bits = (u128)({bits.code}); "
            "if (bits % 8) { p->error = ERROR_ParserInvalidArgument; goto done; } "
            f"if (bits / 8 + {fixed} > size - at || bits / 8 + {fixed} < {fixed}) "
            "{ p->error = ERROR_PacketTooShort; goto done; } "
            f"if (bits > {kind.variable.width}) {{ p->error = ERROR_HeaderTooShort; goto done; }} "
            f"{name}_get({header}, data + at, (uint32_t)bits); "
            f"at += {fixed} + (size_t)(bits / 8); }}{after}"
        )

    def _verified(self) -> list[str]:
        lines = []
        numbers = {one.name: i for i, one in enumerate(self.program.calculations)}
        for checksum in self.program.checksums:
            if not checksum.verifies:
                continue
            conditions = [self.layout.valid(checksum.target.header)]
            if checksum.condition is not None:
                conditions.append(self.arithmetic.truth(checksum.condition))
            value = self.arithmetic.exact(checksum.target)
            lines.append(
                f"    if ({' && '.join(conditions)} && "
                f"calculation_{numbers[checksum.calculation]}(p) != {value.code}) "
                "p->checksum_error = true;"
            )
        return lines


class Deparsing:
    """Makes C of calculations and the deparser."""

    def __init__(self, program: Program, primitives: Primitives) -> None:
        self.program = program
        self.layout = primitives.layout
        self.arithmetic = primitives.arithmetic

    def calculations(self) -> str:
        """A function for each calculation, and for the hash of each action selector."""
        named = [(f"calculation_{i}", one) for i, one in enumerate(self.program.calculations)]
        named += [
            (f"selector_{i}", one.selector)
            for i, one in enumerate(self.program.profiles)
            if one.selector is not None
        ]
        return "\n\n".join(self._calculation(name, one) for name, one in named)

    def _calculation(self, function: str, one: Calculation) -> str:
        algorithm = _SAME.get(one.algorithm, one.algorithm)
        if algorithm not in HASHES:
            raise NotCoveredError(f"the hash algorithm {one.algorithm}", one.name)
        lines = [self._input(part, one.name) for part in one.inputs]
        size = sum(self._size(part) for part in one.inputs)
        if size > _INPUT_MOST:
            raise NotCoveredError(f"a calculation over {size} bytes of headers", one.name)
        if [part.kind for part in one.inputs].count("payload") > 1:
            raise NotCoveredError("a calculation with two payloads", one.name)
        body = "\n".join(f"    {line}" for line in sorted(lines, key=_is_payload))
        return f"""static NOTHING uint64_t {function}(const struct packet *p)
{{
    struct phv *P = p->phv;
    struct input in;
    (void)P;
    input_start(&in);
{body}
    return hash_{algorithm}(in.bytes, (in.bits + 7) / 8);
}}"""

    def _size(self, part: CalculationInput) -> int:
        if isinstance(part.reference, HeaderRef):
            return self.layout.type_of(part.reference.header).most_bytes
        if isinstance(part.reference, FieldRef):
            return self.layout.place(part.reference)[1].width // 8 + 1
        return part.width // 8 + 1

    def _input(self, part: CalculationInput, name: str) -> str:
        if part.kind == "payload":  # after everything else, wherever it is listed
            return "input_payload(&in, p);"
        if part.kind == "hexstr":
            if part.width > WIDEST:
                raise NotCoveredError(f"a constant of {part.width} bits", name)
            return f"input_value(&in, {literal(part.value)}, {part.width});"
        if isinstance(part.reference, HeaderRef):
            header = self.layout.header(part.reference.header)
            kind = self.layout.type_of(part.reference.header)
            if kind.fixed_bits % 8 or self.layout.is_metadata(part.reference.header):
                raise NotCoveredError(f"the header {part.reference.header}", name)
            return (
                f"if ({header}.valid) {{ uint8_t bytes[{kind.most_bytes + 1}] = {{0}}; "
                f"{self.layout.c_type(kind)}_put(&{header}, bytes); "
                f"input_data(&in, bytes, {self.layout.c_type(kind)}_bytes(&{header})); }}"
            )
        assert isinstance(part.reference, FieldRef)
        place, field = self.layout.place(part.reference)
        valid = self.layout.valid(part.reference.header)
        if part.reference.field == VALID:
            return f"input_value(&in, {place}, 1);"
        if is_bytes(field):
            size = f"{place}_bits / 8" if field.variable else str(field.width // 8)
            return f"if ({valid}) input_data(&in, {place}, {size});"
        return f"if ({valid}) input_value(&in, (u128){place}, {field.width});"

    def headroom(self) -> int:
        """Bytes before a packet that deparsing may need."""
        most = sum(self.layout.type_of(name).most_bytes for name in self.program.deparser)
        return (most + 64 + 63) // 64 * 64

    def function(self) -> str:
        """``deparser_run``: checksums first, then the valid headers before the payload."""
        updates = "\n".join(self._updates())
        sizes, puts = [], []
        for header in self.program.deparser:
            kind = self.layout.type_of(header)
            if kind.fixed_bits % 8:
                raise NotCoveredError(
                    f"the header {header} of {kind.fixed_bits} bits", self.program.file
                )
            name, path = self.layout.c_type(kind), self.layout.header(header)
            valid = self.layout.valid(header)
            sizes.append(f"    if ({valid}) total += {name}_bytes(&{path});")
            puts.append(
                f"    if ({valid}) {{ {name}_put(&{path}, to); to += {name}_bytes(&{path}); }}"
            )
        total, written = "\n".join(sizes), "\n".join(puts)
        return f"""static void deparser_run(struct packet *p)
{{
    struct phv *P = p->phv;
    size_t total = 0;
    (void)P;
{updates}
{total}
    p->data -= total;
    p->size += total;
    memset(p->data, 0, total);
    uint8_t *to = p->data;
    (void)to;
{written}
}}"""

    def _updates(self) -> list[str]:
        numbers = {one.name: i for i, one in enumerate(self.program.calculations)}
        lines = []
        for checksum in self.program.checksums:
            if checksum.calculation not in numbers:
                raise NotCoveredError(
                    f"a checksum by {checksum.calculation!r}, which is missing", checksum.name
                )
            if not checksum.updates:
                continue
            place, field = self.layout.place(checksum.target)
            if is_bytes(field) or field.signed:
                raise NotCoveredError("a checksum in this field", checksum.name)
            condition = "1"
            if checksum.condition is not None:
                condition = self.arithmetic.truth(checksum.condition)
            number = numbers[checksum.calculation]
            lines.append(
                f"    if ({condition}) {place} = (__typeof__({place}))"
                f"(calculation_{number}(p) & mask_of({field.width}));"
            )
        return lines


def _full(stack: str, depth: int) -> str:
    return f"if (P->{stack}_next >= {depth}) {{ p->error = ERROR_StackOutOfBounds; goto done; }} "


def _is_payload(line: str) -> bool:
    return line.startswith("input_payload")
