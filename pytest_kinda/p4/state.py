"""What a native switch holds: as it says by ``state``, and as declared commands leave it.

A state is a mapping from what something is (``("register", 0, 5)``: cell 5 of the first array) to
its value; what is as in a switch without entries that has seen no packet is not in it. The names
and numbers are those of the control protocol, see ``runtime/state.h`` and ``runtime/control.h``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import ActionEntry, Program

Thing: TypeAlias = tuple[str | int, ...]
State: TypeAlias = Mapping[Thing, str]

PORTS = 512
PRIORITIES = 8
DEPTH = 64
"""Packets that wait in a queue of which nothing was said: BMv2's."""

_KEY_WORDS = {"default": 1, "priorities": 0, "digest": 1, "controller": 0, "statistics": 0}
"""How many words of a line say what it is of; two where it is not said here."""


def read_state(lines: Iterable[str]) -> State:
    """The state that a switch has told, without the line that ends its answer.

    >>> read_state(["- register 0 5 1f", "- entry 1 0 0a ff 3 2"])
    {('register', 0, 5): '1f', ('entry', 1, '0 0a ff'): '3 2'}
    """
    found: dict[Thing, str] = {}
    for line in lines:
        _, kind, *words = line.split()
        if kind == "entry":
            found[kind, int(words[0]), " ".join(words[1:4])] = " ".join(words[4:])
        elif kind == "value":
            found[kind, int(words[0]), words[1]] = ""
        else:
            count = _KEY_WORDS.get(kind, 1 if kind in ("mirror", "group") else 2)
            value = _rates(words[count:]) if kind == "meter" else " ".join(words[count:])
            thing: Thing = (kind, *(int(one) for one in words[:count]))
            found[thing] = value
    return found


def declared_state(program: Program, lines: Iterable[str]) -> State:
    """The state of a switch that has just started, or been reset, with these declared commands.

    Raises KeyError for a command that this does not know.
    """
    return _Declared(program).after(lines)


def differences(program: Program, wanted: State, found: State) -> list[str]:
    """What is otherwise, in words; empty where both are equal."""
    told = []
    for thing in sorted({*wanted, *found}, key=str):
        if wanted.get(thing) != found.get(thing):
            told.append(
                f"{_named(program, thing)}: found {_shown(found.get(thing))}, "
                f"expected {_shown(wanted.get(thing))}"
            )
    return told


def _shown(value: str | None) -> str:
    return "nothing" if value is None else repr(value) if value else "it"


def _named(program: Program, thing: Thing) -> str:
    kind, *rest = thing
    arrays: Mapping[str, Sequence[object]] = {
        "entry": program.tables,
        "default": program.tables,
        "hits": program.tables,
        "register": program.registers,
        "counter": program.counters,
        "meter": program.meters,
        "member": program.profiles,
        "members": program.profiles,
        "value": program.value_sets,
        "digest": program.digests,
    }
    if kind in arrays:
        name = getattr(arrays[str(kind)][int(rest[0])], "name", "")
        return " ".join([f"{kind} of {name}", *(str(one) for one in rest[1:])])
    return " ".join(str(one) for one in thing)


def _rates(words: Sequence[str]) -> str:
    """Rates as one text, however they were written."""
    return " ".join(
        f"{float(one):.12g}" if i % 2 == 0 else str(int(one)) for i, one in enumerate(words)
    )


