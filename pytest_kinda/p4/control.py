"""The control plane of a native P4 switch: tables, registers, counters, copies.

Names are those of the program; the last part is enough where it is unique (``ipv4_lpm`` for
``MyIngress.ipv4_lpm``). The protocol is that of ``runtime/control.h``: a line for each command.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import Action, Cells, MatchValue, Program, Table
from pytest_kinda.p4.values import Match, Natural, match_value, number, unpacked


class Channel(Protocol):
    """Carries command lines to a switch."""

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """The lines of each command's answer, the last of which begins with ok or error."""


@dataclass(frozen=True)
class TableEntry:
    """An entry as it stands in a switch; ``match`` by key name, ``params`` by parameter name."""

    handle: int
    match: Mapping[str, MatchValue]
    action: str
    params: Mapping[str, int]
    priority: int
    packets: int
    bytes: int


@dataclass(frozen=True)
class Dump:
    """What a table holds; ``default`` is None where it has no default action."""

    entries: tuple[TableEntry, ...]
    default: tuple[str, Mapping[str, int]] | None


@dataclass(frozen=True)
class NewEntry:
    """An entry to add: what ``TableControl.add`` takes."""

    match: Mapping[str, Match]
    action: str
    params: Mapping[str, Natural] = field(default_factory=dict)
    priority: int | None = None


@dataclass(frozen=True)
class Count:
    """A counter's value."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class Statistics:
    """Packets since the start or the last reset, those that were not sent by reason."""

    received: int
    sent: int
    dropped_by_program: int
    too_long: int
    too_many_passes: int
    failed_assertion: int
    priority_without_queue: int
    queue_full: int
    no_such_port: int
    send_failed: int


Item = TypeVar("Item")


def _find(items: Iterable[tuple[str, Item]], name: str, what: str) -> Item:
    listed = list(items)
    exact = [item for full, item in listed if full == name]
    found = exact or [item for full, item in listed if full.rsplit(".", 1)[-1] == name]
    if len(found) == 1:
        return found[0]
    names = [full for full, _ in listed]
    if found:
        same = [full for full in names if full.rsplit(".", 1)[-1] == name]
        raise P4ControlError(f"{what} {name!r} is ambiguous: {', '.join(same)}")
    last = {full.rsplit(".", 1)[-1]: full for full in names}
    near = [last[one] for one in difflib.get_close_matches(name.rsplit(".", 1)[-1], last)]
    rest = [full for full in names if full not in near]
    raise P4ControlError(f"no {what} {name!r}; the program has {', '.join(near + rest) or 'none'}")


class Control:
    """Commands for one switch that runs ``program``.

    Example:
        >>> control.table("ipv4_lpm").add(
        ...     match={"hdr.ipv4.dstAddr": "10.0.1.0/24"},
        ...     action="forward", params={"port": 2},
        ... )  # doctest: +SKIP
        0
    """

    def __init__(self, program: Program, channel: Channel) -> None:
        self.program = program
        self._channel = channel
        self._number = {action.id: i for i, action in enumerate(program.actions)}

    def ask(self, lines: Sequence[str], what: str) -> list[list[str]]:
        """Send commands and check every answer.

        Raises:
            P4ControlError: The switch refused one; it has carried out those before it and after.
        """
        answers = self._channel.ask(lines)
        for line, answer in zip(lines, answers, strict=True):
            if not answer[-1].startswith("ok"):
                raise P4ControlError(f"{what}: {answer[-1]} (command {line!r})")
        return answers

    def table(self, name: str) -> TableControl:
        """A table by its name."""
        found = _find(((one.name, one) for one in self.program.tables), name, "table")
        return TableControl(self, found, self.program.tables.index(found))

    def action(self, table: Table, name: str) -> tuple[Action, int]:
        """An action of a table, and its number in the protocol."""
        allowed = [self.program.actions_by_id[one] for one in table.actions]
        found = _find(((one.name, one) for one in allowed), name, f"action of {table.name}")
        return found, self._number[found.id]

    def register(self, name: str) -> RegisterControl:
        """A register array by its name."""
        found = _find(((one.name, one) for one in self.program.registers), name, "register")
        return RegisterControl(self, found, self.program.registers.index(found))

    def counter(self, name: str) -> CounterControl:
        """A counter array by its name; a direct counter is read with its table's entries."""
        found = _find(((one.name, one) for one in self.program.counters), name, "counter")
        if found.table:
            raise P4ControlError(
                f"counter {found.name} counts the entries of {found.table}",
                remedy=f"read table({found.table!r}).dump()",
            )
        return CounterControl(self, found, self.program.counters.index(found))

    def mirror(self, session: int, *, port: int | None = None, group: int = 0) -> None:
        """Say where copies of a clone session go: a port, a multicast group, both, or neither."""
        port_text = -1 if port is None else number(port, 16, "port")
        self.ask([f"mirror {session} {port_text} {group}"], f"mirror session {session}")

    def multicast(self, group: int, copies: Iterable[int | tuple[int, int]]) -> None:
        """Say to which ports a group's packets go: ports or (port, replica); none removes it."""
        pairs = [one if isinstance(one, tuple) else (one, 0) for one in copies]
        words = " ".join(f"{port} {replica}" for port, replica in pairs)
        self.ask([f"group {group} {words}".strip()], f"multicast group {group}")

    def statistics(self) -> Statistics:
        """What the switch has received, sent and lost."""
        words = self.ask(["statistics"], "statistics")[0][-1].split()[1:]
        return Statistics(*(int(word) for word in words))

    def loaded(self) -> str:
        """The digest of the program that the switch runs."""
        return self.ask(["program"], "program")[0][-1].split()[1]

    def reset(self) -> None:
        """Put the switch back to its start: declared entries, zeroed state, no copies."""
        self.ask(["reset"], "reset")


