"""Tables and the controls that apply them, as C."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.actions import Primitives
from pytest_kinda.p4.arithmetic import literal
from pytest_kinda.p4.ctext import array, byte_string, rows, string
from pytest_kinda.p4.layout import identifier
from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import (
    VALID,
    ActionCall,
    Conditional,
    Key,
    Pipeline,
    Program,
    Table,
)


class Controls:
    """Makes C of tables and controls."""

    def __init__(self, program: Program, primitives: Primitives) -> None:
        self.program = program
        self.layout = primitives.layout
        self.arithmetic = primitives.arithmetic
        self._numbers = {table.name: i for i, table in enumerate(program.tables)}
        self._indexes = {action.id: i for i, action in enumerate(program.actions)}
        self._profiles = {one.name: i for i, one in enumerate(program.profiles)}
        self._meters = {one.name: i for i, one in enumerate(program.meters)}

    # ---- what tables are ----

    def declarations(self) -> str:
        """Actions, tables, register and counter arrays, as data."""
        parts = [_comma(self._action_data())]
        for number, table in enumerate(self.program.tables):
            parts.append(self._table_data(number, table))
        made = [self._table_row(number, table) for number, table in enumerate(self.program.tables)]
        parts.append(array("table", "tables", made))
        metered = ", ".join(
            str(self._meters.get(table.meter or "", -1)) for table in self.program.tables
        )
        parts.append(f"static const int16_t table_meters[TABLES + 1] = {{{metered or 0}}};")
        for title, cells in (
            ("registers", self.program.registers),
            ("counters", self.program.counters),
        ):
            listed = [
                f"{{{string(one.name)}, {0 if one.table else one.size}, {one.width}, NULL}}"
                for one in cells
            ]
            parts.append(array("cells", title, listed))
        return "\n\n".join(parts)

    def _action_data(self) -> Iterable[str]:
        made = []
        for number, action in enumerate(self.program.actions):
            widths = ", ".join(str(one.width) for one in action.parameters) or "0"
            yield f"static const uint16_t action_widths_{number}[] = {{{widths}}};"
            made.append(
                f"{{{string(action.name)}, {len(action.parameters)}, action_widths_{number}}}"
            )
        yield array("action", "actions", made, "static const")

    def _table_data(self, number: int, table: Table) -> str:
        made, offset = [], 0
        for key in table.keys:
            match = "EXACT" if key.match == "valid" else key.match.upper()
            made.append(f"{{{offset}, {key.size}, {key.width}, {match}}}")
            offset += key.size
        listed = ", ".join(str(self._indexes[one]) for one in table.actions) or "0"
        lines = [
            f"static const struct key_field table_fields_{number}[] = {{\n{rows(made)}    {{0}}}};",
            f"static const uint16_t table_actions_{number}[] = {{{listed}}};",
        ]
        if table.default is not None:
            values = ", ".join(literal(one) for one in table.default.arguments) or "0"
            lines.append(f"static u128 table_default_{number}[] = {{{values}}};")
        return "\n".join(lines)

    def _table_row(self, number: int, table: Table) -> str:
        default = ""
        if table.default is not None:
            action = self._indexes[table.default.action]
            default = (
                f", .declared_fallback = {{.arguments = table_default_{number}, "
                f".action = {action}}}"
            )
        if table.profile is not None:
            default = f", .profile = &profiles[{self._profiles[table.profile]}]"
        return (
            f"{{.name = {string(table.name)}, .match = {table.match.upper()}, "
            f".key_bytes = {table.key_size}, .fields_count = {len(table.keys)}, "
            f".fields = table_fields_{number}, .most = {table.size}, "
            f".actions = table_actions_{number}, .actions_count = {len(table.actions)}, "
            f".constant_entries = {int(table.entries is not None)}, "
            f".constant_default = {int(table.default_constant)}, "
            f".metered = {int(table.meter is not None)}, .ages = {int(table.ages)}{default}}}"
        )

    def entries(self) -> str:
        """``declared_entries``: what the program itself puts into its tables."""
        lines = []
        for number, table in enumerate(self.program.tables):
            for entry in table.entries or ():
                key, mask = packed(table, entry.key)
                values = ", ".join(literal(one) for one in entry.action.arguments) or "0"
                lines.append(
                    f"    entry_declare({number}, {entry.priority}, {byte_string(key)}, "
                    f"{byte_string(mask)}, {self._indexes[entry.action.action]}, "
                    f"(const u128[]){{{values}}});"
                )
        body = "\n".join(lines)
        return f"static void declared_entries(void)\n{{\n{body}\n}}"

    # ---- how they are applied ----

    def function(self, title: str, pipeline: Pipeline) -> str:
        """``ingress_run`` or ``egress_run``."""
        labels = {
            node.name: f"node_{i}_{identifier(node.name)}" for i, node in enumerate(pipeline.nodes)
        }
        lines = []
        for node in pipeline.nodes:
            lines.append(f"{labels[node.name]}:;")
            if isinstance(node, Table):
                lines += self._apply(node, labels)
            elif isinstance(node, Conditional):
                self.arithmetic.where = node.where
                condition = self.arithmetic.truth(node.condition)
                lines.append(f"    if ({condition}) {_to(node.true, labels)}")
                lines.append(f"    {_to(node.false, labels)}")
            elif isinstance(node, ActionCall):
                lines.append(f"    action_{node.action}(p, NULL);")
                lines.append("    if (p->exits) goto done;")
                lines.append(f"    {_to(node.next, labels)}")
        body = "\n".join(lines)
        return f"""static void {title}_run(struct packet *p)
{{
    struct phv *P = p->phv;
    (void)P;
    {_to(pipeline.start, labels)}
{body}
done:;
}}"""

    def _apply(self, table: Table, labels: dict[str, str]) -> list[str]:
        number = self._numbers[table.name]
        lines = ["    {"]
        if table.keys:
            lines.append(f"        uint8_t key[{table.key_size}];")
            offset = 0
            for key in table.keys:
                lines.append(f"        bytes_put(key + {offset}, {key.size}, {self._key(key)});")
                offset += key.size
            lines.append(f"        struct entry *e = table_lookup(&tables[{number}], key);")
        else:
            lines.append("        struct entry *e = NULL;")
        lines += [
            "        const bool hit = e != NULL;",
            f"        if (!hit) e = tables[{number}].has_fallback "
            f"? &tables[{number}].fallback : NULL;",
        ]
        if table.counts:
            lines.append("        if (hit) { e->packets++; e->bytes += p->arrived; }")
        if table.ages:
            lines.append("        if (hit) e->hit = microseconds();")
        lines += self._bound(table)
        if table.meter is not None:
            lines.append(self._metered(table))
        lines.append("        switch (action) {")
        by_index = {self._indexes[one]: one for one in self._actions_of(table)}
        for index, action in by_index.items():
            lines.append(f"        case {index}: action_{action}(p, arguments); break;")
        lines += ["        default: break;", "        }", "        if (p->exits) goto done;"]
        otherwise = _to(table.next_otherwise, labels)
        if table.next_hit:
            lines.append(f"        if (hit) {_to(table.next_hit[0], labels)}")
        if table.next_miss:
            lines.append(f"        if (!hit) {_to(table.next_miss[0], labels)}")
        elif not table.next_by_action:
            lines.append(f"        if (!hit) {otherwise}")
        ways = dict(table.next_by_action)
        names = {one: self.program.actions_by_id[one].name for one in by_index.values()}
        lines.append("        switch (action) {")
        for index, action in by_index.items():
            if names[action] in ways:
                lines.append(f"        case {index}: {_to(ways[names[action]], labels)}")
        lines += [f"        default: {otherwise}", "        }", "    }"]
        return lines

    def _bound(self, table: Table) -> list[str]:
        """What runs: the entry's action, or that of the member of a profile."""
        if table.profile is None:
            return [
                "        const uint32_t action = e ? e->action : ACTIONS;",
                "        const u128 *arguments = e ? e->arguments : NULL;",
            ]
        number = self._profiles[table.profile]
        hashed = "0"
        if self.program.profiles[number].selector is not None:
            hashed = f"e->of_group ? (uint32_t)selector_{number}(p) : 0"
        chosen = f"member_chosen(&profiles[{number}], e, {hashed})"
        return [
            f"        const struct member *m = e ? {chosen} : NULL;",
            "        const uint32_t action = m ? m->action : ACTIONS;",
            "        const u128 *arguments = m ? m->arguments : NULL;",
        ]

    def _actions_of(self, table: Table) -> list[int]:
        if table.profile is not None:
            return list(self.program.profiles[self._profiles[table.profile]].actions)
        found = dict.fromkeys(table.actions)
        if table.default is not None:
            found[table.default.action] = None
        return list(found)

    def _metered(self, table: Table) -> str:
        if table.meter not in self._meters:
            raise NotCoveredError(f"the meter {table.meter!r}, which is missing", table.where)
        meter = self.program.meters[self._meters[table.meter]]
        assert meter.target is not None
        place, field = self.layout.place(meter.target)
        color = f"meter_color(e->meter, {int(meter.counts_bytes)}, p)"
        return (
            f"        if (hit) {place} = (__typeof__({place}))({color} & mask_of({field.width}));"
        )

    def _key(self, key: Key) -> str:
        header = key.target.header
        if key.target.field == VALID:
            return f"(u128)({self.layout.valid(header)})"
        value = self.arithmetic.low_bits(key.target, key.width)
        if key.mask is not None:
            value = f"({value} & {literal(key.mask & ((1 << key.width) - 1))})"
        # a field of an invalid header is matched as zero, as in BMv2
        return f"{self.layout.valid(header)} ? (u128){value} : (u128)0"


def _to(name: str | None, labels: dict[str, str]) -> str:
    return f"goto {labels[name]};" if name is not None else "goto done;"


def _comma(parts: Iterable[str]) -> str:
    return "\n".join(parts)
