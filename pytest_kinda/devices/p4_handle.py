"""What a test holds of a ``P4Switch``: its ports, tables, registers, counters and copies."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_kinda.devices.p4 import DECLARED, FOLDER, PROGRAM, SOURCE
from pytest_kinda.devices.p4_entries import in_words, one_towards, told
from pytest_kinda.errors import HostError, P4ControlError, UnknownNameError
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.control import (
    Control,
    CounterControl,
    RegisterControl,
    Statistics,
    TableControl,
)
from pytest_kinda.p4.program import Program
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.p4.sockets import AT_ONCE, Answers
from pytest_kinda.testbed.devices import DeviceHandle
from pytest_kinda.testbed.processes import Execution, Session

ANSWER_LIMIT = 30.0
"""Seconds for one exchange with a switch."""


@dataclass(frozen=True)
class P4Port:
    """A port of a P4 switch.

    ``number`` is what the program calls it; ``mac`` and ``address`` (empty without one) are the
    plan's for it, for the program to use: the switch's kernel has neither.
    """

    number: int
    interface: str
    link: str
    peers: tuple[str, ...]
    mac: str
    address: str

    def __str__(self) -> str:
        return in_words(self.number, self.interface, self.link, self.peers)


class P4SwitchHandle(DeviceHandle):
    """A device that a P4 program makes a switch. Example::

    s1 = kinda.device("s1")
    s1.table("ipv4_lpm").add(
        match={"dst": "10.0.2.0/24"}, action="forward", params={"port": s1.port("h2")}
    )
    assert s1.counter("received").read(s1.port("h1")).packets == 0
    """

    @property
    def engine(self) -> str:
        """What runs its program: ``native``."""
        return "native"

    @cached_property
    def program(self) -> Program:
        """The program that it was declared with. Raises ProgramError."""
        return parse_program(self._file(SOURCE).encode(), self.planned.name)

    @property
    def ports(self) -> tuple[P4Port, ...]:
        """Its ports in the order of its links."""
        return tuple(
            P4Port(
                self.planned.port_numbers[one.name],
                one.name,
                one.segment,
                one.peers,
                one.mac,
                next((each.partition("/")[0] for each in one.addresses), ""),
            )
            for one in self.planned.interfaces
        )

    def port(self, towards: str) -> int:
        """The number of the port towards a neighbour, or of a link or interface.

        Raises UnknownNameError for a name that means none or several.
        """
        try:
            found = one_towards(
                self.name, self.planned.interfaces, towards, self.planned.port_numbers
            )
        except P4ControlError as error:
            raise UnknownNameError(error.message) from error
        return self.planned.port_numbers[found.name]

    @property
    def control(self) -> Control:
        """All that a test can tell it; the methods below are the usual part."""
        return Control(self.program, self._channel)

    def table(self, name: str) -> TableControl:
        """A table by its name. Raises P4ControlError with the names there are, nearest first."""
        return self.control.table(name)

    def register(self, name: str) -> RegisterControl:
        """A register array by its name. Raises P4ControlError."""
        return self.control.register(name)

    def counter(self, name: str) -> CounterControl:
        """A counter array by its name. Raises P4ControlError."""
        return self.control.counter(name)

    def mirror(self, session: int, *, port: int | None = None, group: int = 0) -> None:
        """Say where copies of a clone session go. Raises P4ControlError."""
        self.control.mirror(session, port=port, group=group)

    def multicast(self, group: int, copies: Iterable[int | tuple[int, int]]) -> None:
        """Say to which ports a group's packets go. Raises P4ControlError."""
        self.control.multicast(group, copies)

    def statistics(self) -> Statistics:
        """What it has received, sent and lost since the start or the last reset."""
        return self.control.statistics()

    def commands(self, commands: str | Path) -> None:
        """Carry out BMv2's runtime commands: a file, or the text of one. Raises P4ControlError."""
        if isinstance(commands, Path):
            run_commands(commands.read_text("utf-8"), self.control, name=commands.name)
        else:
            run_commands(commands, self.control)

    def log(self) -> str:
        """What its process has said; empty where all is well."""
        return self.read_text(f"{FOLDER}/log")

    def reset(self) -> None:
        """Its declared entries and nothing else, zeroed registers and counters.

        What is done after each test; the entries are read again. Raises P4ControlError where they
        are not as declared then.
        """
        self.control.reset()
        if differences := self._differences():
            raise P4ControlError(
                f"{self.name}: not as declared after a reset: {'; '.join(differences)}",
                remedy="a switch that has started again has another state",
            )

    def put_back(self) -> None:
        """``reset``."""
        self.reset()

    def close(self) -> None:
        """End the connection to its process, which goes on."""
        self._channel.close()

    def _file(self, path: str) -> str:
        assert self.planned.device is not None
        return next(one.text for one in self.planned.device.files if one.path == path)

    @cached_property
    def _channel(self) -> _Channel:
        ports = told(self.planned.interfaces, self.planned.port_numbers)
        return _Channel(self.name, self._execution, ports)

    def _differences(self) -> list[str]:
        """What its tables and program have that was not declared, or lack."""
        found = []
        if (loaded := self.control.loaded()) != self.program.digest:
            found.append(f"it runs the program {loaded[:12]}, not {self.program.digest[:12]}")
        declared: dict[int, set[str]] = {}
        defaults: dict[int, str] = {}
        cleared = set()
        for line in self._file(DECLARED).splitlines():
            words = line.split()
            if words[0] == "add":
                declared.setdefault(int(words[1]), set()).add(" ".join(words[2:]))
            elif words[0] == "default":
                defaults[int(words[1])] = " ".join(words[2:])
            elif words[0] == "clear":
                cleared.add(int(words[1]))
        keyed = [
            (number, table)
            for number, table in enumerate(self.program.tables)
            if table.keys and number not in cleared
        ]
        answers = self._channel.ask([f"dump {number}" for number, _ in keyed])
        for (number, table), answer in zip(keyed, answers, strict=True):
            rows = [line.split()[1:] for line in answer[:-1]]
            there = {" ".join((*row[1:4], *row[6:])) for row in rows if row and row[0] != "default"}
            default = next((" ".join(row[1:]) for row in rows if row[:1] == ["default"]), "")
            if defaults.get(number, default) != default:
                found.append(f"table {table.name} has another default action")
            wanted = declared.get(number, set())
            extra = len(there - wanted) - len(table.entries or ())
            if missing := wanted - there:
                found.append(f"table {table.name} lacks {len(missing)} entries")
            if extra:
                found.append(f"table {table.name} has {extra} entries too many")
        return found


