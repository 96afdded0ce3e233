"""What a test holds of an ``OvsSwitch``: its flows and ports, and Open vSwitch's own commands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_kinda.devices.ovs import BRIDGE, VERSIONS
from pytest_kinda.errors import UnknownNameError
from pytest_kinda.testbed.devices import DeviceHandle
from pytest_kinda.testbed.results import Result

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


class OvsSwitchHandle(DeviceHandle):
    """A switch that is Open vSwitch. Example::

    s1 = kinda.device("s1")
    s1.ofctl("add-flow", "br0", f"in_port={s1.port('h1')},actions=drop")
    assert sum(one.packets for one in s1.flows() if one.actions == "drop") == 0
    """

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

    def vsctl(self, *arguments: str, check: bool = True) -> Result:
        """Run ``ovs-vsctl``. Raises CommandError unless ``check=False``."""
        return self.exec("ovs-vsctl", "--timeout=30", *arguments, check=check)

    def ofctl(self, *arguments: str, check: bool = True) -> Result:
        """Run ``ovs-ofctl``, in whatever version of OpenFlow the switch speaks.

        Raises CommandError unless ``check=False``.
        """
        return self.exec("ovs-ofctl", "-O", ",".join(VERSIONS), *arguments, check=check)


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
