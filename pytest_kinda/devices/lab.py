"""A device of a lab that somebody has written already: it gives itself its addresses and routes."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pytest_kinda.devices.device import Device
from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import DeviceSpec
from pytest_kinda.topology.frozen import EMPTY
from pytest_kinda.topology.node import ForwardingRole


@dataclass(frozen=True, repr=False)
class LabDevice(Device):
    """A device that its own files and startup commands configure; the plan only wires it.

    ``addresses`` says, per interface that is the device's own business, which addresses it is
    known to give itself (``"10.0.0.1/24 fd00::1/64"``; empty where that is not known): the plan
    reckons with them and sets none. An interface that is not named there, such as that of a link
    attached later, gets its address from the plan. ``macs`` are given MAC addresses by interface,
    ``executable`` names files that are programs, ``after`` devices that are started before it,
    ``ulimits`` are ``NAME=SOFT:HARD``. ``forwarding`` is what it does with others' packets.

    >>> LabDevice("pc1", addresses={"eth0": "195.11.14.5/24"})
    LabDevice(name='pc1', addresses={'eth0': '195.11.14.5/24'})
    """

    kind: ClassVar[str] = "lab-device"
    # labs were named before they came here; engines are told lower case
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    )
    name_expected: ClassVar[str] = "1 to 63 letters, digits, '-' and '_', no '-' first or last"

    _: KW_ONLY
    addresses: Mapping[str, str] = EMPTY
    macs: Mapping[str, str] = EMPTY
    executable: Sequence[str] = ()
    after: Sequence[str] = ()
    ulimits: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    forwarding: ForwardingRole = "end"  # type: ignore[misc]

    @property
    def static_routes(self) -> bool:
        """The plan computes no routes for it."""
        return False

    @property
    def own_addresses(self) -> dict[str, tuple[str, ...]]:
        """Per interface that the plan leaves alone: the addresses that it will have."""
        return {name: tuple(text.split()) for name, text in self.addresses.items()}

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this device by itself."""
        yield from super().problems()
        for name, text in self.addresses.items():
            for one in text.split():
                try:
                    ipaddress.ip_interface(one)
                except ValueError:
                    yield Problem(self.where, f"addresses[{name}]", repr(one), "ADDRESS/LENGTH")

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container, with its programs executable."""
        spec = super().specification(context)
        programs = set(self.executable)
        return dataclasses.replace(
            spec,
            files=tuple(
                dataclasses.replace(one, mode=0o755) if one.path in programs else one
                for one in spec.files
            ),
            after=tuple(self.after),
            ulimits=tuple(self.ulimits),
            entrypoint=tuple(self.entrypoint),
            command=tuple(self.command),
        )
