"""FRR's configuration, written from a router's place in the plan.

Links without IPv6 addresses have IPv6 off, so BGP's neighbours are numbered: each session is
between the two addresses of a link ("unnumbered" sessions need IPv6 link-local addresses).
Neighbours are found within a second. A cut link takes its carrier along, which is seen at once; a
silent neighbour is given up after 10 s (OSPF), 15 s (BGP) or 20 s (RIP): shorter times make
neighbours come and go on a machine whose processors are busy with a cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from pytest_kinda.plan.context import DeviceContext, RoutingContext, RoutingPeer
from pytest_kinda.plan.values import CommandSpec, FileSpec, InterfacePlan, ReadySpec

IMAGE = "@router"
START = CommandSpec(("/usr/lib/frr/frrinit.sh", "start"))
CAPABILITIES = ("NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_ADMIN")
"""What FRR's daemons need; zebra keeps SYS_ADMIN for namespaces, used or not."""

CONVERGENCE_LIMIT = 120.0
PATHS = 16

_DAEMONS = {
    "ospf": {4: "ospfd", 6: "ospf6d"},
    "rip": {4: "ripd", 6: "ripngd"},
    "bgp": {4: "bgpd", 6: "bgpd"},
}
PROTOCOLS = tuple(_DAEMONS)

_MISSING = """\
have=" $({ ip -4 route show; ip -6 route show; } | cut -d' ' -f1 | tr '\\n' ' ')"
for prefix in "$@"; do
  case "$have" in *" $prefix "*) ;; *) missing="$missing $prefix" ;; esac
done
[ -z "$missing" ] || { echo "no route to$missing"; exit 1; }
"""


def files(context: DeviceContext) -> tuple[FileSpec, ...]:
    """FRR's files for a router of the plan (``context.routing`` is not None)."""
    return (
        FileSpec("/etc/frr/daemons", text=daemons(context)),
        FileSpec("/etc/frr/frr.conf", text=configuration(context)),
    )


def ready(context: DeviceContext) -> tuple[ReadySpec, ...]:
    """Ready is a router whose kernel has a route to every prefix that it can learn of."""
    wanted = _routing(context).wanted
    prefixes = [
        # as `ip route` prints them
        "default" if one == "0.0.0.0/0" else one.removesuffix("/32" if "." in one else "/128")
        for one in wanted
    ]
    argv = ("sh", "-c", _MISSING, "missing-routes", *prefixes)
    what = f"routes from {_routing(context).protocol}"
    return (ReadySpec(argv, CONVERGENCE_LIMIT, what, interval=0.5),)


def daemons(context: DeviceContext) -> str:
    """``/etc/frr/daemons``: which of FRR's programs run, answering on loopback only."""
    protocol = _routing(context).protocol
    names = dict.fromkeys(_DAEMONS[protocol][one] for one in _versions(context))
    lines = [f"{one}=yes" for one in names] + ["vtysh_enable=yes"]
    lines += [f'{one}_options="-A 127.0.0.1"' for one in ("zebra", "mgmtd", "staticd", *names)]
    return "\n".join(lines) + "\n"


def configuration(context: DeviceContext) -> str:
    """``/etc/frr/frr.conf``."""
    routing = _routing(context)
    lines = [
        "frr defaults datacenter",
        f"hostname {context.name}",
        "log file /var/log/frr/frr.log informational",
        "service integrated-vtysh-config",
        "!",
    ]
    for route in routing.attached:
        word = "ipv6" if ":" in route.destination else "ip"
        lines += [
            f"{word} route {route.destination} {one.gateway} {one.interface}" for one in route.hops
        ]
    write = {"ospf": _ospf, "rip": _rip, "bgp": _bgp}[routing.protocol]
    lines += [*write(context, routing), "!"]
    return "\n".join(lines) + "\n"


