"""What a device kind is told when the plan asks it for its container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pytest_kinda.plan.values import DeviceSpec, InterfacePlan, RoutePlan


@dataclass(frozen=True)
class DeviceContext:
    """A device's place in the plan: its interfaces, addresses, routes and neighbours."""

    name: str
    interfaces: tuple[InterfacePlan, ...] = ()
    routes: tuple[RoutePlan, ...] = ()
    loopback: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()

    @property
    def uses_ipv6(self) -> bool:
        """Whether any of its addresses is IPv6."""
        return any(":" in one for interface in self.interfaces for one in interface.addresses)


@runtime_checkable
class DeviceKind(Protocol):
    """A node that is a container of the virtual network."""

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: image, files, sysctls, startup commands, readiness."""
        ...
