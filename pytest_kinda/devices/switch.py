"""A switch (a Linux bridge that learns) and a hub (a wire of many ends)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pytest_kinda.devices import vlans
from pytest_kinda.devices.device import Device
from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import AttachSpec, CommandSpec, DeviceSpec, ReadySpec
from pytest_kinda.topology.frozen import EMPTY
from pytest_kinda.topology.node import ForwardingRole, Node

BRIDGE = "br0"

# hundredths of a second: 802.1D's own times make a port wait for 30 s, these for 8
_STP = ("forward_delay", "400", "hello_time", "200", "max_age", "600", "stp_state", "1")

_STP_READY = """\
waiting=$(bridge link show | grep -E 'state (listening|learning)') || exit 0
echo "$waiting"; exit 1
"""

Argv = tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Switch(Device):
    """A learning switch: a Linux bridge over all its links, one broadcast domain.

    ``stp`` runs the spanning tree protocol, needed where switches form a circle; the build waits
    for it. ``vlan_aware`` makes it keep VLANs apart, where the kernel's bridges can: ``tag`` gives
    a link's untagged frames a VLAN, ``trunks`` lists those whose frames carry a tag; keys are
    neighbours, links or interfaces. A link with neither passes every VLAN with its tag, and its
    untagged frames are of VLAN 1.

    >>> Switch("s1")
    Switch(name='s1')
    >>> Switch("s2", vlan_aware=True, tag={"h1": 10}, trunks={"s1": [10, 20]})
    Switch(name='s2', vlan_aware=True, tag={'h1': 10}, trunks={'s1': '10,20'})
    """

    kind: ClassVar[str] = "switch"
    forwarding: ClassVar[ForwardingRole] = "switch"

    _: KW_ONLY
    stp: bool = False
    vlan_aware: bool = False
    tag: Mapping[str, int | str] = EMPTY
    trunks: Mapping[str, Sequence[int] | str] = EMPTY

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", vlans.settled_tag(self.tag))
        object.__setattr__(self, "trunks", vlans.settled_trunks(self.trunks))
        super().__post_init__()

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this switch by itself."""
        yield from super().problems()
        for name in ("tag", "trunks"):
            if getattr(self, name) and not self.vlan_aware:
                yield Problem(self.where, name, "a switch without VLANs", "vlan_aware=True")
        yield from vlans.problems(self.where, self.tag, self._trunks)

    def problems_at(self, context: DeviceContext) -> Iterator[Problem]:
        """What is wrong with it at its place in the plan, on this machine."""
        yield from vlans.problems_at(context, self.tag, self._trunks)
        if self.vlan_aware and not context.facts.bridge_vlans:
            found = "a kernel whose bridges cannot (CONFIG_BRIDGE_VLAN_FILTERING)"
            expected = f"OvsSwitch({self.name!r}, ...), which takes the same tag and trunks"
            yield Problem(self.where, "vlan_aware", found, expected)

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: a bridge made before the author's own startup commands."""
        spec = super().specification(context)
        attaching = self.attaching(context)
        commands = [self.creating(), *(one for each in attaching.values() for one in each)]
        commands.append(("ip", "link", "set", BRIDGE, "up"))
        ready = (ReadySpec(("sh", "-c", _STP_READY), 60.0, "spanning tree", interval=0.5),)
        return dataclasses.replace(
            spec,
            startup=tuple(CommandSpec(one) for one in commands) + spec.startup,
            attach=tuple(
                AttachSpec(name, tuple(CommandSpec(one) for one in each))
                for name, each in attaching.items()
            ),
            capabilities=tuple(dict.fromkeys(("NET_ADMIN", *spec.capabilities))),
            ready=(*(ready if self.stp else ()), *spec.ready),
        )

    def creating(self) -> Argv:
        """The command that makes the bridge."""
        stp = _STP if self.stp else ("stp_state", "0")
        vlan = ("vlan_filtering", "1") if self.vlan_aware else ()
        return ("ip", "link", "add", BRIDGE, "type", "bridge", *stp, *vlan)

    def attaching(self, context: DeviceContext) -> dict[str, list[Argv]]:
        """The commands that make each interface a port."""
        of_ports = vlans.of_ports(context, self.tag, self._trunks)
        found: dict[str, list[Argv]] = {}
        for name, own in of_ports.items():
            found[name] = [("ip", "link", "set", name, "master", BRIDGE, "up")]
            if self.vlan_aware:
                found[name] += _port_vlans(name, own)
        return found

    @property
    def _trunks(self) -> dict[str, str]:
        return {key: str(one) for key, one in self.trunks.items()}


def _port_vlans(name: str, own: vlans.PortVlans) -> Iterator[Argv]:
    """Commands for one port; the kernel has put it into VLAN 1, untagged."""
    if own.tag is None and not own.trunks:
        yield ("bridge", "vlan", "add", "vid", "2-4094", "dev", name)
        return
    if own.tag != 1:
        yield ("bridge", "vlan", "del", "vid", "1", "dev", name)
    for vid in own.trunks:
        yield ("bridge", "vlan", "add", "vid", str(vid), "dev", name)
    if own.tag is not None:
        yield ("bridge", "vlan", "add", "vid", str(own.tag), "dev", name, "pvid", "untagged")


@dataclass(frozen=True)
class Hub(Node):
    """A collision domain of many ends: no machine, a wire that repeats every frame to all.

    >>> Hub("lan")
    Hub(name='lan')
    """

    kind: ClassVar[str] = "hub"
    # no machine bears the name: it may be that of a lab's collision domain, such as A
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
    name_expected: ClassVar[str] = "1 to 63 letters, digits, '-' and '_', no '-' first"
    forwarding: ClassVar[ForwardingRole] = "hub"
