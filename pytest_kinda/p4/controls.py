"""Tables and the controls that apply them, as C."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_kinda.p4.actions import Primitives
from pytest_kinda.p4.arithmetic import literal
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

    # ---- what tables are ----

    def declarations(self) -> str:
        """Actions, tables, register and counter arrays, as data."""
        parts = [_comma(self._action_data())]
        for number, table in enumerate(self.program.tables):
            parts.append(self._table_data(number, table))
        rows = [self._table_row(number, table) for number, table in enumerate(self.program.tables)]
        parts.append(
            f"#define TABLES {len(rows)}\n"
            f"static struct table tables[TABLES + 1] = {{\n{_rows(rows)}}};"
        )
        for title, cells in (
            ("registers", self.program.registers),
            ("counters", self.program.counters),
        ):
            listed = [
                f"{{{_string(one.name)}, {0 if one.table else one.size}, {one.width}, NULL}}"
                for one in cells
            ]
            parts.append(
                f"#define {title.upper()} {len(cells)}\n"
                f"static struct cells {title}[{title.upper()} + 1] = {{\n{_rows(listed)}}};"
            )
        return "\n\n".join(parts)

    def _action_data(self) -> Iterable[str]:
        rows = []
        for number, action in enumerate(self.program.actions):
            widths = ", ".join(str(one.width) for one in action.parameters) or "0"
            yield f"static const uint16_t action_widths_{number}[] = {{{widths}}};"
            rows.append(
                f"{{{_string(action.name)}, {len(action.parameters)}, action_widths_{number}}}"
            )
        yield (
            f"#define ACTIONS {len(rows)}\n"
            f"static const struct action actions[ACTIONS + 1] = {{\n{_rows(rows)}}};"
        )

    def _table_data(self, number: int, table: Table) -> str:
        rows, offset = [], 0
        for key in table.keys:
            match = "EXACT" if key.match == "valid" else key.match.upper()
            rows.append(f"{{{offset}, {key.size}, {key.width}, {match}}}")
            offset += key.size
        listed = ", ".join(str(self._indexes[one]) for one in table.actions) or "0"
        lines = [
            f"static const struct key_field table_fields_{number}[] = "
            f"{{\n{_rows(rows)}    {{0}}}};",
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
        return (
            f"{{.name = {_string(table.name)}, .match = {table.match.upper()}, "
            f".key_bytes = {table.key_size}, .fields_count = {len(table.keys)}, "
            f".fields = table_fields_{number}, .most = {table.size}, "
            f".actions = table_actions_{number}, .actions_count = {len(table.actions)}, "
            f".constant_entries = {int(table.entries is not None)}, "
            f".constant_default = {int(table.default_constant)}{default}}}"
        )

    def entries(self) -> str:
        """``declared_entries``: what the program itself puts into its tables."""
        lines = []
        for number, table in enumerate(self.program.tables):
            for entry in table.entries or ():
                key, mask = packed(table, entry.key)
                values = ", ".join(literal(one) for one in entry.action.arguments) or "0"
                lines.append(
                    f"    entry_declare({number}, {entry.priority}, {_string_bytes(key)}, "
                    f"{_string_bytes(mask)}, {self._indexes[entry.action.action]}, "
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
        lines.append("        switch (e ? e->action : ACTIONS) {")
        by_index = {self._indexes[one]: one for one in table.actions}
        if table.default is not None:
            by_index[self._indexes[table.default.action]] = table.default.action
        for index, action in by_index.items():
            lines.append(f"        case {index}: action_{action}(p, e->arguments); break;")
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
        lines.append("        switch (e ? e->action : ACTIONS) {")
        for index, action in by_index.items():
            if names[action] in ways:
                lines.append(f"        case {index}: {_to(ways[names[action]], labels)}")
        lines += [f"        default: {otherwise}", "        }", "    }"]
        return lines

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


def _string(text: str) -> str:
    plain = text.encode("ascii", "replace").decode()
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _string_bytes(data: bytes) -> str:
    listed = ", ".join(str(one) for one in data) or "0"
    return f"(const uint8_t[]){{{listed}}}"


def _rows(rows: list[str]) -> str:
    return "".join(f"    {row},\n" for row in rows)


def _comma(parts: Iterable[str]) -> str:
    return "\n".join(parts)