def _ospf(context: DeviceContext, routing: RoutingContext) -> Iterator[str]:
    for one in context.interfaces:
        peers = _peers_at(routing, one)
        yield f"interface {one.name}"
        for version, word in ((4, "ip ospf"), (6, "ipv6 ospf6")):
            if not _has(one, version):
                continue
            yield f" {word} area 0"
            if not peers:
                yield f" {word} passive"
            elif all(each.generated for each in peers):
                # a peer that its author configures is likely to keep the protocol's own timers
                yield f" {word} hello-interval 1"
                yield f" {word} dead-interval 10"
                if len(peers) == 1 and len(one.peers) == 1:
                    yield f" {word} network point-to-point"
        yield "exit"
    if 4 in _versions(context):
        yield "router ospf"
        yield f" ospf router-id {_router_id(context)}"
        yield f" maximum-paths {PATHS}"
        # without these a second change within five seconds is told only after them
        yield " timers throttle lsa all 100"
        yield " timers lsa min-arrival 50"
        yield " timers throttle spf 10 50 1000"
        if _attached(routing, 4):
            yield " redistribute static metric-type 1"
        if routing.leads_outside:
            yield " default-information originate always metric-type 1"
        yield "exit"
    if 6 in _versions(context):
        yield "router ospf6"
        yield f" ospf6 router-id {_router_id(context)}"
        yield f" maximum-paths {PATHS}"
        if _attached(routing, 6):
            yield " redistribute static metric-type 1"
        yield "exit"


def _rip(context: DeviceContext, routing: RoutingContext) -> Iterator[str]:
    for version, word in ((4, "rip"), (6, "ripng")):
        if version not in _versions(context):
            continue
        yield f"router {word}"
        if version == 4:
            yield " version 2"
        yield f" allow-ecmp {PATHS}"
        yield " timers basic 5 20 10"
        for one in context.interfaces:
            if _has(one, version):
                yield f" network {one.name}"
                if not _peers_at(routing, one):
                    yield f" passive-interface {one.name}"
        if _attached(routing, version):
            yield " redistribute static"
        if routing.leads_outside and version == 4:
            yield " default-information originate"
        yield "exit"


def _bgp(context: DeviceContext, routing: RoutingContext) -> Iterator[str]:
    yield f"router bgp {routing.asn}"
    yield f" bgp router-id {_router_id(context)}"
    yield " no bgp ebgp-requires-policy"
    yield " bgp bestpath as-path multipath-relax"
    yield " no bgp default ipv4-unicast"
    sessions = [(address, peer) for peer in routing.peers if peer.asn for address in peer.addresses]
    for address, peer in sessions:
        yield f" neighbor {address} remote-as {peer.asn}"
        yield f" neighbor {address} description {peer.node}"
        yield f" neighbor {address} timers 3 15"
        yield f" neighbor {address} timers connect 1"
        yield f" neighbor {address} advertisement-interval 0"
    own = [
        str(ipaddress.ip_interface(address).network)
        for one in context.interfaces
        for address in one.addresses
    ] + [one.destination for one in routing.attached]
    for version in _versions(context):
        yield f" address-family ipv{version} unicast"
        yield from (f"  network {one}" for one in dict.fromkeys(_of(own, version)))
        chosen = set(_of((address for address, _ in sessions), version))
        yield from (f"  neighbor {one} activate" for one, _ in sessions if one in chosen)
        if routing.shares_asn:
            # else it takes what another router of its level announces for its own, come round
            yield from (f"  neighbor {one} allowas-in 1" for one, _ in sessions if one in chosen)
        if routing.leads_outside and version == 4:
            yield from (
                f"  neighbor {one} default-originate" for one, _ in sessions if one in chosen
            )
        yield f"  maximum-paths {PATHS}"
        yield " exit-address-family"
    yield "exit"


def _routing(context: DeviceContext) -> RoutingContext:
    assert context.routing is not None, f"{context.name} has no routing protocol"
    return context.routing


def _versions(context: DeviceContext) -> list[int]:
    return [one for one in (4, 6) if any(_has(each, one) for each in context.interfaces)]


def _has(interface: InterfacePlan, version: int) -> bool:
    return any(_of(interface.addresses, version))


def _of(addresses: Iterable[str], version: int) -> Iterator[str]:
    return (one for one in addresses if (":" in one) == (version == 6))


def _attached(routing: RoutingContext, version: int) -> bool:
    return any(_of((one.destination for one in routing.attached), version))


def _peers_at(routing: RoutingContext, interface: InterfacePlan) -> list[RoutingPeer]:
    return [one for one in routing.peers if one.interface == interface.name]


def _router_id(context: DeviceContext) -> str:
    """Its first IPv4 address; where it has none, its AS number, as unlike the others'."""
    for one in context.interfaces:
        for address in _of(one.addresses, 4):
            return address.partition("/")[0]
    return str(ipaddress.IPv4Address(_routing(context).asn))
