"""Actions and the primitives that they are made of, as C."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.arithmetic import Arithmetic
from pytest_kinda.p4.layout import Layout
from pytest_kinda.p4.objects import UnionRef, UnionStackRef
from pytest_kinda.p4.program import (
    Action,
    Call,
    Constant,
    Expression,
    FieldRef,
    HeaderRef,
    Named,
    Operation,
    Program,
    StackRef,
)

DROP_PORT = 511
"""The port that means "drop": simple_switch's default."""

_ALIKE = {"modify_field": "assign", "copy_header": "assign_header"}
_COMPUTED = {
    "add": "+",
    "subtract": "-",
    "bit_xor": "^",
    "bit_or": "|",
    "bit_and": "&",
    "shift_left": "<<",
    "shift_right": ">>",
}
_COUNTS = {
    "count": 2,
    "register_read": 3,
    "register_write": 3,
    "execute_meter": 3,
    "modify_field_with_hash_based_offset": 4,
    "modify_field_rng_uniform": 3,
    "assign": 2,
    "assign_VL": 2,
    "assign_header": 2,
    "assign_header_stack": 2,
    "assign_union": 2,
    "assign_union_stack": 2,
    "add_header": 1,
    "remove_header": 1,
    "push": 2,
    "pop": 2,
    "mark_to_drop": 1,
    "clone_ingress_pkt_to_egress": 2,
    "clone_egress_pkt_to_egress": 2,
    "resubmit": 1,
    "recirculate": 1,
    "truncate": 1,
    "generate_digest": 2,
    "assert": 1,
    "assume": 1,
    "_jump": 1,
    "_jump_if_zero": 2,
    "add_to_field": 2,
    "subtract_from_field": 2,
} | dict.fromkeys(_COMPUTED, 3)


