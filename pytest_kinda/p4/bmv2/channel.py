"""A channel to BMv2: the lines of ``runtime/control.h``'s protocol, carried out over Thrift.

Lines that need one call each go in one exchange, as many as there are in a row. What BMv2's
services cannot do is an error that says so.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kinda.p4.bmv2.calls import switch
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.controller import ControllerCommands
from pytest_kinda.p4.bmv2.profiles import ProfileCommands
from pytest_kinda.p4.bmv2.replication import ReplicationCommands
from pytest_kinda.p4.bmv2.steps import Refused, Step
from pytest_kinda.p4.bmv2.tables import METERS_READ, TableCommands
from pytest_kinda.p4.bmv2.thrift import i32, i64, text
from pytest_kinda.p4.program import Program
from pytest_kinda.p4.state import State, Thing

QUEUE_DEPTH = 1024
"""Packets that wait at a port where nothing else is said: BMv2's own 64 lose what TCP sends."""

CLOCK_ASKED = 20
"""Times that its clock is asked: the way there and back is what is not known of it."""


@dataclass
class Bmv2Channel(TableCommands, ProfileCommands, ReplicationCommands, ControllerCommands):
    """A channel for ``Control`` to a BMv2 that runs ``source``, the JSON text of ``program``.

    ``declared`` are the lines that are carried out after each reset. It carries out one exchange
    at a time; ``client`` is whom it asks, ``ends`` has its packets and digests.

    Example:
        >>> Control(program, Bmv2Channel(program, client, source)).table("t").clear()
        ... # doctest: +SKIP
    """

    source: str = ""
    declared: Sequence[str] = ()

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Carry out commands; see ``Control``. Raises P4ControlError where the switch is gone."""
        answers: list[list[str]] = []
        waiting: list[Step] = []
        for line in lines:
            name, *words = line.split()
            try:
                if name in _ALONE:
                    answers += self._carried_out(waiting)
                    waiting = []
                    answers.append(_ALONE[name](self, words))
                    continue
                waiting.append(self._step(name, words))
            except Refused as why:
                answers += self._carried_out(waiting)
                waiting = []
                answers.append([f"error {why}"])
        return answers + self._carried_out(waiting)

    def _step(self, name: str, words: list[str]) -> Step:
        if name not in _COMMANDS:
            raise Refused(_LACKING.get(name, f"BMv2's control channel has no {name}"))
        return _COMMANDS[name](self, words)

    def _carried_out(self, steps: Sequence[Step]) -> list[list[str]]:
        found = self.client.all([call for step in steps for call in step.calls])
        answers, at = [], 0
        for step in steps:
            mine = found[at : at + len(step.calls)]
            at += len(step.calls)
            answers.append(step.finished(mine))
        return answers

    # ---- the switch as a whole ----

    def _reset(self, words: list[str]) -> list[str]:
        """The program loaded again: BMv2's own reset takes away entries that a program declares."""
        before = [switch("set_all_egress_queue_rates", i64(0))]  # what waits for long keeps a swap
        swap = [
            Call("standard", "bm_load_new_config", (text(self.source),)),
            Call("standard", "bm_swap_configs"),
        ]
        self.now([*before, *swap, *self.groups_gone()])
        self.client.all(self.sessions_gone())  # most of them have not been there
        self.ends.renew(digests=bool(self.program.digests))
        answer = self.declare()
        return self._state(words) if answer == ["ok"] else answer

    def _state(self, words: list[str]) -> list[str]:
        """What was told it, as ``runtime/state.h`` says it, as far as BMv2 tells it again."""
        lines = []
        for number, table in enumerate(self.program.tables):
            if table.entries is not None:
                continue  # nobody can change them
            for row in self._dump([str(number)])[:-1]:
                _, handle, *rest = row.split()
                if handle == "default":
                    lines.append(f"- default {number} {' '.join(rest)}")
                else:
                    what = " ".join((*rest[:3], *rest[5:]))
                    lines.append(f"- entry {number} {what}")
        for number in range(len(self.program.profiles)):
            for row in self._profile_dump([str(number)])[:-1]:
                _, kind, handle, *rest = row.split()
                name = "member" if kind == "m" else "members"
                lines.append(" ".join(("-", name, str(number), handle, *rest)))
        for number in range(len(self.program.value_sets)):
            ((*rows, _),) = self._carried_out([self._value_read([str(number)])])
            lines += [f"- value {number} {row[2:]}" for row in rows]
        return [*lines, *self.meters_told(), *self.sessions_told(), *self.groups_told(), "ok"]

    def declare(self) -> list[str]:
        """Carry out the declared lines; a line that begins with ``#`` names those after it."""
        self.now(self.samples_at_once())
        note = "declared commands"
        notes, lines = [note], [f"queue-depth -1 {QUEUE_DEPTH}"]
        for line in self.declared:
            if line.startswith("#"):
                note = line[1:].strip()
            elif line:
                notes.append(note)
                lines.append(line)
        for note, answer in zip(notes, self.ask(lines), strict=True):
            if not answer[-1].startswith("ok"):
                return [f"error {note}: {answer[-1]}"]
        return ["ok"]

    def _program(self, words: list[str]) -> Step:
        def told(values: list[Any]) -> list[str]:
            known = hashlib.md5(self.source.encode(), usedforsecurity=False).digest()
            loaded = self.program.digest if values[0] == known else f"md5:{values[0].hex()}"
            return [f"ok {loaded}"]

        return Step([Call("standard", "bm_get_config_md5")], told)

    def _ports(self, words: list[str]) -> Step:
        def told(values: list[Any]) -> list[str]:
            ports = sorted(values[0], key=lambda one: int(one[1]))
            states = ("up" if one[3] else "down" for one in ports)
            names = (one[2].decode("utf-8", "replace") for one in ports)
            rows = zip(ports, names, states, strict=True)
            return [*(f"- {one[1]} {name} {state}" for one, name, state in rows), "ok"]

        return Step([Call("standard", "bm_dev_mgr_show_ports")], told)

    def _clock(self, words: list[str]) -> list[str]:
        """When its clock began: of some answers the one that took the least time, at its middle."""
        best = (0, 0)
        for _ in range(CLOCK_ASKED):
            before = time.monotonic_ns()
            (elapsed,) = self.now([switch("get_time_elapsed_us")])
            took = time.monotonic_ns() - before
            if not best[0] or took < best[0]:
                best = (took, (before + took // 2) // 1000 - elapsed)
        return [f"ok {best[1]}"]

    def _attach(self, words: list[str]) -> list[str]:
        number = i32(int(words[0]))
        remove = Call("standard", "bm_dev_mgr_remove_port", (number,))
        add = Call("standard", "bm_dev_mgr_add_port", (text(words[1]), number, text("")))
        _, added = self.client.all([remove, add])  # it may have had no such port
        return [f"error port {words[0]}: {added.error}" if added.error else "ok"]


def _alone(
    command: Callable[[Bmv2Channel, list[str]], list[str]],
) -> Callable[[Bmv2Channel, list[str]], list[str]]:
    """A command that needs several exchanges; what is refused in one of them is its answer."""

    def run(channel: Bmv2Channel, words: list[str]) -> list[str]:
        try:
            return command(channel, words)
        except Refused as why:
            return [f"error {why}"]

    return run


def told_again(program: Program, state: State) -> State:
    """Of a state, what BMv2 was told and tells again; the copies of a group in order."""
    constant = {n for n, one in enumerate(program.tables) if one.entries is not None}

    def is_told(kind: str | int, number: str | int, cell: str | int = 0) -> bool:
        if kind == "meter":
            return int(cell) < METERS_READ
        if kind in ("entry", "default"):
            return number not in constant
        return kind in ("member", "members", "value", "mirror", "group")

    found: dict[Thing, str] = {}
    for thing, value in state.items():
        if thing[1:] and is_told(*thing[:3]):
            found[thing] = _in_order(value) if thing[0] == "group" else value
    return found


def _in_order(copies: str) -> str:
    words = [int(one) for one in copies.split()]
    pairs = sorted(zip(words[::2], words[1::2], strict=True))
    return " ".join(f"{port} {replica}" for port, replica in pairs)


_COMMANDS: dict[str, Callable[[Bmv2Channel, list[str]], Step]] = {
    "add": Bmv2Channel._add,
    "modify": Bmv2Channel._modify,
    "delete": Bmv2Channel._delete,
    "clear": Bmv2Channel._clear,
    "default": Bmv2Channel._default,
    "default-reset": Bmv2Channel._default_reset,
    "timeout": Bmv2Channel._timeout,
    "idle": Bmv2Channel._idle,
    "register-read": Bmv2Channel._register_read,
    "register-write": Bmv2Channel._register_write,
    "counter-read": Bmv2Channel._counter_read,
    "counter-write": Bmv2Channel._counter_write,
    "meter-read": Bmv2Channel._meter_read,
    "meter-write": Bmv2Channel._meter_write,
    "member-add": Bmv2Channel._member_add,
    "member-modify": Bmv2Channel._member_modify,
    "member-delete": Bmv2Channel._member_delete,
    "group-add": Bmv2Channel._group_add,
    "group-delete": Bmv2Channel._group_delete,
    "group-join": Bmv2Channel._group_join,
    "group-leave": Bmv2Channel._group_leave,
    "value-add": Bmv2Channel._value_add,
    "value-remove": Bmv2Channel._value_remove,
    "value-clear": Bmv2Channel._value_clear,
    "value-read": Bmv2Channel._value_read,
    "mirror": Bmv2Channel._mirror,
    "queue-priorities": lambda channel, words: Step([]),  # as it was started
    "queue-rate": Bmv2Channel._queue_rate,
    "queue-depth": Bmv2Channel._queue_depth,
    "program": Bmv2Channel._program,
    "ports": Bmv2Channel._ports,
}
_ALONE: dict[str, Callable[[Bmv2Channel, list[str]], list[str]]] = {
    "attach": _alone(Bmv2Channel._attach),
    "clock": _alone(Bmv2Channel._clock),
    "digest-take": _alone(Bmv2Channel._digest_take),
    "dump": _alone(Bmv2Channel._dump),
    "group": _alone(Bmv2Channel._group),
    "packet-send": _alone(Bmv2Channel._packet_send),
    "packets-take": _alone(Bmv2Channel._packets_take),
    "profile-dump": _alone(Bmv2Channel._profile_dump),
    "reset": _alone(Bmv2Channel._reset),
    "state": _alone(Bmv2Channel._state),
}
_LACKING = {
    "statistics": "BMv2 does not count what it receives: read the counters of its interfaces",
}
