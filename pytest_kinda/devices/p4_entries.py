"""What a P4 switch's tables hold from its start: entries, command files, and computed ones.

Values may refer to the plan: ``"{mac:h1}"`` is the MAC of the switch's own port towards ``h1``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

from pytest_kinda.errors import P4ControlError, Problem
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.control import Control
from pytest_kinda.p4.program import Program
from pytest_kinda.plan.context import DeviceContext, FarEnd
from pytest_kinda.plan.values import InterfacePlan
from pytest_kinda.topology.frozen import EMPTY, FrozenMap, freeze
from pytest_kinda.topology.node import ForwardingRole

REFERENCES = {
    "port": "the number of the port there",
    "mac": "the MAC of that port",
    "peer_mac": "the MAC of the node there",
    "address": "the address of that port in the plan",
    "peer_address": "the address of the node there",
    "network": "the network of that link",
}
_REFERENCE = re.compile(r"\{([a-z_]+):([^{}]+)\}")


@dataclass(frozen=True)
class P4Entry:
    """An entry of a table, or with ``match=None`` its default action.

    ``match`` is by key field, ``params`` by parameter; names are the program's, of which the last
    part is enough where it is unique. ``priority`` is for ternary and range tables: the smallest
    wins. Texts may refer to the plan, see ``docs/p4.md``.

    >>> P4Entry("ipv4_lpm", {"dst": "{network:h1}"}, "forward", {"port": "{port:h1}"}).table
    'ipv4_lpm'
    """

    table: str
    match: Mapping[str, Any] | None
    action: str
    params: Mapping[str, Any] = EMPTY
    priority: int | None = None

    def __post_init__(self) -> None:
        for name in ("match", "params"):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                frozen = FrozenMap({str(key): freeze(one) for key, one in value.items()})
                object.__setattr__(self, name, frozen)


@dataclass(frozen=True)
class Lpm:
    """A forwarding table that the plan fills: its static routes, and the nodes next to the switch.

    ``action`` is given the ``port`` and the ``mac`` of the next hop by the parameters of these
    names, the port's own MAC by ``source`` where the action has a parameter for it. ``arp`` is a
    table whose exact key is the address asked for: ``arp_action`` answers with a port's MAC, its
    parameter ``arp_mac``. Of several equal ways the first is taken.

    >>> Lpm("ipv4_lpm", action="forward", port="port", mac="dstAddr").table
    'ipv4_lpm'
    """

    role: ClassVar[ForwardingRole] = "router"

    table: str
    action: str
    port: str
    mac: str
    source: str = ""
    arp: str = ""
    arp_action: str = "answer"
    arp_mac: str = "mac"

    def entries(self, program: Program, ports: Ports) -> Iterator[P4Entry]:
        """The entries of one switch. Raises P4ControlError for a table that has another key."""
        key = _only_key(program, self.table)
        known: dict[str, tuple[int, str, str]] = {}
        for end in ports.context.far_ends():
            own = ports.interface(end.interface)
            for address in end.addresses:
                if ":" not in address:
                    target = f"{address.partition('/')[0]}/32"
                    known.setdefault(target, (ports.number(end.interface), own.mac, end.mac))
        ways = dict(known)
        for route in ports.context.routes:
            for hop in route.hops:
                way = known.get(f"{hop.gateway}/32")
                if way is not None and ":" not in route.destination:
                    ways.setdefault(route.destination, way)
                    break
        for target, (port, own_mac, mac) in ways.items():
            params: dict[str, Any] = {self.port: port, self.mac: mac}
            if self.source:
                params[self.source] = own_mac
            yield P4Entry(self.table, {key: target}, self.action, params)
        if not self.arp:
            return
        key = _only_key(program, self.arp)
        for one in ports.context.interfaces:
            for address in one.addresses:
                if ":" not in address:
                    match = {key: address.partition("/")[0]}
                    yield P4Entry(self.arp, match, self.arp_action, {self.arp_mac: one.mac})


def _only_key(program: Program, table: str) -> str:
    found = Control(program, Recorder()).table(table).table
    if len(found.keys) != 1:
        listed = ", ".join(key.name for key in found.keys) or "none"
        raise P4ControlError(f"table {found.name}: found the keys {listed}; expected one address")
    return found.keys[0].name


class Ports:
    """The ports of a switch at its place: numbered from 1 in the order of its links, or as given.

    ``given`` are numbers by neighbour, link or interface; ``taken`` is the CPU port's.
    """

    def __init__(
        self,
        context: DeviceContext,
        given: Mapping[str, int] = EMPTY,
        taken: int | None = None,
    ) -> None:
        self.context = context
        self.numbers: dict[str, int] = {}
        named = {}
        for key, number in given.items():
            found = [one for one in context.interfaces if is_towards(key, one)]
            if len(found) == 1:
                named[found[0].name] = number
        free = iter(one for one in range(1, 512) if one not in (*named.values(), taken))
        for one in context.interfaces:
            self.numbers[one.name] = named[one.name] if one.name in named else next(free)

    def number(self, interface: str) -> int:
        """The number of an interface's port."""
        return self.numbers[interface]

    def interface(self, name: str) -> InterfacePlan:
        """The interface of that name."""
        return next(one for one in self.context.interfaces if one.name == name)

    def towards(self, key: str) -> InterfacePlan:
        """The interface that a neighbour, link or interface names. Raises P4ControlError."""
        return one_towards(self.context.name, self.context.interfaces, key, self.numbers)

    def resolve(self, text: str) -> str:
        """A text with what it refers to. Raises P4ControlError for what is not there."""
        return _REFERENCE.sub(self._referred, text)

    def _referred(self, found: re.Match[str]) -> str:
        what, key = found[1], found[2].strip()
        if what not in REFERENCES:
            raise P4ControlError(
                f"found {found[0]}; expected one of "
                + ", ".join(f"{{{one}:...}} ({meaning})" for one, meaning in REFERENCES.items())
            )
        far = [one for one in self.context.far_ends() if one.node == key]
        interface = self.interface(far[0].interface) if len(far) == 1 else self.towards(key)
        if what == "port":
            return str(self.numbers[interface.name])
        if what == "mac":
            return interface.mac
        if what in ("address", "network"):
            address = _ipv4(interface.addresses, found[0])
            return (
                address.partition("/")[0]
                if what == "address"
                else str(ipaddress.ip_interface(address).network)
            )
        ends = far or [one for one in self.context.far_ends() if one.interface == interface.name]
        if len(ends) != 1:
            there = ", ".join(one.node for one in ends) or "nobody"
            raise P4ControlError(f"found {found[0]}, where {there} is; expected one node")
        return _of_peer(ends[0], what, found[0])


