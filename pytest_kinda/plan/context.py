"""What a device kind is told when the plan asks it for its container."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from pytest_kinda.errors import Problem
from pytest_kinda.plan.values import (
    DeviceSpec,
    HostFacts,
    InterfacePlan,
    PlanOptions,
    RoutePlan,
)

Made = TypeVar("Made")


@dataclass(frozen=True)
class RoutingPeer:
    """A router on the other side of one of the device's interfaces.

    ``addresses`` are the peer's there, without lengths. ``asn`` is 0 where nobody said it;
    ``generated`` tells whether the peer's configuration comes from the plan too.
    """

    node: str
    interface: str
    addresses: tuple[str, ...] = ()
    asn: int = 0
    generated: bool = True


@dataclass(frozen=True)
class RoutingContext:
    """What a router that runs a routing protocol must know.

    ``attached`` are prefixes behind the ends next to it, which it alone can announce: addresses on
    their loopbacks, and the pods' networks where pods are routed.
    ``wanted`` is every prefix that it knows once the protocol has converged, its own included.
    ``leads_outside``: it announces the default route. ``shares_asn``: other routers that hear of it
    are in its autonomous system, and linked to it through others only.
    """

    protocol: str
    asn: int
    peers: tuple[RoutingPeer, ...] = ()
    attached: tuple[RoutePlan, ...] = ()
    wanted: tuple[str, ...] = ()
    leads_outside: bool = False
    shares_asn: bool = False


@dataclass(frozen=True)
class FarEnd:
    """Who is on the other side of one of the device's interfaces.

    ``interface`` is the device's own; ``mac`` and ``addresses`` (with lengths) are those of
    ``node`` there. Of a device that switches they are the ends of its cables, of others also
    those behind switches.
    """

    interface: str
    node: str
    mac: str
    addresses: tuple[str, ...] = ()


def _nobody() -> tuple[FarEnd, ...]:
    return ()


@dataclass(frozen=True)
class DeviceContext:
    """A device's place in the plan: its interfaces, addresses, routes and neighbours.

    ``routing`` is None for a device without a routing protocol; ``facts`` are of this machine.
    ``far_ends`` is a function, since few kinds ask for it.
    """

    name: str
    interfaces: tuple[InterfacePlan, ...] = ()
    routes: tuple[RoutePlan, ...] = ()
    loopback: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    routing: RoutingContext | None = None
    facts: HostFacts = field(default_factory=HostFacts)
    options: PlanOptions = field(default_factory=PlanOptions)
    far_ends: Callable[[], tuple[FarEnd, ...]] = _nobody
    _made: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def once(self, what: str, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made when it is first asked for at this place in this plan.

        ``problems_at`` and ``specification`` have the same context, and often need the same.
        """
        if what not in self._made:
            self._made[what] = make()
        found: Made = self._made[what]
        return found

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


@runtime_checkable
class Placed(Protocol):
    """A kind that can be wrong at its place: a link it names is not there, the kernel lacks it."""

    def problems_at(self, context: DeviceContext) -> Iterator[Problem]:
        """All that cannot be carried out there."""
        ...
