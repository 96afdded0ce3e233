"""What a test holds of an ``OvsSwitch``: flows, ports, controllers, Open vSwitch's own commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pytest_kinda.devices import controllers as targets
from pytest_kinda.devices.ovs import BRIDGE, FLOWS, VERSIONS
from pytest_kinda.errors import KindaError, UnknownNameError
from pytest_kinda.testbed.devices import DeviceHandle
from pytest_kinda.testbed.faults import Fault
from pytest_kinda.testbed.relays import Program, Relays
from pytest_kinda.testbed.results import Result

_OFCTL = ("ovs-ofctl", "-O", ",".join(VERSIONS))
_OBJECTS = ("groups", "meters")
_HEAD = ("cookie", "duration", "table", "n_packets", "n_bytes", "idle_age", "hard_age")


@dataclass(frozen=True)
class Flow:
    """One entry of a flow table and what it has counted.

    ``match`` and ``actions`` are as ``ovs-ofctl dump-flows`` prints them, ports as numbers.
    """

    table: int
    priority: int
    match: str
    actions: str
    packets: int
    bytes: int
    cookie: int = 0

    @property
    def line(self) -> str:
        """What ``ovs-ofctl add-flow`` takes to make it again.

        >>> Flow(0, 9, "arp", "drop", packets=2, bytes=84).line
        'table=0,priority=9,cookie=0x0,arp,actions=drop'
        """
        match = f"{self.match}," if self.match else ""
        head = f"table={self.table},priority={self.priority},cookie={self.cookie:#x}"
        return f"{head},{match}actions={self.actions}"


@dataclass(frozen=True)
class ControllerState:
    """A controller of a switch, as Open vSwitch sees it at this moment.

    ``name`` is what it is declared or connected as, ``target`` what Open vSwitch connects to.
    ``connected``: they agree on a version of OpenFlow. ``state`` is ``ACTIVE``, ``BACKOFF`` and
    the like, ``role`` ``other``, ``primary``, ``secondary`` or empty; ``error`` is why the last
    connection did not come about, or ended.
    """

    name: str
    target: str
    connected: bool
    role: str
    state: str
    error: str

    def __str__(self) -> str:
        if self.connected:
            return f"{self.name} is connected"
        said = "; ".join(one for one in (self.state, self.error) if one)
        return f"{self.name} is not connected ({said or 'not tried yet'})"


class OvsSwitchHandle(DeviceHandle):
    """A switch that is Open vSwitch. Example::

    s1 = kinda.device("s1")
    s1.ofctl("add-flow", "br0", f"in_port={s1.port('h1')},actions=drop")
    assert sum(one.packets for one in s1.flows() if one.actions == "drop") == 0
    """

    @cached_property
    def _driven_by(self) -> dict[str, str]:
        """What the controllers that tests have connected are called, by target."""
        return {}

    @property
    def datapath(self) -> str:
        """``system`` (in the kernel) or ``netdev`` (in user space). Raises CommandError."""
        return self.vsctl("get", "Bridge", BRIDGE, "datapath_type").stdout.strip().strip('"')

    @property
    def ports(self) -> dict[str, int]:
        """The number of each interface's port: 1 for the first link."""
        names = (one.name for one in self.planned.interfaces)
        return {name: number for number, name in enumerate(names, start=1)}

    def port(self, towards: str) -> int:
        """The number of the port towards a neighbour, or of a link or interface.

        Raises UnknownNameError for a name that means none or several.
        """
        found = [
            number
            for number, one in enumerate(self.planned.interfaces, start=1)
            if towards in (one.name, one.segment, *one.peers)
        ]
        if len(found) != 1:
            known = ", ".join(
                f"{one.name} (towards {', '.join(one.peers)})" for one in self.planned.interfaces
            )
            several = f"{len(found)} ports" if found else "no port"
            raise UnknownNameError(f"{self.name} has {several} for {towards!r}; it has {known}")
        return found[0]

    def flows(self, table: int | None = None) -> tuple[Flow, ...]:
        """The flows of all tables, or of one, with what they have counted until now.

        Open vSwitch counts what its datapath decides for a whole kind of packets: those since the
        last half second may be told of a flow that is newer than they. Raises CommandError.
        """
        self.exec("ovs-appctl", "--timeout=10", "revalidator/wait")
        of = [f"table={table}"] if table is not None else []
        lines = self.ofctl("--no-names", "dump-flows", BRIDGE, *of).lines
        return tuple(parse_flow(one) for one in lines if "actions=" in one)

    def await_flow(
        self, wanted: Callable[[Flow], bool], what: str = "the flow", *, timeout: float = 30.0
    ) -> Flow:
        """The first flow that is ``wanted``, waited for ``timeout`` seconds at most.

        A controller that is connected has not yet told the switch what to do. Raises
        WaitTimeoutError with the flows there are. Example::

            s1.await_flow(lambda one: "CONTROLLER" in one.actions)
        """
        found: list[Flow] = []

        def look() -> str:
            flows = self.flows()
            found[:] = filter(wanted, flows)
            return "" if found else "; ".join(one.line for one in flows[:10]) or "no flow"

        self._relaying().await_true(look, f"{what} of {self.name}", timeout)
        return found[0]

    @property
    def controllers(self) -> tuple[ControllerState, ...]:
        """Its controllers and whether they are connected. Raises CommandError, HostError."""
        columns = "--columns=target,is_connected,role,status"
        found = self.vsctl("--format=json", columns, "list", "Controller").json()
        device = self.planned.device
        names = {
            targets.relayed(one.listen): one.leads_to
            for one in (device.relays if device is not None else ())
        } | self._driven_by
        errors = {
            targets.relayed(port): error
            for port, error in (self._relays.errors(self.name) if self._relays else {}).items()
        }
        return tuple(
            sorted(
                (parse_controller(row, names, errors) for row in found["data"]),
                key=lambda one: one.target,
            )
        )

    def await_controllers(self, *, timeout: float = 30.0) -> tuple[ControllerState, ...]:
        """Wait until each of its controllers is connected, ``timeout`` seconds at most.

        Raises WaitTimeoutError with the state of each, KindaError where it has no controller.
        Example: ``kinda.device("s1").await_controllers()``
        """
        if not self.controllers:
            raise KindaError(f"{self.name} has no controller", remedy="OvsSwitch(controller=...)")

        def look() -> str:
            states = self.controllers
            done = bool(states) and all(one.connected for one in states)
            return "" if done else "; ".join(map(str, states)) or "none"

        self._relaying().await_true(look, f"the controllers of {self.name}", timeout)
        return self.controllers

    def connect_controller(
        self,
        program: Program,
        *,
        port: int = targets.PORT,
        fail_mode: Literal["standalone", "secure"] | None = "secure",
        wait: bool = True,
        timeout: float = 30.0,
    ) -> Fault:
        """Have it driven by a controller instead of those it was declared with.

        ``program`` says where that listens: ``("127.0.0.1", port)`` on this machine, such as in
        the test's own process; at ``port`` of a node, or its name; at ``port`` of a pod that runs.
        It begins with the declared flows and no others. Returns when the controller is connected,
        unless ``wait=False``. Use it as a call or as a context manager: at its end, at the latest
        after the test, controllers, fail mode and flows are what they were. Raises
        WaitTimeoutError with the state of the connection, UnknownNameError, HostError. Example::

            with kinda.device("s1").connect_controller(("127.0.0.1", 6653)):
                assert kinda.ping("h1", "h2")
        """
        relays = self._relaying()
        to, words = relays.target(program, port)
        put_back = self._as_it_is()
        opened: list[str] = []

        def begin() -> None:
            name, listen = relays.open(self.name, to)
            opened.append(name)
            self._driven_by[targets.relayed(listen)] = words
            self._drive((targets.relayed(listen),), fail_mode or "")
            if self._declares_flows:
                self.ofctl("add-flows", BRIDGE, FLOWS)
            if wait:
                self.await_controllers(timeout=timeout)

        def end() -> None:
            put_back()
            for name in opened:
                relays.close(name)

        return relays.until_healed(f"{self.name} driven by {words}", begin, end)

    def _drive(self, wanted: Sequence[str], fail_mode: str) -> None:
        """Give it these controllers and no flows: what another one has told it goes with that."""
        self.vsctl("del-controller", BRIDGE)
        mode = ("set", "bridge", BRIDGE, f"fail_mode={fail_mode}")
        self.vsctl(
            "--",
            *(mode if fail_mode else ("clear", "bridge", BRIDGE, "fail_mode")),
            *(targets.arguments(BRIDGE, wanted) if wanted else ()),
        )

    def _as_it_is(self) -> Callable[[], None]:
        """What gives it the controllers, the fail mode and the flows again that it has now."""
        before = self.vsctl("get-controller", BRIDGE).lines
        fail_mode = self.vsctl("--bare", "get", "bridge", BRIDGE, "fail_mode").stdout.strip()
        flows = [one.line for one in self.flows()]
        own = [one for one in _OBJECTS if not self._objects(one)]

        def put_back() -> None:
            self._drive(before, fail_mode.strip("[]"))
            for one in own:
                self.ofctl(f"del-{one}", BRIDGE, check=False)  # OpenFlow 1.0 has none
            text = "".join(f"{one}\n" for one in flows)
            self.exec(*_OFCTL, "replace-flows", BRIDGE, "-", stdin=text or "\n")

        return put_back

    def _objects(self, what: str) -> bool:
        found = self.ofctl(f"dump-{what}", BRIDGE, check=False)
        return any(f"{what.rstrip('s')}" in one.split("=")[0] for one in found.lines[1:])

    @property
    def _declares_flows(self) -> bool:
        device = self.planned.device
        return device is not None and any(one.path == FLOWS for one in device.files)

    def _relaying(self) -> Relays:
        if self._relays is None:
            raise KindaError(f"{self.name}: its testbed opens no relays")
        return self._relays

    def vsctl(self, *arguments: str, check: bool = True) -> Result:
        """Run ``ovs-vsctl``. Raises CommandError unless ``check=False``."""
        return self.exec("ovs-vsctl", "--timeout=30", *arguments, check=check)

    def ofctl(self, *arguments: str, check: bool = True) -> Result:
        """Run ``ovs-ofctl``, in whatever version of OpenFlow the switch speaks.

        Raises CommandError unless ``check=False``.
        """
        return self.exec(*_OFCTL, *arguments, check=check)