class _Channel:
    """Commands to a switch over one exec in its container, which stays until it is closed."""

    def __init__(self, name: str, execution: Execution, ports: str) -> None:
        self._name = name
        self._execution = execution
        self._ports = ports
        self._session: Session | None = None
        self._fresh = True
        self._answers = Answers()
        self._lock = threading.Lock()

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Carry out commands. Raises P4ControlError where the switch is gone."""
        with self._lock:
            try:
                return self._asked(lines)
            except P4ControlError:
                # it may have started again since: once more, in a new exec
                again = self._session is not None and not self._fresh
                self._end()
                if not again:
                    raise
                return self._asked(lines)

    def _asked(self, lines: Sequence[str]) -> list[list[str]]:
        self._fresh = self._session is None
        if self._session is None:
            self._answers = Answers()
            try:
                self._session = self._execution.start((PROGRAM, "--ask", FOLDER), stdin=True)
            except HostError as error:
                raise P4ControlError(f"{self._name}: {error.message}") from error
        answers: list[list[str]] = []
        said = bytearray()
        timer = threading.Timer(ANSWER_LIMIT, self._session.close)
        timer.daemon = True
        timer.start()
        try:
            for start in range(0, len(lines), AT_ONCE):
                part = lines[start : start + AT_ONCE]
                with suppress(OSError):  # the exec has ended: what it said is to be read
                    self._session.write("".join(f"{line}\n" for line in part).encode())
                wanted = len(answers) + len(part)
                while len(answers) < wanted:
                    piece = self._session.read()
                    if piece is None:
                        raise OSError("it does not answer")
                    if piece[0] == 1:
                        answers += self._answers.of(piece[1])
                    else:
                        said += piece[1]
        except (OSError, HostError) as error:
            text = said.decode("utf-8", "replace").strip() or str(error)
            raise P4ControlError(
                f"{self._name}: {text}; {self._ports}",
                remedy=f"kinda exec {self._name} -- cat {FOLDER}/log",
            ) from error
        finally:
            timer.cancel()
        return answers

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def close(self) -> None:
        """End the exec."""
        with self._lock:
            self._end()
