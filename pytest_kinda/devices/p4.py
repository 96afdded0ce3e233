"""A P4 switch: what ``P4Switch`` is declared with, and how its container becomes a switch.

The native engine's program is made outside of the device by the build and put into it; what its
tables hold from the start is checked here and lies beside it as a file of commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pytest_kinda.devices.device import Device
from pytest_kinda.devices.p4_bmv2 import (
    DECLARED,
    DRIVER,
    FOLDER,
    LOG_LEVELS,
    MESSAGES,
    SOURCE,
    start_command,
)
from pytest_kinda.devices.p4_entries import Lpm, P4Entry, Ports, declared, is_towards, record
from pytest_kinda.errors import KindaError, Problem, ProgramError
from pytest_kinda.p4 import translate
from pytest_kinda.p4.bmv2.packet_end import PAIR
from pytest_kinda.p4.bmv2.relay import THRIFT_PORT
from pytest_kinda.p4.p4info import controller_headers
from pytest_kinda.p4.program import Program
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.p4.sources import compile_source
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.growth import Growth, parse_growth
from pytest_kinda.plan.values import (
    AttachSpec,
    CommandSpec,
    ControlSpec,
    DeviceSpec,
    FileSpec,
    PlanOptions,
    ProgramSpec,
    ReadySpec,
)
from pytest_kinda.topology.declared import declaring_directory
from pytest_kinda.topology.frozen import EMPTY, FrozenMap

PROGRAM = f"{FOLDER}/program"
P4INFO = f"{FOLDER}/p4info.txt"
STATE = f"""
printf '$ P4 ports and statistics, the end of the log\\n'
[ ! -x {PROGRAM} ] || timeout 5 {PROGRAM} --ask {FOLDER} ports statistics 2>&1
tail -q -n 20 {FOLDER}/log {MESSAGES}.txt 2>/dev/null; echo
"""

_CONTROL = {
    "native": ControlSpec("kinda-p4", f"unix:{FOLDER}/control"),
    "bmv2": ControlSpec("thrift", f"tcp:127.0.0.1:{THRIFT_PORT}"),
}
PORT_MOST = 510
"""The highest number of a port: 9 bits, of which v1model's 511 is where packets are dropped."""

CONTROLLER = "@controller"
"""What the CPU port has for an interface."""

DEPTH_MOST = 65536
PRIORITIES_MOST = 8

READY_LIMIT = 5.0
"""Seconds: whoever listens is ready, but a carrier may come a moment late."""

Engine = Literal["bmv2", "native"]


