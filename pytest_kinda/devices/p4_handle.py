"""What a test holds of a ``P4Switch``: its ports, tables, registers, counters and copies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_kinda.devices.p4 import P4INFO, PROGRAM
from pytest_kinda.devices.p4_bmv2 import DECLARED, FOLDER, MESSAGES, SOURCE, Bmv2Connection
from pytest_kinda.devices.p4_entries import in_words, one_towards, told
from pytest_kinda.errors import HostError, P4ControlError, UnknownNameError, WaitTimeoutError
from pytest_kinda.p4 import compile_program, translate
from pytest_kinda.p4.bmv2 import told_again
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.control import (
    Control,
    CounterControl,
    RegisterControl,
    Statistics,
    TableControl,
)
from pytest_kinda.p4.control_objects import DigestControl, MeterControl
from pytest_kinda.p4.p4info import controller_headers
from pytest_kinda.p4.packets import PacketControl, PacketIn
from pytest_kinda.p4.program import Program
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.p4.sockets import AT_ONCE, Answers
from pytest_kinda.p4.sources import compile_source
from pytest_kinda.p4.state import declared_state, differences
from pytest_kinda.p4.values import Natural
from pytest_kinda.testbed.devices import DeviceHandle
from pytest_kinda.testbed.processes import Execution, Session
from pytest_kinda.topology.declared import declaring_directory

ANSWER_LIMIT = 30.0
"""Seconds for one exchange with a switch."""

PACKET_LIMIT = 5.0
"""Seconds that a test waits for a packet, unless it says otherwise."""

SHOWN = 5
"""Differences that an error lists."""

SWAPPED = f"{FOLDER}/swapped"


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

    _swapped: Program | None = None
    _swapped_info = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if isinstance(channel := self.channel, Bmv2Connection):
            # what the program sends before a test asks waits in sockets of this process
            channel.listen()

    @property
    def engine(self) -> str:
        """What runs its program: ``native`` or ``bmv2``."""
        return "bmv2" if self.planned.device and self.planned.device.driver else "native"

    @property
    def program(self) -> Program:
        """The program that it runs: the declared one, or that of ``swap``. Raises ProgramError."""
        return self._swapped if self._swapped is not None else self._declared_program

    @cached_property
    def _declared_program(self) -> Program:
        return parse_program(self._file(SOURCE).encode(), self.planned.name)

    @cached_property
    def cpu_port(self) -> int | None:
        """The port by which program and controller send each other packets; None without one."""
        assert self.planned.device is not None
        number = (self.planned.device.about or {}).get("cpu_port")
        return None if number is None else int(number)

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
        return Control(self.program, self.channel)

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

    def meter(self, name: str) -> MeterControl:
        """A meter array, or the meter of a table's entries, by its name. Raises P4ControlError."""
        return self.control.meter(name)

    def digest(self, name: str) -> DigestControl:
        """What the program sends by ``digest``. Raises P4ControlError."""
        return self.control.digest(name)

    def queue(
        self,
        port: int | None = None,
        *,
        rate: int | None = None,
        depth: int | None = None,
        priority: int | None = None,
    ) -> None:
        """Say what a port's egress queues do, or those of every port.

        ``rate`` is packets a second (0: no limit, nothing waits), ``depth`` how many packets wait
        in a queue; with ``priority`` it is one queue's, else that of each. Raises P4ControlError.
        """
        if depth is not None:
            self.control.queue_depth(depth, port, priority)
        if rate is not None:
            self.control.queue_rate(rate, port, priority)

    def packet_out(self, payload: bytes, fields: Mapping[str, Natural] | None = None) -> None:
        """Send the program a packet by its CPU port.

        With ``fields`` those of the p4info's header ``packet_out`` go before it. Raises
        P4ControlError for a field that does not fit, or a switch without ``cpu_port=``. Example::

            s1.packet_out(frame, {"egress_port": s1.port("h2")})
        """
        self._packets.send(payload, fields)

    def packet_in(self, timeout: float = PACKET_LIMIT) -> PacketIn:
        """The oldest packet that the program has sent to its CPU port, waited for.

        Raises WaitTimeoutError after ``timeout`` seconds; P4ControlError where packets were lost
        because nobody took them, or the switch has no CPU port.
        """
        # the room for waiting belongs to the build, and is loaded where a test waits
        from pytest_kinda.build.awaiting import wait_until

        return self._packets.next(
            lambda look: wait_until(
                look, f"a packet at the CPU port of {self.name}", limit=timeout, interval=0.01
            )
        )

    def packets_in(self, wait: float = 0.0) -> list[PacketIn]:
        """All packets that wait at the CPU port, oldest first.

        Where there are none, those that come first within ``wait`` seconds; perhaps none.
        Raises P4ControlError as ``packet_in`` does.
        """
        if found := self._packets.take():
            return found
        with suppress(WaitTimeoutError):
            return [self.packet_in(wait), *self._packets.take()] if wait else []
        return []

    def swap(self, program: str | Path) -> None:
        """Let it run another program, on the same ports; its tables have the program's entries.

        ``program`` is a JSON file of p4c's, or a P4 source where p4c is on PATH, relative to the
        file of the test. Packets that come meanwhile are lost. After the test the declared program
        is put back. Raises ProgramError for one that cannot be translated (native) or read,
        P4ControlError where the switch does not start with it.
        """
        path = declaring_directory() / program
        text = compile_source(path) if path.suffix == ".p4" else path.read_text("utf-8")
        info = path.with_name(f"{path.stem}.p4info.txt")
        self.load(text, path.name, info.read_text("utf-8") if info.exists() else "")

    def load(self, text: str, name: str, p4info: str = "") -> None:
        """``swap`` to a program by its text, BMv2's JSON; ``name`` is what errors call it."""
        made = parse_program(text.encode(), name)
        self.__dict__.pop("_packets", None)  # another program has other headers
        if isinstance(self.channel, Bmv2Connection):
            self.channel.swap(made, text)
        else:
            self.write_file(SWAPPED, compile_program(translate(made)).read_bytes(), mode=0o755)
            self._take_over(SWAPPED, "-")
        self._swapped, self._swapped_info = made, p4info

    def _take_over(self, binary: str, declared: str) -> None:
        assert self.planned.device is not None
        pairs = self.planned.device.startup[0].argv[3:]
        self.channel.close()
        done = self.exec(binary, "--swap", FOLDER, declared, *pairs, check=False)
        if done.rc:
            raise P4ControlError(f"{self.name}: the program was not exchanged: {done.stderr}")

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
        """What its process has said: nothing where all is well, of BMv2 a few lines.

        Of one that was declared with ``log`` also what it wrote of packets.
        """
        said = self.read_text(f"{FOLDER}/log")
        if self.engine == "bmv2" and self.exec("test", "-e", f"{MESSAGES}.txt", check=False).ok:
            said += self.read_text(f"{MESSAGES}.txt")
        return said

    def reset(self) -> None:
        """The state that its program starts with, and what was declared: nothing else.

        What is done after each test. All of it is read again before the next packet comes:
        entries, default actions, registers, counters, meters, members and groups, value sets,
        copies, queues, digests. Raises P4ControlError where something is otherwise.
        """
        self._packets.clear()
        found = self.control.reset()
        lines = [] if self._swapped is not None else self._file(DECLARED).splitlines()
        wanted = declared_state(self.program, lines)
        if self.engine == "bmv2":
            # cells count on meanwhile: they are zero as the program was loaded again
            found, wanted = (told_again(self.program, one) for one in (found, wanted))
        wrong = differences(self.program, wanted, found)
        if (loaded := self.control.loaded()) != self.program.digest:
            wrong = [f"it runs the program {loaded[:12]}, not {self.program.digest[:12]}"]
        if wrong:
            more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise P4ControlError(
                f"{self.name}: not as declared after a reset: {'; '.join(wrong[:SHOWN])}{more}",
                remedy="a switch that has started again has another state",
            )

    def put_back(self) -> None:
        """The program that it was declared with, and ``reset``; whoever gave it another one."""
        declared = (self._declared_program.digest, Path(DECLARED).name)
        swapped, self._swapped = self._swapped, None
        if isinstance(self.channel, Bmv2Connection):
            if swapped is not None:
                self.channel.swap(None)
        elif self.control.running() != declared:
            self._take_over(PROGRAM, declared[1])
        if swapped is not None:
            self.__dict__.pop("_packets", None)
        self.reset()

    def p4runtime(self, **options: Any) -> Any:
        """A P4Runtime client for it: a ``finsy.Switch``, to be used by ``async with``.

        ``options`` are those of ``finsy.SwitchOptions``, as ``p4info=Path(...)`` and
        ``p4blob=Path(...)`` for a pipeline that the client sets. Needs the extra ``p4runtime``.
        Starts the testbed's server where it does not run yet. Raises P4RuntimeError. Example::

            async with s1.p4runtime() as client:
                entry = finsy.P4TableEntry(
                    "known", match=finsy.P4TableMatch({"hdr.ethernet.target": mac}),
                    action=finsy.P4TableAction("forward", port=1, priority=0))
                await client.write([+entry])
        """
        from pytest_kinda.testbed.p4runtime import client_of

        return client_of(self.standing, self.name, options)

    def close(self) -> None:
        """End the connection to its process, which goes on."""
        self.channel.close()

    def _file(self, path: str) -> str:
        assert self.planned.device is not None
        return next(one.text for one in self.planned.device.files if one.path == path)

    def _opened(self, family: int, kind: int) -> socket.socket:
        return self._opener().open(self.name, family, kind)

    @cached_property
    def _packets(self) -> PacketControl:
        assert self.planned.device is not None
        given = (one.text for one in self.planned.device.files if one.path == P4INFO)
        info = self._swapped_info if self._swapped is not None else next(given, "")
        return PacketControl(self.control, controller_headers(info))

    @cached_property
    def channel(self) -> _Channel | Bmv2Connection:
        """What carries commands to its process."""
        if self.engine == "bmv2":
            return Bmv2Connection(self.planned, self._execution, self._opened)
        ports = told(self.planned.interfaces, self.planned.port_numbers)
        return _Channel(self.name, self._execution, ports)


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
