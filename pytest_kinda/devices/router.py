"""A router: forwards IP between its links."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from pytest_kinda.devices.device import Device
from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import DeviceSpec
from pytest_kinda.topology.node import ForwardingRole

Routing = Literal["static"] | None


@dataclass(frozen=True, repr=False)
class Router(Device):
    """A router.

    ``routing="static"`` lets the plan compute its routes (shortest paths, equal-cost ones
    included); ``None`` leaves them to its files and startup commands.

    >>> Router("r1")
    Router(name='r1')
    """

    kind: ClassVar[str] = "router"
    forwarding: ClassVar[ForwardingRole] = "router"

    _: KW_ONLY
    routing: Routing = "static"

    @property
    def static_routes(self) -> bool:
        """Whether the plan computes its routes."""
        return self.routing == "static"

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this router by itself."""
        yield from super().problems()
        if self.routing not in ("static", None):
            yield Problem(self.where, "routing", repr(self.routing), "'static' or None")

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: a device that forwards, and spreads flows over equal-cost paths."""
        spec = super().specification(context)
        sysctls = {
            "net.ipv4.ip_forward": "1",
            # equal-cost paths make replies come in by another interface than they would leave by
            "net.ipv4.conf.all.rp_filter": "0",
            "net.ipv4.conf.default.rp_filter": "0",
            "net.ipv4.fib_multipath_hash_policy": "1",
        }
        if context.uses_ipv6:
            sysctls["net.ipv6.conf.all.forwarding"] = "1"
            sysctls["net.ipv6.fib_multipath_hash_policy"] = "1"
        return dataclasses.replace(spec, sysctls=sysctls | dict(spec.sysctls))