@dataclass(frozen=True, repr=False)
class P4Switch(Device):
    """A switch that a P4 program (v1model) makes one; every packet of its links is the program's.

    - ``program``: the JSON file that p4c writes for BMv2, or the P4 source where p4c is on PATH;
      read now, relative to the declaring file. The text of such a JSON file does as well.
    - ``engine``: ``"native"`` (translated to C, compiled, one small process) or ``"bmv2"``; left
      out, what the run chooses (``--kinda-p4-engine``). One is never put in the other's place.
    - ``entries``: ``P4Entry`` values that its tables hold from the start, and again after each
      test; ``commands``: the same as a file of BMv2's runtime commands (or its text).
    - ``forwarding``: ``"router"``: each link is a network of its own, and the plan sends through
      the switch; ``"switch"``: its links are one network; ``Lpm(...)``: a router whose forwarding
      table the plan fills.
    - ``ports``: numbers by neighbour, link or interface; without, from 1 in the order of its links.
    - ``cpu_port``: the port by which program and controller send each other packets
      (``packet_in``, ``packet_out``); ``p4info``: p4c's file of that name, which declares their
      headers; with ``cpu_port`` also ``NAME.p4info.txt`` beside the program is found.
    - ``queue_depth`` (packets), ``queue_rate`` (packets a second) and ``priority_queues`` are
      those of every port; without a rate no packet waits.
    - ``grows_by``: what the program adds to packets that cross it, ``"52B+36B/hop"``: links
      between switches and routers carry that beside the MTU of their ends.
    - ``log``: what BMv2 writes of each packet (``"debug"``, ``"trace"``); nothing unless said, as
      it makes it several times slower. The native engine writes no such log.

    The plan's addresses of its ports are the program's to answer for: its kernel has none.

    >>> P4Switch("s1", program="{}", engine="native")
    P4Switch('s1', program='program', engine='native')
    """

    kind: ClassVar[str] = "p4-switch"
    on_a_hub: ClassVar[str] = (
        "every frame there comes to its program, whomever it is for; Switch is what learns"
    )

    _: KW_ONLY
    program: str | Path = ""
    engine: Engine | None = None
    entries: Sequence[P4Entry | Mapping[str, Any]] = ()
    commands: str | Path = ""
    # beside its role it may say how; and its ports are no ports of a machine
    forwarding: Lpm | Literal["router", "switch"] = "router"  # type: ignore[misc,assignment]
    ports: Mapping[str, int] = EMPTY  # type: ignore[assignment]
    cpu_port: int | None = None
    p4info: str | Path | None = None
    queue_depth: int | None = None
    queue_rate: int | None = None
    priority_queues: int = 1
    grows_by: str = ""
    log: str | None = None
    _names: tuple[str, str] = field(default=("", ""), init=False, compare=False, repr=False)
    _wrong: str = field(default="", init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        program, source = _read(self.program)
        wrong = ""
        if isinstance(program, str) and source.endswith(".p4"):
            try:
                program = compile_source(declaring_directory() / self.program)
            except ProgramError as error:
                program, wrong = Path(self.program), str(error).replace("\n  remedy: ", "; ")
        commands, listing = _read(self.commands)
        for name, value in (
            ("p4info", _p4info(self.program, self.p4info, self.cpu_port is not None)),
            ("program", program),
            ("commands", commands),
            ("_names", (source or "program", listing or "commands")),
            ("_wrong", wrong),
            ("entries", tuple(record(P4Entry, one) for one in self.entries)),
            ("forwarding", record(Lpm, self.forwarding)),
            ("ports", FrozenMap({key: _number(one) for key, one in self.ports.items()})),
        ):
            object.__setattr__(self, name, value)
        super().__post_init__()

    def __repr__(self) -> str:
        shown = [repr(self.name), f"program={self._names[0]!r}"]
        shown += [f"engine={self.engine!r}"] if self.engine else []
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def published(self) -> tuple[str, ...]:
        """None: a switch has ports of another kind."""
        return ()

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this switch by itself."""
        yield from super().problems()
        if isinstance(self.program, Path):
            expected = "a file that can be read" if not self._wrong else "a program"
            yield Problem(self.where, "program", self._wrong or f"{self.program}", expected)
        elif not self.program.lstrip().startswith("{"):
            expected = "the JSON file that p4c's bmv2 backend writes, or a P4 source (.p4)"
            found = self._names[0] if self.program else "none"
            yield Problem(self.where, "program", found, expected)
        if isinstance(self.commands, Path):
            yield Problem(self.where, "commands", str(self.commands), "a file that can be read")
        if self.engine not in (None, "bmv2", "native"):
            yield Problem(self.where, "engine", repr(self.engine), "'bmv2', 'native' or None")
        if not isinstance(self.forwarding, Lpm) and self.forwarding not in ("router", "switch"):
            expected = "'router', 'switch', or Lpm(table, action=, port=, mac=)"
            yield Problem(self.where, "forwarding", repr(self.forwarding), expected)
        yield from self._port_and_queue_problems()
        if self.log is not None and self.log not in LOG_LEVELS:
            expected = " or ".join(map(repr, LOG_LEVELS)) + ", or None"
            yield Problem(self.where, "log", repr(self.log), expected)
        for at, one in enumerate(self.entries):
            if not isinstance(one, P4Entry):
                expected = "P4Entry(table, match, action, params=, priority=)"
                yield Problem(self.where, f"entries[{at}]", repr(one), expected)
        for key, number in self.ports.items():
            if not _is_whole(number, 0, PORT_MOST):
                expected = f"a number from 0 to {PORT_MOST}"
                yield Problem(self.where, f"ports[{key}]", repr(number), expected)

    def _port_and_queue_problems(self) -> Iterator[Problem]:
        if isinstance(self.p4info, Path):
            yield Problem(self.where, "p4info", str(self.p4info), "a file that can be read")
        elif self.p4info:
            try:
                controller_headers(self.p4info)
            except ProgramError as error:
                yield Problem(self.where, "p4info", error.message, error.remedy or "another file")
        for name, least, most in (
            ("cpu_port", 0, PORT_MOST),
            ("queue_depth", 0, DEPTH_MOST),
            ("queue_rate", 0, 1_000_000_000),
            ("priority_queues", 1, PRIORITIES_MOST),
        ):
            value = getattr(self, name)
            if value is not None and not _is_whole(value, least, most):
                yield Problem(self.where, name, repr(value), f"a number from {least} to {most}")
        if self.cpu_port is not None and self.cpu_port in self.ports.values():
            expected = "a number that no link has"
            yield Problem(self.where, "cpu_port", str(self.cpu_port), expected)
        try:
            parse_growth(self.grows_by)
        except ValueError as error:
            yield Problem(self.where, "grows_by", repr(self.grows_by), str(error))

    @property
    def growth(self) -> Growth:
        """What a packet grows by; see ``plan.growth``."""
        return parse_growth(self.grows_by)

    def problems_at(self, context: DeviceContext) -> Iterator[Problem]:
        """What is wrong with it at its place in the plan, with the engine of this run."""
        yield from _port_problems(context, self.ports)
        try:
            program = self._checked(context.options)
        except KindaError as error:
            yield Problem(self.where, "program", error.message, error.remedy or "another program")
            return
        _, problems = context.once("declared", lambda: self._declared(program, context))
        yield from problems

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: the program on all its links, started in the background."""
        spec = super().specification(context)
        engine, why = self._engine(context.options)
        program = self._checked(context.options)
        numbers = self._ports(context).numbers
        lines, _ = context.once("declared", lambda: self._declared(program, context))
        files = [FileSpec(SOURCE, text=str(self.program)), FileSpec(DECLARED, text=lines)]
        files += [FileSpec(P4INFO, text=str(self.p4info))] if self.p4info else []
        made = self._native if engine == "native" else self._bmv2
        return dataclasses.replace(
            made(spec, context, program, numbers),
            files=(*files, *spec.files),
            sysctls={**spec.sysctls, "net.ipv4.ip_forward": "0"},
            capabilities=tuple(dict.fromkeys(("NET_ADMIN", "NET_RAW", *spec.capabilities))),
            user_space=True,
            sealed=True,
            state=STATE,
            control=(_CONTROL[engine],),
            about={
                "program": {
                    "name": self._names[0],
                    "engine": engine,
                    "sha256": program.digest,
                    "file": SOURCE,
                    "p4info": P4INFO if self.p4info else None,
                },
                "cpu_port": self.cpu_port,
            },
            port_numbers=tuple(numbers.values()),
            handle="pytest_kinda.devices.p4_handle:P4SwitchHandle",
            notes=(
                f"P4 engine {engine} ({why}), program {self._names[0]} {program.digest[:12]}",
                *spec.notes,
            ),
        )

    def _native(
        self, spec: DeviceSpec, context: DeviceContext, program: Program, numbers: Mapping[str, int]
    ) -> DeviceSpec:
        """The program compiled, and started in the background."""
        pairs = tuple(f"{number}={name}" for name, number in numbers.items())
        if self.cpu_port is not None:
            pairs += (f"{self.cpu_port}={CONTROLLER}",)
        start = CommandSpec((PROGRAM, "--switch", FOLDER, *pairs))
        ready = (PROGRAM, "--ready", FOLDER, program.digest, *pairs)
        return dataclasses.replace(
            spec,
            programs=(ProgramSpec(PROGRAM, SOURCE, self._names[0]),),
            startup=(start, *spec.startup),
            attach=tuple(
                AttachSpec(name, (CommandSpec((PROGRAM, "--ask", FOLDER, f"attach {one} {name}")),))
                for name, one in numbers.items()
            ),
            ready=(ReadySpec(ready, READY_LIMIT, "P4 program and ports"), *spec.ready),
        )

    def _bmv2(
        self, spec: DeviceSpec, context: DeviceContext, program: Program, numbers: Mapping[str, int]
    ) -> DeviceSpec:
        """BMv2 started in the background, and told the rest from outside."""
        image = context.options.bmv2_image or "@bmv2"
        ports = [(number, name) for name, number in numbers.items()]
        return dataclasses.replace(
            spec,
            image=image if spec.image == "@base" else spec.image,
            startup=(
                start_command(self.name, ports, self.log, self.priority_queues, self.cpu_port),
                *spec.startup,
            ),
            driver=DRIVER,
            pair=() if self.cpu_port is None else PAIR,
        )

    def p4_engine(self, options: PlanOptions) -> str:
        """The engine that runs it, with these options."""
        return self._engine(options)[0]

    def _engine(self, options: PlanOptions) -> tuple[str, str]:
        if self.engine is not None:
            return self.engine, "as declared"
        return options.p4_engine, "the run's"

    def _checked(self, options: PlanOptions) -> Program:
        """The program, as far as the engine can be known to run it. Raises ProgramError."""
        text = str(self.program)
        if self._engine(options)[0] == "native":
            return _translated(text, self._names[0])
        return parse_program(text.encode(), self._names[0])

    def _declared(self, program: Program, context: DeviceContext) -> tuple[str, list[Problem]]:
        lines, problems = declared(
            self.where,
            program,
            self._ports(context),
            [one for one in self.entries if isinstance(one, P4Entry)],
            self.forwarding if isinstance(self.forwarding, Lpm) else None,
            str(self.commands),
            self._names[1],
        )
        queues = [f"queue-priorities {self.priority_queues}"] if self.priority_queues > 1 else []
        for what, value in (("depth", self.queue_depth), ("rate", self.queue_rate)):
            queues += [f"queue-{what} -1 {value}"] if value is not None else []
        return "".join(f"{one}\n" for one in queues) + lines, problems

    def _ports(self, context: DeviceContext) -> Ports:
        return Ports(context, self.ports, self.cpu_port)


@dataclass(frozen=True, repr=False)
class P4Nic:
    """A node's network card that runs a P4 program: port 0 is the network, port 1 the node.

    ``Worker("w1", nic=P4Nic(program="nic.json"))`` puts a device ``w1-nic`` between the node and
    its link (one for each link where there are several): everything of the node's links passes the
    program, pods' traffic inside GRE. The arguments are those of ``P4Switch``.

    >>> P4Nic(program="{}", engine="native")
    P4Nic(program='program', engine='native')
    """

    _: KW_ONLY
    program: str | Path = ""
    engine: Engine | None = None
    entries: Sequence[P4Entry | Mapping[str, Any]] = ()
    commands: str | Path = ""
    cpu_port: int | None = None
    p4info: str | Path | None = None
    queue_depth: int | None = None
    queue_rate: int | None = None
    priority_queues: int = 1
    grows_by: str = ""
    log: str | None = None
    image: str = "@base"
    _switch: P4Switch | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.init}
        switch = P4Switch("nic", forwarding="switch", **given)
        for name in ("program", "entries", "commands", "p4info"):
            object.__setattr__(self, name, getattr(switch, name))
        object.__setattr__(self, "_switch", switch)

    def __repr__(self) -> str:
        return repr(self.switch).replace("P4Switch('nic', ", "P4Nic(", 1)

    @property
    def switch(self) -> P4Switch:
        """What it is, without a place."""
        assert self._switch is not None
        return self._switch

    def p4_engine(self, options: PlanOptions) -> str:
        """The engine that runs it, with these options."""
        return self.switch.p4_engine(options)

    def device(self, name: str, *, network: str, node: str) -> P4Switch:
        """The device that the card is, between a link and a node."""
        found = dataclasses.replace(self.switch, name=name, ports={network: 0, node: 1})
        for hidden in ("_names", "_wrong"):
            object.__setattr__(found, hidden, getattr(self.switch, hidden))
        return found

    def problems(self, where: str) -> Iterator[Problem]:
        """All that is wrong with it by itself."""
        for one in self.switch.problems():
            yield Problem(where, f"nic.{one.field}", one.found, one.expected)


