"""A router: forwards IP between its links."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from pytest_kinda.devices import frr
from pytest_kinda.devices.device import Device
from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import DeviceSpec
from pytest_kinda.topology.node import ForwardingRole

Routing = Literal["static", "ospf", "bgp", "rip"] | None
_DEFAULT_IMAGE = "@base"


@dataclass(frozen=True, repr=False)
class Router(Device):
    """A router.

    ``routing`` says who makes its routes:

    - ``"static"``: the plan computes them (shortest paths, equal-cost ones included).
    - ``"ospf"``, ``"bgp"``, ``"rip"``: FRR in the router, configured from the topology (area 0;
      eBGP with numbered neighbours, multipath over different AS paths). The build waits until the
      kernel of each has a route to every network. The image is ``@router`` unless one is given.
      Neighbouring routers must speak the same protocol. ``asn`` is the autonomous system (BGP); a
      private one for each router where it is not given, for each level in ``fat_tree`` and
      ``leaf_spine``. Routers that are not linked may share one, linked routers may not.
    - ``None``: its own files and startup commands make them, as written.

    In a topology with a router of ``routing=None`` the address of a Kubernetes node with several
    links is that of its first: an address on its loopback is what nobody there would announce.

    >>> Router("r1")
    Router(name='r1')
    >>> Router("r2", routing="bgp", asn=65001)
    Router(name='r2', routing='bgp', asn=65001)
    >>> Router("r3", routing=None, image="@router", mounts=["r3/frr:/etc/frr"],
    ...        startup_commands=["/usr/lib/frr/frrinit.sh start"])
    """

    kind: ClassVar[str] = "router"
    forwarding: ClassVar[ForwardingRole] = "router"

    _: KW_ONLY
    routing: Routing = "static"
    asn: int | None = None

    @property
    def static_routes(self) -> bool:
        """Whether the plan computes its routes."""
        return self.routing == "static"

    @property
    def routing_protocol(self) -> str:
        """The protocol that the plan configures; empty where there is none."""
        return self.routing if self.routing in frr.PROTOCOLS else ""

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this router by itself."""
        yield from super().problems()
        if self.routing not in ("static", *frr.PROTOCOLS, None):
            accepted = "'static', 'ospf', 'bgp', 'rip' or None"
            yield Problem(self.where, "routing", repr(self.routing), accepted)
        if self.asn is not None:
            whole = isinstance(self.asn, int) and not isinstance(self.asn, bool)
            if not whole or not 1 <= self.asn <= 4_294_967_294:
                yield Problem(self.where, "asn", repr(self.asn), "a number from 1 to 4294967294")
            if self.routing not in ("bgp", None):
                found = f"{self.asn!r} with routing={self.routing!r}"
                yield Problem(self.where, "asn", found, "routing='bgp' (or None: your own)")
        if self.routing_protocol:
            for path in self.files:
                if path.startswith("/etc/frr/"):
                    found = f"{path} with routing={self.routing!r}"
                    expected = "routing=None for a configuration of your own"
                    yield Problem(self.where, "files", found, expected)

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
        spec = dataclasses.replace(spec, sysctls=sysctls | dict(spec.sysctls))
        if context.routing is None:
            return spec
        return dataclasses.replace(
            spec,
            image=frr.IMAGE if spec.image == _DEFAULT_IMAGE else spec.image,
            files=(*frr.files(context), *spec.files),
            # its author's commands may talk to the running daemons
            startup=(frr.START, *spec.startup),
            capabilities=tuple(dict.fromkeys((*frr.CAPABILITIES, *spec.capabilities))),
            ready=(*frr.ready(context), *spec.ready),
        )