class TableControl:
    """The entries of one table."""

    def __init__(self, control: Control, table: Table, index: int) -> None:
        self.table = table
        self._control = control
        self._index = index

    def add(
        self,
        match: Mapping[str, Match],
        action: str,
        params: Mapping[str, Natural] | None = None,
        priority: int | None = None,
    ) -> int:
        """Add an entry.

        Args:
            match: What it wants of each key field; fields that are lpm, ternary or range may be
                left out, which matches everything.
            action: One of the table's actions.
            params: The action's parameters.
            priority: Of ternary and range tables: the smallest wins, as in BMv2.

        Returns:
            The entry's handle.

        Raises:
            P4ControlError: A name or value does not fit, or the switch refused the entry.
        """
        return self.add_all([NewEntry(match, action, params or {}, priority)])[0]

    def add_all(self, entries: Iterable[NewEntry]) -> list[int]:
        """Add many entries in one exchange; nothing is sent when one of them does not fit."""
        lines = [self._line(entry) for entry in entries]
        if not lines:
            return []
        answers = self._control.ask(lines, f"table {self.table.name}")
        return [int(answer[-1].split()[1]) for answer in answers]

    def _line(self, entry: NewEntry) -> str:
        if not self.table.keys:
            raise P4ControlError(f"table {self.table.name} has no key, only a default action")
        wanted = dict(entry.match)
        values = []
        for key in self.table.keys:
            names = {key.name, key.name.rsplit(".", 1)[-1]}
            short = [k for k in self.table.keys if k.name.rsplit(".", 1)[-1] in names]
            given = [name for name in wanted if name == key.name]
            if not given and len(short) == 1:
                given = [name for name in wanted if name in names]
            if given:
                values.append(match_value(key, wanted.pop(given[0])))
            elif key.match == "exact":
                raise P4ControlError(
                    f"table {self.table.name}: no match for {key.name}, which is exact"
                )
            else:
                values.append(match_value(key, None))
        if wanted:
            listed = ", ".join(f"{key.name} ({key.match})" for key in self.table.keys)
            raise P4ControlError(
                f"table {self.table.name}: no key field {', '.join(map(repr, wanted))}; "
                f"it has {listed}"
            )
        ordered = self.table.match in ("ternary", "range")
        if entry.priority is None and ordered:
            raise P4ControlError(
                f"table {self.table.name} is {self.table.match}: an entry needs a priority",
                remedy="give priority=1, 2, ...: the smallest wins",
            )
        if entry.priority is not None and not ordered:
            raise P4ControlError(f"table {self.table.name} is {self.table.match}: no priority")
        key_bytes, mask_bytes = packed(self.table, values)
        return (
            f"add {self._index} {entry.priority or 0} {key_bytes.hex()} {mask_bytes.hex()} "
            f"{self._call(entry.action, entry.params)}"
        )

    def _call(self, action: str, params: Mapping[str, Natural]) -> str:
        found, index = self._control.action(self.table, action)
        given = dict(params)
        words = [str(index)]
        for parameter in found.parameters:
            if parameter.name not in given:
                raise P4ControlError(f"action {found.name}: no value for {parameter.name}")
            what = f"{found.name}.{parameter.name}"
            words.append(f"{number(given.pop(parameter.name), parameter.width, what):x}")
        if given:
            listed = ", ".join(one.name for one in found.parameters) or "none"
            raise P4ControlError(
                f"action {found.name}: no parameter {', '.join(map(repr, given))}; it has {listed}"
            )
        return " ".join(words)

    def modify(self, handle: int, action: str, params: Mapping[str, Natural] | None = None) -> None:
        """Give an entry another action or other parameters."""
        call = self._call(action, params or {})
        self._ask(f"modify {self._index} {handle} {call}")

    def delete(self, handle: int) -> None:
        """Remove an entry."""
        self._ask(f"delete {self._index} {handle}")

    def clear(self) -> None:
        """Remove all entries; the default action stays."""
        self._ask(f"clear {self._index}")

    def default(self, action: str, params: Mapping[str, Natural] | None = None) -> None:
        """Set what happens to packets that match no entry."""
        self._ask(f"default {self._index} {self._call(action, params or {})}")

    def default_reset(self) -> None:
        """Set the default action back to the program's."""
        self._ask(f"default-reset {self._index}")

    def dump(self) -> Dump:
        """All entries with their counts, and the default action."""
        answer = self._ask(f"dump {self._index}")
        entries, default = [], None
        for line in answer[:-1]:
            words = line.split()[1:]
            if words[0] == "default":
                default = self._action(words[1:])
                continue
            handle, priority, key, mask, packets, size = words[:6]
            values = unpacked(self.table.keys, bytes.fromhex(key), bytes.fromhex(mask))
            action, params = self._action(words[6:])
            names = (one.name for one in self.table.keys)
            entries.append(
                TableEntry(
                    int(handle),
                    dict(zip(names, values, strict=True)),
                    action,
                    params,
                    int(priority),
                    int(packets),
                    int(size),
                )
            )
        return Dump(tuple(entries), default)

    def _action(self, words: Sequence[str]) -> tuple[str, Mapping[str, int]]:
        action = self._control.program.actions[int(words[0])]
        values = (int(word, 16) for word in words[1:])
        names = (one.name for one in action.parameters)
        return action.name, dict(zip(names, values, strict=True))

    def _ask(self, line: str) -> list[str]:
        return self._control.ask([line], f"table {self.table.name}")[0]