@lru_cache(maxsize=64)
def _translated(text: str, name: str) -> Program:
    """The program, of which it is known that it can be translated. Raises ProgramError."""
    program = parse_program(text.encode(), name)
    translate(program)
    return program


def _number(value: Any) -> Any:
    """Files hold numbers in maps as text; what is none is reported."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _is_whole(value: Any, least: int, most: int) -> bool:
    """Whether it is a whole number between these; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _port_problems(context: DeviceContext, given: Mapping[str, int]) -> Iterator[Problem]:
    where = f"node {context.name}"
    taken: dict[int, str] = {}
    for key, number in given.items():
        found = [one for one in context.interfaces if is_towards(key, one)]
        if len(found) != 1:
            several = ", ".join(one.name for one in found)
            peers = (one for each in context.interfaces for one in each.peers)
            yield Problem(
                where,
                f"ports[{key}]",
                f"several links ({several})" if found else "no link of that name",
                f"a neighbour ({', '.join(dict.fromkeys(peers))}), or one link or interface",
            )
        elif taken.setdefault(number, key) != key:
            yield Problem(where, f"ports[{key}]", f"{number}, as {taken[number]}", "another number")


def _p4info(program: str | Path, given: str | Path | None, wanted: bool) -> str | Path | None:
    """The text of the p4info that is given, or ``wanted`` and beside the program; else None."""
    if given is not None:
        return _read(given)[0]
    if not wanted or not _read(program)[1]:
        return None
    beside = declaring_directory() / program
    found = _read(beside.with_name(f"{beside.stem}.p4info.txt"))[0]
    return found if isinstance(found, str) else None


def _read(given: str | Path) -> tuple[str | Path, str]:
    """The text of a file and what it is called; a file that cannot be read as its path.

    What is no name of a file is the text itself.
    """
    if isinstance(given, str) and (not given or "\n" in given or given.lstrip()[:1] == "{"):
        return given, ""
    path = Path(given)
    try:
        return (path if path.is_absolute() else declaring_directory() / path).read_text(
            "utf-8"
        ), path.name
    except (OSError, UnicodeDecodeError):
        return path, path.name  # problems() reports it with the other things that are wrong