def _of_peer(end: FarEnd, what: str, text: str) -> str:
    return end.mac if what == "peer_mac" else _ipv4(end.addresses, text).partition("/")[0]


def _ipv4(addresses: Iterable[str], text: str) -> str:
    for one in addresses:
        if ":" not in one:
            return one
    raise P4ControlError(f"found {text}, where the plan has no IPv4 address")


def is_towards(key: str, one: InterfacePlan) -> bool:
    """Whether a neighbour, a link or an interface means this one."""
    return key in (one.name, one.segment, *one.peers)


def one_towards(
    name: str, interfaces: Sequence[InterfacePlan], key: str, numbers: Mapping[str, int]
) -> InterfacePlan:
    """The interface that is meant; raises P4ControlError with the ports where none or several."""
    found = [one for one in interfaces if is_towards(key, one)]
    if len(found) == 1:
        return found[0]
    several = f"{len(found)} ports" if found else "no port"
    raise P4ControlError(f"{name} has {several} for {key!r}; it has {told(interfaces, numbers)}")


def told(interfaces: Iterable[InterfacePlan], numbers: Mapping[str, int]) -> str:
    """The ports of a switch, in words.

    >>> told([InterfacePlan("eth0", "h1--s1", "02:00:00:00:00:01", peers=("h1",))], {"eth0": 1})
    'port 1 (eth0, link h1--s1, towards h1)'
    """
    return ", ".join(
        in_words(numbers[one.name], one.name, one.segment, one.peers) for one in interfaces
    )


def in_words(number: int, interface: str, link: str, peers: Iterable[str]) -> str:
    """One port of a switch, in words."""
    return f"port {number} ({interface}, link {link}, towards {' '.join(peers)})"


class Recorder:
    """A channel that keeps commands: what a switch would be told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._entries: dict[tuple[str, ...], str] = {}
        self.note = ""

    def begin(self, note: str) -> None:
        """What is asked from now on comes of this."""
        self.note = note
        self.lines.append(f"# {note}")

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Keep them. Raises P4ControlError for an entry whose match was there before."""
        for line in lines:
            words = line.split()
            if words[0] in ("clear", "default-reset"):
                self._entries = {k: v for k, v in self._entries.items() if k[0] != words[1]}
            if words[0] == "add":
                before = self._entries.setdefault(tuple(words[1:5]), self.note)
                if before is not self.note:
                    raise P4ControlError(f"its match is that of {before}")
        self.lines += lines
        return [["ok 0"] for _ in lines]


def declared(
    where: str,
    program: Program,
    ports: Ports,
    entries: Sequence[P4Entry],
    computed: Lpm | None,
    commands: str,
    name: str,
) -> tuple[str, list[Problem]]:
    """What a switch is told at its start, a line each, and all that is wrong with it.

    ``commands`` is the text of a command file of BMv2's, ``name`` what its author calls it.
    """
    recorder = Recorder()
    control = Control(program, recorder)
    problems: list[Problem] = []

    def carried(what: str, act: Callable[[], None]) -> None:
        recorder.begin(what)
        try:
            act()
        except P4ControlError as error:
            problems.append(
                Problem(where, what, error.message, error.remedy or "what fits the program")
            )

    if computed is not None:
        given = computed

        def compute() -> None:
            for one in given.entries(program, ports):
                recorder.note = f"forwarding of {one.match}"
                _add(control, one, ports.resolve)

        carried("forwarding", compute)
    for number, one in enumerate(entries):
        carried(f"entries[{number}]", partial(_add, control, one, ports.resolve))
    if commands:

        def run() -> None:
            numbered = (f"{name}:{at}" for at in range(1, len(commands.splitlines()) + 1))
            notes = dict(enumerate(numbered, 1))
            run_commands(
                ports.resolve(commands), control, name=name, at=lambda n: recorder.begin(notes[n])
            )

        carried("commands", run)
    return "".join(f"{one}\n" for one in recorder.lines), problems


def _add(control: Control, entry: P4Entry, resolve: Callable[[str], str]) -> None:
    table = control.table(entry.table)
    params = {key: _resolved(one, resolve) for key, one in entry.params.items()}
    if entry.match is None:
        table.default(entry.action, params)
        return
    match = {key: _resolved(one, resolve) for key, one in entry.match.items()}
    table.add(match, entry.action, params, entry.priority)


def _resolved(value: Any, resolve: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return resolve(value)
    return tuple(_resolved(one, resolve) for one in value) if isinstance(value, tuple) else value


def record(kind: type[Any], given: Any) -> Any:
    """A value of a kind from a mapping, as files hold it; what is none stays as it is."""
    if isinstance(given, Mapping) and set(given) <= {one.name for one in fields(kind)}:
        try:
            return kind(**given)
        except TypeError:
            return given  # something is missing: problems() says what is accepted
    return given