def parse_flow(line: str) -> Flow:
    """A line of ``ovs-ofctl dump-flows``.

    >>> parse_flow(" cookie=0x7, table=1, n_packets=2, n_bytes=84, priority=9,arp actions=drop")
    Flow(table=1, priority=9, match='arp', actions='drop', packets=2, bytes=84, cookie=7)
    """
    head, _, actions = line.strip().partition(" actions=")
    counts: dict[str, str] = {}
    match = []
    priority = 32768  # OpenFlow's own, which is not printed
    for part in re.split(r", ?", head):
        name, _, value = part.partition("=")
        if name in _HEAD:
            counts[name] = value
        elif name == "priority":
            priority = int(value)
        else:
            match.append(part)
    return Flow(
        table=int(counts.get("table", 0)),
        priority=priority,
        match=",".join(match),
        actions=actions,
        packets=int(counts.get("n_packets", 0)),
        bytes=int(counts.get("n_bytes", 0)),
        cookie=int(counts.get("cookie", "0"), 16),
    )


def parse_controller(
    row: Sequence[Any], names: Mapping[str, str], errors: Mapping[str, str]
) -> ControllerState:
    """A row of ``ovs-vsctl list Controller`` in JSON: target, is_connected, role, status.

    ``names`` and ``errors`` say by target what it is called, and what its relay has met.
    """
    target, connected, role, status = row
    facts = dict(status[1])  # ["map", [[key, value], ...]]
    relay_error = errors.get(target, "")
    return ControllerState(
        name=names.get(target, target),
        target=target,
        connected=connected is True,
        role=role if isinstance(role, str) else "",  # ["set", []] where it has none
        state=str(facts.get("state", "")),
        error=relay_error or str(facts.get("last_error", "")),
    )
