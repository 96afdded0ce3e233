"""The control plane of a native P4 switch: tables, registers, counters, copies.

Names are those of the program; the last part is enough where it is unique (``ipv4_lpm`` for
``MyIngress.ipv4_lpm``). The protocol is that of ``runtime/control.h``: a line for each command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.control_objects import (
    DigestControl,
    MeterControl,
    ProfileControl,
    ValueSetControl,
)
from pytest_kinda.p4.control_values import (
    Choice,
    Count,
    Dump,
    Group,
    Member,
    NewEntry,
    Rate,
    Statistics,
    TableEntry,
    find,
)
from pytest_kinda.p4.objects import Profile
from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import Action, Cells, Program, Table
from pytest_kinda.p4.state import State, read_state
from pytest_kinda.p4.values import Match, Natural, match_value, number, unpacked

__all__ = [
    "Channel",
    "Choice",
    "Control",
    "Count",
    "CounterControl",
    "Dump",
    "Group",
    "Member",
    "NewEntry",
    "Rate",
    "RegisterControl",
    "Statistics",
    "TableControl",
    "TableEntry",
]


class Channel(Protocol):
    """Carries command lines to a switch."""

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """The lines of each command's answer, the last of which begins with ok or error."""


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
        found = find(((one.name, one) for one in self.program.tables), name, "table")
        return TableControl(self, found, self.program.tables.index(found))

    def action(self, table: Table | Profile, name: str) -> tuple[Action, int]:
        """An action of a table or action profile, and its number in the protocol."""
        # tables that share a profile have each their copy of an action, with the same name
        actions = (self.program.actions_by_id[one] for one in table.actions)
        found = find({one.name: one for one in actions}.items(), name, f"action of {table.name}")
        return found, self._number[found.id]

    def call(self, owner: Table | Profile, action: str, params: Mapping[str, Natural]) -> str:
        """The words that name an action with its parameters."""
        found, index = self.action(owner, action)
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

    def called(self, words: Sequence[str]) -> tuple[str, Mapping[str, int]]:
        """The action and its parameters that such words name."""
        action = self.program.actions[int(words[0])]
        values = (int(word, 16) for word in words[1:])
        names = (one.name for one in action.parameters)
        return action.name, dict(zip(names, values, strict=True))

    def register(self, name: str) -> RegisterControl:
        """A register array by its name."""
        found = find(((one.name, one) for one in self.program.registers), name, "register")
        return RegisterControl(self, found, self.program.registers.index(found))

    def counter(self, name: str) -> CounterControl:
        """A counter array by its name; a direct counter is read with its table's entries."""
        found = find(((one.name, one) for one in self.program.counters), name, "counter")
        if found.table:
            raise P4ControlError(
                f"counter {found.name} counts the entries of {found.table}",
                remedy=f"read table({found.table!r}).dump()",
            )
        return CounterControl(self, found, self.program.counters.index(found))

    def meter(self, name: str) -> MeterControl:
        """A meter array by its name, or the meter of each entry of a table."""
        found = find(((one.name, one) for one in self.program.meters), name, "meter")
        return MeterControl(self, found, self.program.meters.index(found))

    def profile(self, name: str) -> ProfileControl:
        """An action profile or selector by its name."""
        found = find(((one.name, one) for one in self.program.profiles), name, "action profile")
        return ProfileControl(self, found, self.program.profiles.index(found))

    def value_set(self, name: str) -> ValueSetControl:
        """A parser value set by its name."""
        found = find(((one.name, one) for one in self.program.value_sets), name, "value set")
        return ValueSetControl(self, found, self.program.value_sets.index(found))

    def digest(self, name: str) -> DigestControl:
        """What a program sends by ``digest``, by the name that p4c gives the list."""
        found = find(((one.name, one) for one in self.program.digests), name, "digest")
        return DigestControl(self, found, self.program.digests.index(found))

    def mirror(self, session: int, *, port: int | None = None, group: int = 0) -> None:
        """Say where copies of a clone session go: a port, a multicast group, both, or neither."""
        port_text = -1 if port is None else number(port, 16, "port")
        self.ask([f"mirror {session} {port_text} {group}"], f"mirror session {session}")

    def multicast(self, group: int, copies: Iterable[int | tuple[int, int]]) -> None:
        """Say to which ports a group's packets go: ports or (port, replica); none removes it."""
        pairs = [one if isinstance(one, tuple) else (one, 0) for one in copies]
        words = " ".join(f"{port} {replica}" for port, replica in pairs)
        self.ask([f"group {group} {words}".strip()], f"multicast group {group}")

    def queue_rate(
        self, packets_per_second: int, port: int | None = None, priority: int | None = None
    ) -> None:
        """Say how many packets a second leave by a port, or by each of all; 0: no limit.

        A port's queues have their own rates: with ``priority`` it is that of one, else of each.
        """
        self._queue("rate", packets_per_second, port, priority)

    def queue_depth(
        self, packets: int, port: int | None = None, priority: int | None = None
    ) -> None:
        """Say how many packets wait in a queue that has a rate, 64 unless said; more are lost."""
        self._queue("depth", packets, port, priority)

    def _queue(self, what: str, value: int, port: int | None, priority: int | None) -> None:
        words = [str(-1 if port is None else port), str(value)]
        words += [] if priority is None else [str(priority)]
        self.ask([f"queue-{what} {' '.join(words)}"], f"queue {what}")

    def ports(self) -> dict[int, tuple[str, str]]:
        """Its ports by number: the interface, and whether that is ``up``, ``down`` or ``gone``."""
        rows = (line.split() for line in self.ask(["ports"], "ports")[0][:-1])
        return {int(number): (interface, state) for _, number, interface, state in rows}

    def statistics(self) -> Statistics:
        """What the switch has received, sent and lost."""
        words = self.ask(["statistics"], "statistics")[0][-1].split()[1:]
        return Statistics(*(int(word) for word in words))

    def loaded(self) -> str:
        """The digest of the program that the switch runs."""
        return self.running()[0]

    def running(self) -> tuple[str, str]:
        """That digest, and the file of commands that it was started with (``-``: none).

        BMv2 does not say the second, which is empty then.
        """
        words = self.ask(["program"], "program")[0][-1].split()[1:]
        return words[0], words[1] if len(words) > 1 else ""

    def clock_start(self) -> int:
        """When its clock began, in microseconds of the machine's monotonic clock.

        Added to the times that its program sees, it makes those of several switches comparable.
        """
        return int(self.ask(["clock"], "clock")[0][-1].split()[1])

    def reset(self) -> State:
        """Put the switch back to its start: declared entries, zeroed state, no copies.

        Answers with what it holds then, read before the next packet.
        """
        return read_state(self.ask(["reset"], "reset")[0][:-1])

    def state(self) -> State:
        """All that it holds and has counted, see ``p4.state``."""
        return read_state(self.ask(["state"], "state")[0][:-1])