class _Declared:
    """Carries commands out on paper. Handles are the lowest free ones, as in the switch."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.found: dict[Thing, str] = {}
        self._actions = {action.id: i for i, action in enumerate(program.actions)}
        self._handles: list[dict[int, Thing]] = [{} for _ in program.tables]
        for number, table in enumerate(program.tables):
            for entry in table.entries or ():
                key, mask = packed(table, entry.key)
                what = f"{entry.priority} {key.hex() or '-'} {mask.hex() or '-'}"
                self._enter(number, what, self._call(entry.action))
            self._default(number)

    def after(self, lines: Iterable[str]) -> State:
        """The state after these commands."""
        for line in lines:
            if line and not line.startswith("#"):
                name, *words = line.split()
                self._run(name, words)
        return self.found

    def _run(self, name: str, words: list[str]) -> None:
        if name in ("add", "modify", "delete", "clear", "default", "default-reset"):
            self._tables(name, words)
        elif name in ("register-write", "counter-write"):
            value = " ".join(words[3:])
            first, count = int(words[1]), int(words[2])
            for index in range(first, first + count):
                kind = name.partition("-")[0]
                self._set((kind, int(words[0]), index), "" if set(words[3:]) == {"0"} else value)
        elif name == "meter-write":
            self._set(("meter", int(words[0]), int(words[1])), _rates(words[2:]))
        elif name.startswith(("member-", "group-")):
            self._profiles(name, words)
        elif name.startswith("value-"):
            self._values(name, words)
        elif name == "mirror":
            there = words[1] != "-1" or words[2] != "0"
            self._set((name, int(words[0])), " ".join(words[1:]) if there else "")
        elif name == "group":
            self._set((name, int(words[0])), " ".join(words[1:]))
        elif name.startswith("queue-"):
            self._queues(name, words)
        elif name != "timeout":  # what an entry has without being hit is no state
            raise KeyError(name)

    def _set(self, thing: Thing, value: str) -> None:
        if value:
            self.found[thing] = value
        else:
            self.found.pop(thing, None)

    def _call(self, entry: ActionEntry) -> str:
        values = (f"{one:x}" for one in entry.arguments)
        return " ".join([str(self._actions[entry.action]), *values])

    def _default(self, table: int) -> None:
        one = self.program.tables[table]
        call = "" if one.default is None or one.profile else self._call(one.default)
        self._set(("default", table), call)

    def _enter(self, table: int, what: str, call: str) -> None:
        thing = ("entry", table, what)
        self._handles[table][_lowest(self._handles[table])] = thing
        self.found[thing] = call

    def _leave(self, table: int, handle: int) -> None:
        self.found.pop(self._handles[table].pop(handle))
        for number, meter in enumerate(self.program.meters):
            if meter.name == self.program.tables[table].meter:
                self.found.pop(("meter", number, handle), None)

    def _tables(self, name: str, words: list[str]) -> None:
        table, rest = int(words[0]), words[1:]
        if name == "add":
            self._enter(table, " ".join(rest[:3]), " ".join(rest[3:]))
        elif name == "modify":
            self.found[self._handles[table][int(rest[0])]] = " ".join(rest[1:])
        elif name == "delete":
            self._leave(table, int(rest[0]))
        elif name == "clear":
            for handle in list(self._handles[table]):
                self._leave(table, handle)
        elif name == "default":
            self._set(("default", table), " ".join(rest))
        else:
            self._default(table)

    def _profiles(self, name: str, words: list[str]) -> None:
        kind, _, change = name.partition("-")
        profile, rest = int(words[0]), words[1:]
        what = "member" if kind == "member" else "members"
        there = {int(key[2]): key for key in self.found if key[:2] == (what, profile)}
        if change == "add":
            self.found[what, profile, _lowest(there)] = " ".join(rest)
        elif change == "delete":
            del self.found[what, profile, int(rest[0])]
        elif change == "modify":
            self.found[what, profile, int(rest[0])] = " ".join(rest[1:])
        else:
            thing = (what, profile, int(rest[0]))
            members = {int(one) for one in self.found[thing].split()}
            members ^= {int(rest[1])}
            self.found[thing] = " ".join(str(one) for one in sorted(members))

    def _values(self, name: str, words: list[str]) -> None:
        if name == "value-clear":
            for thing in [one for one in self.found if one[:2] == ("value", int(words[0]))]:
                del self.found[thing]
        elif name == "value-add":
            self.found["value", int(words[0]), words[1]] = ""
        else:
            self.found.pop(("value", int(words[0]), words[1]), None)

    def _queues(self, name: str, words: list[str]) -> None:
        if name == "queue-priorities":
            self._set(("priorities",), "" if words[0] == "1" else words[0])
            return
        port, value = int(words[0]), int(words[1])
        ports = range(PORTS) if port < 0 else (port,)
        priorities = range(PRIORITIES) if len(words) < 3 else (int(words[2]),)
        for thing in (("queue", one, each) for one in ports for each in priorities):
            gap, depth = self.found.get(thing, f"0 {DEPTH}").split()
            if name == "queue-rate":
                gap = str(1_000_000_000 // value if value else 0)
            else:
                depth = str(value)
            self._set(thing, "" if (gap, depth) == ("0", str(DEPTH)) else f"{gap} {depth}")


def _lowest(taken: Iterable[int]) -> int:
    there = set(taken)
    return next(one for one in range(len(there) + 1) if one not in there)
