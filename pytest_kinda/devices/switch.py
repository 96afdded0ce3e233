"""A switch (a Linux bridge that learns) and a hub (a wire of many ends)."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pytest_kinda.devices.device import Device
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import CommandSpec, DeviceSpec
from pytest_kinda.topology.node import ForwardingRole, Node


@dataclass(frozen=True, repr=False)
class Switch(Device):
    """A learning switch: a Linux bridge over all its links, one broadcast domain.

    ``stp`` runs the spanning tree protocol, needed where switches form a circle.

    >>> Switch("s1")
    Switch(name='s1')
    """

    kind: ClassVar[str] = "switch"
    forwarding: ClassVar[ForwardingRole] = "switch"

    _: KW_ONLY
    stp: bool = False

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: a bridge made before the author's own startup commands."""
        spec = super().specification(context)
        commands = [
            ("ip", "link", "add", "br0", "type", "bridge", "stp_state", "1" if self.stp else "0"),
            *(("ip", "link", "set", one.name, "master", "br0", "up") for one in context.interfaces),
            ("ip", "link", "set", "br0", "up"),
        ]
        return dataclasses.replace(
            spec,
            startup=tuple(CommandSpec(one) for one in commands) + spec.startup,
            capabilities=tuple(dict.fromkeys(("NET_ADMIN", *spec.capabilities))),
        )


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