class _CellsControl:
    def __init__(self, control: Control, cells: Cells, index: int) -> None:
        self.cells = cells
        self._control = control
        self._index = index

    def _read(self, kind: str, index: int, count: int) -> list[list[int]]:
        self._check(index, count)
        line = f"{kind}-read {self._index} {index} {count}"
        answer = self._control.ask([line], f"{kind} {self.cells.name}")[0]
        return [[int(word, 16) for word in row.split()[1:]] for row in answer[:-1]]

    def _check(self, index: int, count: int) -> None:
        if index < 0 or count < 0 or index + count > self.cells.size:
            raise P4ControlError(
                f"{self.cells.name}: found index {index} and {count} cells; "
                f"expected indexes 0 to {self.cells.size - 1}"
            )


class RegisterControl(_CellsControl):
    """A register array."""

    def read(self, index: int) -> int:
        """One cell."""
        return self._read("register", index, 1)[0][0]

    def read_all(self) -> list[int]:
        """All cells."""
        return [row[0] for row in self._read("register", 0, self.cells.size)]

    def write(self, index: int, value: Natural, *, count: int = 1) -> None:
        """Write a value into one cell, or into ``count`` from ``index`` on."""
        self._check(index, count)
        found = number(value, self.cells.width, self.cells.name)
        line = f"register-write {self._index} {index} {count} {found:x}"
        self._control.ask([line], f"register {self.cells.name}")


class CounterControl(_CellsControl):
    """A counter array."""

    def read(self, index: int) -> Count:
        """One counter."""
        return Count(*self._read("counter", index, 1)[0])

    def read_all(self) -> list[Count]:
        """All counters."""
        return [Count(*row) for row in self._read("counter", 0, self.cells.size)]

    def reset(self) -> None:
        """Set all counters to zero."""
        line = f"counter-write {self._index} 0 {self.cells.size} 0 0"
        self._control.ask([line], f"counter {self.cells.name}")