class TableControl:
    """The entries of one table."""

    def __init__(self, control: Control, table: Table, index: int) -> None:
        self.table = table
        self._control = control
        self._index = index

    def add(
        self,
        match: Mapping[str, Match],
        action: str | Choice,
        params: Mapping[str, Natural] | None = None,
        priority: int | None = None,
    ) -> int:
        """Add an entry.

        Args:
            match: What it wants of each key field; fields that are lpm, ternary or range may be
                left out, which matches everything.
            action: One of the table's actions; where it has an action profile, a ``Member``
                or a ``Group`` of that.
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

    def _call(self, action: str | Choice, params: Mapping[str, Natural]) -> str:
        if isinstance(action, str):
            if self.table.profile is not None:
                raise P4ControlError(
                    f"table {self.table.name} has the action profile {self.table.profile}: found "
                    f"the action {action!r}; expected a Member or a Group of the profile",
                    remedy=f"profile({self.table.profile!r}).add(...) makes a member",
                )
            return self._control.call(self.table, action, params)
        if self.table.profile is None:
            raise P4ControlError(
                f"table {self.table.name} has no action profile: found {action!r}; "
                "expected the name of an action"
            )
        return f"{'m' if isinstance(action, Member) else 'g'} {action.handle}"

    def modify(
        self, handle: int, action: str | Choice, params: Mapping[str, Natural] | None = None
    ) -> None:
        """Give an entry another action or other parameters."""
        call = self._call(action, params or {})
        self._ask(f"modify {self._index} {handle} {call}")

    def delete(self, handle: int) -> None:
        """Remove an entry."""
        self._ask(f"delete {self._index} {handle}")

    def clear(self) -> None:
        """Remove all entries; the default action stays."""
        self._ask(f"clear {self._index}")

    def default(self, action: str | Choice, params: Mapping[str, Natural] | None = None) -> None:
        """Set what happens to packets that match no entry."""
        self._ask(f"default {self._index} {self._call(action, params or {})}")

    def default_reset(self) -> None:
        """Set the default action back to the program's."""
        self._ask(f"default-reset {self._index}")

    def dump(self) -> Dump:
        """All entries with their counts, and the default action."""
        answer = self._ask(f"dump {self._index}")
        entries = []
        default, default_choice = None, None
        for line in answer[:-1]:
            words = line.split()[1:]
            if words[0] == "default":
                default, default_choice = self._bound(words[1:])
                continue
            handle, priority, key, mask, packets, size = words[:6]
            values = unpacked(self.table.keys, bytes.fromhex(key), bytes.fromhex(mask))
            called, choice = self._bound(words[6:])
            action, params = called or ("", {})
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
                    choice,
                )
            )
        return Dump(tuple(entries), default, default_choice)

    def set_timeout(self, handle: int, milliseconds: int) -> None:
        """Let an entry count as idle when no packet hits it for so long; 0: never.

        Raises:
            P4ControlError: The table was declared without ``support_timeout``.
        """
        self._ask(f"timeout {self._index} {handle} {number(milliseconds, 32, 'timeout')}")

    def idle(self) -> list[int]:
        """The handles of the entries that no packet has hit for as long as their timeout."""
        return [int(line.split()[1]) for line in self._ask(f"idle {self._index}")[:-1]]

    def _bound(
        self, words: Sequence[str]
    ) -> tuple[tuple[str, Mapping[str, int]] | None, Choice | None]:
        if words[0] == "m":
            return None, Member(int(words[1]))
        if words[0] == "g":
            return None, Group(int(words[1]))
        return self._control.called(words), None

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