class Primitives:
    """Makes C of primitive calls, wherever they stand."""

    def __init__(self, program: Program, layout: Layout, arithmetic: Arithmetic) -> None:
        self.program = program
        self.layout = layout
        self.arithmetic = arithmetic
        self._numbers: Mapping[str, dict[str, int]] = {
            "register": {one.name: i for i, one in enumerate(program.registers)},
            "counter": {one.name: i for i, one in enumerate(program.counters)},
            "calculation": {one.name: i for i, one in enumerate(program.calculations)},
            "meter": {one.name: i for i, one in enumerate(program.meters)},
        }

    def function(self, action: Action) -> str:
        """An action as a C function."""
        self.arithmetic.parameters = action.parameters
        targets = set()
        for call in action.calls:
            if call.name in ("_jump", "_jump_if_zero"):
                last = call.arguments[-1]
                if not isinstance(last, Constant) or not 0 <= last.value <= len(action.calls):
                    raise NotCoveredError(f"{call.name} to a computed place", call.where)
                targets.add(last.value)
        lines = []
        for number, call in enumerate(action.calls):
            if number in targets:
                lines.append(f"at_{number}:;")
            lines.append(self.statement(call))
        if len(action.calls) in targets:
            lines.append(f"at_{len(action.calls)}:;")
        self.arithmetic.parameters = ()
        body = "\n".join(f"    {line}" for line in lines)
        return f"""/* {_comment(action.name)} */
static void action_{action.id}(struct packet *p, const u128 *A)
{{
    struct phv *P = p->phv;
    (void)P, (void)A;
{body}
}}"""

    def statement(self, call: Call) -> str:
        """A primitive as a C statement."""
        name = _ALIKE.get(call.name, call.name)
        self.arithmetic.where = call.where
        if name in _COUNTS and len(call.arguments) != _COUNTS[name]:
            raise NotCoveredError(f"{call.name} of {len(call.arguments)} arguments", call.where)
        if name in _COMPUTED:
            target, left, right = (self._value(one, call) for one in call.arguments)
            value = Operation(_COMPUTED[name], (left, right), call.where)
            return self.arithmetic.store(target, value, call.where)
        made: Callable[[Call], str] | None = getattr(self, f"_p_{name.strip('_')}", None)
        if made is None:
            raise NotCoveredError(f"the primitive {call.name}", call.where)
        return made(call)

    # ---- arguments ----

    def _value(self, one: Expression | Named, call: Call) -> Expression:
        if isinstance(one, Named):
            raise NotCoveredError(f"{call.name} of a {one.kind} here", call.where)
        return one

    def _named(self, call: Call, index: int, kind: str) -> int:
        one = call.arguments[index]
        if not isinstance(one, Named) or one.kind != kind or one.name not in self._numbers[kind]:
            raise NotCoveredError(f"{call.name} without a {kind} of the program", call.where)
        return self._numbers[kind][one.name]

    def _number(self, call: Call, index: int, bits: int) -> str:
        value = self._value(call.arguments[index], call)
        return self.arithmetic.low_bits(value, bits)

    def _index(self, call: Call, index: int) -> str:
        return self.arithmetic.index(self._value(call.arguments[index], call))

    def _header(self, call: Call, index: int) -> tuple[str, str]:
        return self.arithmetic.header(self._value(call.arguments[index], call))

    def _stack(self, call: Call, index: int) -> str:
        one = call.arguments[index]
        if not isinstance(one, StackRef):
            raise NotCoveredError(f"{call.name} of something else than a stack", call.where)
        return one.stack

    # ---- assignments ----

    def _p_assign(self, call: Call) -> str:
        target, value = (self._value(one, call) for one in call.arguments)
        return self.arithmetic.store(target, value, call.where)

    _p_assign_VL = _p_assign

    def _p_add_to_field(self, call: Call) -> str:
        target, value = (self._value(one, call) for one in call.arguments)
        return self.arithmetic.store(
            target, Operation("+", (target, value), call.where), call.where
        )

    def _p_subtract_from_field(self, call: Call) -> str:
        target, value = (self._value(one, call) for one in call.arguments)
        return self.arithmetic.store(
            target, Operation("-", (target, value), call.where), call.where
        )

    def _p_assign_header(self, call: Call) -> str:
        (target, kind), (source, other) = self._header(call, 0), self._header(call, 1)
        if kind != other:
            raise NotCoveredError("an assignment between headers of two types", call.where)
        others = self._made_valid(call, 0)
        return (
            f"if ({source}->valid) {{ *{target} = *{source};{others} }} else {target}->valid = 0;"
        )

    def _made_valid(self, call: Call, index: int) -> str:
        one = call.arguments[index]
        return self.layout.unions.made_valid(one.header) if isinstance(one, HeaderRef) else ""

    def _p_assign_union(self, call: Call) -> str:
        target, source = call.arguments
        if not isinstance(target, UnionRef) or not isinstance(source, UnionRef):
            raise NotCoveredError(f"{call.name} of this", call.where)
        if self.layout.unions.equal(target.union, source.union) is None:
            raise NotCoveredError("an assignment between header unions of two types", call.where)
        return self.layout.unions.assigned(target.union, source.union)

    def _p_assign_union_stack(self, call: Call) -> str:
        target, source = call.arguments
        made = None
        if isinstance(target, UnionStackRef) and isinstance(source, UnionStackRef):
            made = self.layout.unions.stack_assigned(target.stack, source.stack)
        if made is None:
            raise NotCoveredError(f"{call.name} of this", call.where)
        return made

    def _p_assign_header_stack(self, call: Call) -> str:
        target, source = self._stack(call, 0), self._stack(call, 1)
        if self.layout.stack_type(target) != self.layout.stack_type(source):
            raise NotCoveredError("an assignment between stacks of two types", call.where)
        if self.layout.depth(target) != self.layout.depth(source):
            raise NotCoveredError("an assignment between stacks of two sizes", call.where)
        one, two = self.layout.stack(target), self.layout.stack(source)
        return (
            f"for (unsigned i = 0; i < {self.layout.depth(target)}; i++) "
            f"if (P->{two}[i].valid) P->{one}[i] = P->{two}[i]; else P->{one}[i].valid = 0; "
            f"P->{one}_next = P->{two}_next;"
        )

    # ---- headers ----

    def _p_add_header(self, call: Call) -> str:
        header, kind = self._wire_header(call)
        return (
            f"if (!{header}->valid) {{ memset({header}, 0, sizeof *{header}); "
            f"{header}->valid = 1;{self._made_valid(call, 0)} "
            f"p->length += (uint32_t){kind}_bytes({header}); }}"
        )

    def _p_remove_header(self, call: Call) -> str:
        header, kind = self._wire_header(call)
        return (
            f"if ({header}->valid) {{ {header}->valid = 0; "
            f"p->length -= (uint32_t){kind}_bytes({header}); }}"
        )

    def _wire_header(self, call: Call) -> tuple[str, str]:
        one = call.arguments[0]
        if isinstance(one, HeaderRef) and (
            self.layout.is_metadata(one.header) or self.layout.type_of(one.header).fixed_bits % 8
        ):
            raise NotCoveredError(f"{call.name} of {one.header}", call.where)
        return self._header(call, 0)

    def _p_push(self, call: Call) -> str:
        return f"{self._any_stack(call)}_push(P, {self._index(call, 1)});"

    def _p_pop(self, call: Call) -> str:
        return f"{self._any_stack(call)}_pop(P, {self._index(call, 1)});"

    def _any_stack(self, call: Call) -> str:
        one = call.arguments[0]
        if isinstance(one, UnionStackRef):
            return self.layout.unions.name(one.stack)
        return self.layout.stack(self._stack(call, 0))

    # ---- control ----

    def _p_no_op(self, call: Call) -> str:
        return ";"

    _p_log_msg = _p_no_op

    def _p_exit(self, call: Call) -> str:
        return "p->exits = true;"

    def _p_jump(self, call: Call) -> str:
        return f"goto at_{self._target(call)};"

    def _p_jump_if_zero(self, call: Call) -> str:
        return f"if (!({self._condition(call)})) goto at_{self._target(call)};"

    def _target(self, call: Call) -> int:
        last = call.arguments[-1]
        assert isinstance(last, Constant)
        return last.value

    def _condition(self, call: Call) -> str:
        value = self._value(call.arguments[0], call)
        if self.arithmetic.is_truth(value):
            return self.arithmetic.truth(value)
        return f"{self.arithmetic.exact(value).code} != 0"

    def _p_assert(self, call: Call) -> str:
        return f"if (!({self._condition(call)})) {{ p->asserts = p->exits = true; return; }}"

    _p_assume = _p_assert

    def asserted_in_parser(self, call: Call) -> str:
        """``assert`` or ``assume`` where a parser has it: parsing ends."""
        self.arithmetic.where = call.where
        return f"if (!({self._condition(call)})) {{ p->asserts = true; goto done; }}"

    def _p_drop(self, call: Call) -> str:
        group = FieldRef("intrinsic_metadata", "mcast_grp")
        group = dict(self.program.aliases).get("intrinsic_metadata.mcast_grp", group)
        return self._dropped(FieldRef("standard_metadata", "egress_spec"), group)

    def _p_mark_to_drop(self, call: Call) -> str:
        # it is told which metadata: a control may have a copy of its own
        given = call.arguments[0]
        if not isinstance(given, HeaderRef):
            raise NotCoveredError("mark_to_drop of something else than metadata", call.where)
        port = FieldRef(given.header, "egress_spec")
        if self.program.field(port) is None:
            raise NotCoveredError(f"mark_to_drop of {given.header}", call.where)
        return self._dropped(port, FieldRef(given.header, "mcast_grp"))

    def _dropped(self, port: FieldRef, group: FieldRef) -> str:
        parts = [f"{self.layout.place(port)[0]} = {DROP_PORT};"]
        if self.program.field(group) is not None:
            parts.append(f"{self.layout.place(group)[0]} = 0;")
        return " ".join(parts)

    # ---- state ----

    def _p_count(self, call: Call) -> str:
        number = self._named(call, 0, "counter")
        return f"count(&counters[{number}], {self._index(call, 1)}, p);"

    def _p_register_read(self, call: Call) -> str:
        number = self._named(call, 1, "register")
        width = self.program.registers[number].width
        target, field = self.arithmetic.place(self._value(call.arguments[0], call))
        value = f"*c & {_mask(field.width)}"
        if field.signed:
            value = f"signed_kept((i128)*c, {field.width})"
            if width > 127:
                raise NotCoveredError("a signed field read from 128 bits", call.where)
        elif field.width >= width:
            value = "*c"
        return (
            f"{{ u128 *c = cell(&registers[{number}], {self._index(call, 2)}); "
            f"if (c) {target} = (__typeof__({target}))({value}); }}"
        )

    def _p_register_write(self, call: Call) -> str:
        number = self._named(call, 0, "register")
        value = self._number(call, 2, self.program.registers[number].width)
        return (
            f"{{ u128 *c = cell(&registers[{number}], {self._index(call, 1)}); "
            f"if (c) *c = {value}; }}"
        )

    def _p_execute_meter(self, call: Call) -> str:
        number = self._named(call, 0, "meter")
        target, field = self.arithmetic.place(self._value(call.arguments[2], call))
        color = f"meter_color(&meters[{number}].values[i], meters[{number}].counts_bytes, p)"
        return (
            f"{{ const u128 i = {self._index(call, 1)}; if (i < meters[{number}].size) "
            f"{target} = (__typeof__({target}))({color} & {_mask(field.width)}); }}"
        )

    def _p_generate_digest(self, call: Call) -> str:
        return f"p->digest = (uint32_t)({self._number(call, 1, 16)});"

    def _p_modify_field_with_hash_based_offset(self, call: Call) -> str:
        number = self._named(call, 2, "calculation")
        target, field = self.arithmetic.place(self._value(call.arguments[0], call))
        base, size = self._number(call, 1, 64), self._number(call, 3, 64)
        if field.signed:
            raise NotCoveredError("a hash stored in a signed field", call.where)
        return (
            f"{{ uint64_t size = {size}; "
            f"uint64_t value = calculation_{number}(p) % (size ? size : 1) + {base}; "
            f"{target} = (__typeof__({target}))(value & {_mask(field.width)}); }}"
        )

    def _p_modify_field_rng_uniform(self, call: Call) -> str:
        target, field = self.arithmetic.place(self._value(call.arguments[0], call))
        low, high = self._number(call, 1, 64), self._number(call, 2, 64)
        if field.signed:
            raise NotCoveredError("a random number in a signed field", call.where)
        return (
            f"{{ uint64_t low = {low}, high = {high}; if (low <= high) "
            f"{target} = (__typeof__({target}))(random_between(low, high) & "
            f"{_mask(field.width)}); }}"
        )

    # ---- copies ----

    def _p_clone_ingress_pkt_to_egress(self, call: Call) -> str:
        return (
            f"p->clones = true; p->clone_session = (uint32_t)({self._number(call, 0, 16)}) & "
            f"0x7fff; p->clone_list = (uint32_t)({self._number(call, 1, 16)});"
        )

    _p_clone_egress_pkt_to_egress = _p_clone_ingress_pkt_to_egress

    def _p_resubmit(self, call: Call) -> str:
        return f"p->resubmit_list = (uint32_t)({self._number(call, 0, 16)});"

    def _p_recirculate(self, call: Call) -> str:
        return f"p->recirculate_list = (uint32_t)({self._number(call, 0, 16)});"

    def _p_truncate(self, call: Call) -> str:
        return (
            f"{{ uint64_t most = {self._number(call, 0, 64)}; "
            "if (most < p->kept) p->kept = (size_t)most; }"
        )


def _mask(width: int) -> str:
    return f"mask_of({width})"


def _comment(text: str) -> str:
    return text.replace("*/", "* /")
