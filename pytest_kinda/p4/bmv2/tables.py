"""Commands on tables, registers, counters and meters as calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_kinda.p4.bmv2.calls import (
    count_of,
    match_of,
    match_values,
    rates_of,
    standard,
    table_call,
)
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.steps import Commands, Refused, Step
from pytest_kinda.p4.bmv2.thrift import Value, flag, i32, i64, record, text
from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import Table

_CELL_BITS = 64

METERS_READ = 1024
"""Cells of a meter array that a reset reads again: BMv2 tells one with each call."""


class TableCommands(Commands):
    """What tables and arrays are told."""

    def _table(self, word: str) -> Table:
        return self.program.tables[int(word)]

    def _bound(
        self, name: str, table: Table, words: Sequence[str], before: Sequence[Value]
    ) -> Call:
        """A call on an entry that gives it an action, a member or a group."""
        if words[0] in ("m", "g"):
            kind = "indirect" if words[0] == "m" else "indirect_ws"
            return table_call(f"{kind}_{name}", table, *before, i32(int(words[1])))
        return table_call(name, table, *before, *self.called(words))

    def _add(self, words: list[str]) -> Step:
        table = self._table(words[0])
        match = match_of(table.keys, bytes.fromhex(words[2]), bytes.fromhex(words[3]))
        ordered = table.match in ("ternary", "range")
        options = record({1: i32(int(words[1]))} if ordered else {})
        call = self._bound("add_entry", table, words[4:], [match])
        call = Call(call.service, call.name, (*call.arguments, options))
        return Step([call], lambda values: [f"ok {values[0]}"])

    def _modify(self, words: list[str]) -> Step:
        handle = i32(int(words[1]))
        return Step([self._bound("modify_entry", self._table(words[0]), words[2:], [handle])])

    def _delete(self, words: list[str]) -> Step:
        table = self._table(words[0])
        name = "indirect_delete_entry" if table.profile else "delete_entry"
        return Step([table_call(name, table, i32(int(words[1])))])

    def _clear(self, words: list[str]) -> Step:
        table = self._table(words[0])
        if table.entries is not None:
            raise Refused("the program declares the table's entries constant")
        return Step([table_call("clear_entries", table, flag(False))])

    def _default(self, words: list[str]) -> Step:
        table = self._table(words[0])
        if words[1] == "m":
            call = table_call("indirect_set_default_member", table, i32(int(words[2])))
        elif words[1] == "g":
            call = table_call("indirect_ws_set_default_group", table, i32(int(words[2])))
        else:
            call = table_call("set_default_action", table, *self.called(words[1:]))
        return Step([call])

    def _default_reset(self, words: list[str]) -> Step:
        table = self._table(words[0])
        kind = "indirect_reset" if table.profile else "reset"
        return Step([table_call(f"{kind}_default_entry", table)])

    def _dump(self, words: list[str]) -> list[str]:
        table = self._table(words[0])
        calls = [table_call("get_entries", table), table_call("get_default_entry", table)]
        entries, default = self.now(calls)
        counts = [{1: 0, 2: 0}] * len(entries)
        if table.counts:
            counts = self.now([table_call("read_counter", table, i32(one[3])) for one in entries])
        ordered = table.match in ("ternary", "range")
        lines = []
        for one, count in zip(entries, counts, strict=True):
            key, mask = packed(table, match_values(table.keys, one[1]))
            priority = one.get(2, {}).get(1, 0) if ordered else 0
            lines.append(
                f"- {one[3]} {priority} {key.hex()} {mask.hex()} {count[2]} {count[1]} "
                + self._told(table.actions, one[4])
            )
        if default and default.get(1):
            lines.append(f"- default {self._told(table.actions, default)}")
        return [*lines, f"ok {len(entries)}"]

    def _told(self, actions: Sequence[int], entry: Any) -> str:
        """What an entry does, in the words of the protocol."""
        if entry[1] == 2:
            return f"m {entry[4]}"
        if entry[1] == 3:
            return f"g {entry[5]}"
        return self.told_call(actions, entry[2], entry[3])

    def _timeout(self, words: list[str]) -> Step:
        table = self._table(words[0])
        kind = "indirect_set" if table.profile else "set"
        arguments = (i32(int(words[1])), i32(int(words[2])))
        return Step([table_call(f"{kind}_entry_ttl", table, *arguments)])

    def _idle(self, words: list[str]) -> Step:
        table = self._table(words[0])
        if not table.ages:
            raise Refused("the table's entries have no timeout")

        def told(values: list[Any]) -> list[str]:
            lives = ((one[3], one[5]) for one in values[0] if 5 in one)
            return [*(f"- {handle}" for handle, life in lives if life[2] >= life[1]), "ok"]

        return Step([table_call("get_entries", table)], told)

    # ---- registers, counters, meters ----

    def _register_read(self, words: list[str]) -> Step:
        array, index, count = self.program.registers[int(words[0])], int(words[1]), int(words[2])
        if array.width > _CELL_BITS:
            raise Refused(f"BMv2 tells no more than {_CELL_BITS} bits of a register's cell")
        whole = (1 << array.width) - 1
        name = text(array.name)
        if count == 1:
            return Step(
                [standard("register_read", name, i32(index))],
                lambda values: [f"- {values[0] & whole:x}", "ok"],
            )
        return Step(
            [standard("register_read_all", name)],
            lambda values: [
                *(f"- {one & whole:x}" for one in values[0][index : index + count]),
                "ok",
            ],
        )

    def _register_write(self, words: list[str]) -> Step:
        array, index, count = self.program.registers[int(words[0])], int(words[1]), int(words[2])
        value = int(words[3], 16)
        if value >> _CELL_BITS:
            raise Refused(f"BMv2 takes no more than {_CELL_BITS} bits for a register's cell")
        where = (text(array.name), i32(index), i32(index + count), i64(value))
        return Step([standard("register_write_range", *where)])

    def _counter_read(self, words: list[str]) -> Step:
        array, index, count = self.program.counters[int(words[0])], int(words[1]), int(words[2])
        calls = [
            standard("counter_read", text(array.name), i32(one))
            for one in range(index, index + count)
        ]
        return Step(calls, lambda values: [*(f"- {one[2]:x} {one[1]:x}" for one in values), "ok"])

    def _counter_write(self, words: list[str]) -> Step:
        array, index, count = self.program.counters[int(words[0])], int(words[1]), int(words[2])
        packets, size = int(words[3], 16), int(words[4], 16)
        if count == array.size and not packets and not size:
            return Step([standard("counter_reset_all", text(array.name))])
        value = count_of(packets, size)
        return Step(
            [
                standard("counter_write", text(array.name), i32(one), value)
                for one in range(index, index + count)
            ]
        )

    def _meter(self, what: str, words: Sequence[str], *more: Value) -> Call:
        meters = self.program.meters[int(words[0])]
        place = i32(int(words[1]))
        if meters.table is None:
            return standard(f"meter_{what}", text(meters.name), place, *more)
        return standard(
            f"mt_{what.replace('_rates', '_meter_rates')}", text(meters.table), place, *more
        )

    def _meter_read(self, words: list[str]) -> Step:
        def told(values: list[Any]) -> list[str]:
            words = " ".join(f"{one[1]!r} {one[2]}" for one in values[0])
            return [*([f"- {words}"] if words else []), "ok"]

        return Step([self._meter("get_rates", words)], told)

    def _meter_write(self, words: list[str]) -> Step:
        if len(words) == 2:
            raise Refused("BMv2 takes the rates of one meter away by a reset of all only")
        return Step([self._meter("set_rates", words, rates_of(words[2:]))])

    def meters_told(self) -> list[str]:
        """Lines of a state for the meters that have rates, of the first cells of each array."""
        wanted: list[tuple[int, int]] = []
        for number, meters in enumerate(self.program.meters):
            cells: Sequence[int] = range(min(meters.size, METERS_READ))
            if meters.table is not None:
                table = next(one for one in self.program.tables if one.name == meters.table)
                (entries,) = self.now([table_call("get_entries", table)])
                cells = [one[3] for one in entries[:METERS_READ]]
            wanted += [(number, cell) for cell in cells]
        calls = [self._meter("get_rates", [str(one) for one in each]) for each in wanted]
        return [
            " ".join(("- meter", str(number), str(cell), *(f"{x[1]!r} {x[2]}" for x in rates)))
            for (number, cell), rates in zip(wanted, self.now(calls), strict=True)
            if rates
        ]
