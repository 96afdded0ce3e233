"""Cutting a cable: take the carrier of an interface away, and give it back.

A veth has no carrier of its own to switch (the kernel refuses IFLA_CARRIER): it loses it when its
*other* end is set down. Where the other end is a bridge port on the host, that is all. Where it is
an interface of another node (a cable straight between two), that one goes down administratively,
which makes the kernel drop its routes and IPv6 addresses; they are kept here and put back.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from pytest_kinda.errors import HostError
from pytest_kinda.host.links import FORWARDING, index_of, namespace_number
from pytest_kinda.host.namespaces import Namespace, entered
from pytest_kinda.host.tunnel_links import set_own_sysctl
from pytest_kinda.operations import SetCarrier

_USE_LIMIT = 5.0
_UNANSWERED = (0x01, 0x20)  # NUD_INCOMPLETE, NUD_FAILED
_LOCAL = 255  # the table of a machine's own addresses
_KERNEL = 2  # protocol of the routes that come back by themselves

# by index: the interface that takes a restarted node's place may have the name, and not the routes
_kept: dict[tuple[int, int], list[Any]] = {}
_lock = threading.Lock()


def set_carrier(operation: SetCarrier, here: Namespace, places: Mapping[str, Namespace]) -> None:
    """Cut or mend; done before is no error. ``places`` are where the other end may be.

    Both ends of a cable straight between two nodes may be named: setting one of them down takes
    both carriers, and the second operation finds its work done. Raises HostError.
    """
    with entered(here), IPRoute() as ip:
        link = ip.get_links(index_of(operation.interface))[0]
        other_index = link.get_attr("IFLA_LINK")
        if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "veth" or not other_index:
            raise HostError(
                f"interface {operation.interface} of {operation.place} is no end of a veth pair: "
                "its carrier cannot be switched"
            )
        if not operation.up and not link.get_attr("IFLA_CARRIER"):
            return
        there = _namespace_of_other_end(ip, link, here, places)
    if there is None:
        raise HostError(
            f"interface {operation.interface} of {operation.place}: its other end is in none of "
            f"the known places ({', '.join(sorted(places))})"
        )
    if operation.up:
        # Whichever end was set down comes up.
        _set_up(here, link["index"])
        _set_up(there, other_index)
        for namespace, index in ((here, link["index"]), (there, other_index)):
            _await_use(namespace, index)
            _forget_failures(namespace, index)
    else:
        _set_down(there, other_index)


def _namespace_of_other_end(
    ip: IPRoute, link: Any, here: Namespace, places: Mapping[str, Namespace]
) -> Namespace | None:
    number = link.get_attr("IFLA_LINK_NETNSID")
    if number is None:
        return here
    for namespace in places.values():
        if namespace_number(ip, namespace) == number:
            return namespace
    return None


def _has_stp(ip: IPRoute, port: Any) -> bool:
    """Whether a port's bridge runs the spanning tree protocol, which says what it forwards."""
    bridge = ip.get_links(port.get_attr("IFLA_MASTER"))[0]
    return bool(bridge.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BR_STP_STATE"))


def _set_down(namespace: Namespace, index: int) -> None:
    with entered(namespace), IPRoute() as ip:
        name = ip.get_links(index)[0].get_attr("IFLA_IFNAME")
        set_own_sysctl(f"net.ipv6.conf.{name}.keep_addr_on_down", "1")
        routes = [
            route
            # of every table but the kernel's own: a way outside may have one of its own
            for route in (*ip.get_routes(family=2), *ip.get_routes(family=10))
            if route["proto"] != _KERNEL and route["table"] != _LOCAL
            if index in _interfaces_of(route)
        ]
        with _lock:
            _kept.setdefault((namespace.inode, index), routes)
        ip.link("set", index=index, state="down")


def _set_up(namespace: Namespace, index: int) -> None:
    with entered(namespace), IPRoute() as ip:
        link = ip.get_links(index)[0]
        if not link["flags"] & 1:
            ip.link("set", index=index, state="up")
        with _lock:
            routes = _kept.pop((namespace.inode, index), [])
        for route in routes:
            _put_back(ip, route)


def _await_use(namespace: Namespace, index: int) -> None:
    """Wait until an interface that has its carrier again sends and, in a bridge, forwards.

    The kernel acts on a new carrier up to a second late (until then the queueing discipline drops
    all, and a bridge's port blocks); asking for the link makes it do so at once (since 6.8).
    Raises HostError.
    """

    def look(ip: IPRoute) -> bool:
        link = ip.get_links(index)[0]
        in_bridge = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_KIND") == "bridge"
        state = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_STATE")
        if not link.get_attr("IFLA_CARRIER"):
            return True  # something else holds it down
        if link.get_attr("IFLA_OPERSTATE") != "UP":
            return False
        return not in_bridge or state == FORWARDING or (bool(state) and _has_stp(ip, link))

    looking = Retrying(
        retry=retry_if_result(lambda ready: not ready),
        stop=stop_after_delay(_USE_LIMIT),
        wait=wait_fixed(0.05),
    )
    with entered(namespace), IPRoute() as ip:
        try:
            looking(look, ip)
        except RetryError:
            raise HostError(
                f"interface {index} has its carrier and is not in use after {_USE_LIMIT:g} s"
            ) from None


def _forget_failures(namespace: Namespace, index: int) -> None:
    """Forget neighbours that were asked for in vain while the cable was cut.

    A resolution that began then would refuse the first packets after the mending, for up to the
    three seconds that it lasts.
    """
    with entered(namespace), IPRoute() as ip:
        for neighbour in (*ip.get_neighbours(family=2), *ip.get_neighbours(family=10)):
            if neighbour["ifindex"] == index and neighbour["state"] in _UNANSWERED:
                with suppress(NetlinkError):  # answered or gone meanwhile
                    ip.neigh(
                        "del",
                        dst=neighbour.get_attr("NDA_DST"),
                        ifindex=index,
                        family=neighbour["family"],
                    )


def _put_back(ip: IPRoute, route: Any) -> None:
    """Make a route again as it was read; what a routing daemon has made again meanwhile stays."""
    family = route["family"]
    spec: dict[str, Any] = {
        "family": family,
        "dst": f"{route.get_attr('RTA_DST') or ('::' if family == 10 else '0.0.0.0')}"
        f"/{route['dst_len']}",
        "proto": route["proto"],
        "scope": route["scope"],
        "type": route["type"],
        "table": route["table"],
    }
    for attribute, key in (
        ("RTA_GATEWAY", "gateway"),
        ("RTA_OIF", "oif"),
        ("RTA_PREFSRC", "prefsrc"),
        ("RTA_PRIORITY", "priority"),
    ):
        if (value := route.get_attr(attribute)) is not None:
            spec[key] = value
    if hops := route.get_attr("RTA_MULTIPATH"):
        spec["multipath"] = [
            {"oif": hop["oif"], "hops": hop["hops"], "gateway": hop.get_attr("RTA_GATEWAY")}
            for hop in hops
        ]
    try:
        ip.route("add", **spec)
    except NetlinkError as error:
        if error.code not in (errno.EEXIST, errno.ENETUNREACH, errno.EHOSTUNREACH):
            raise


def _interfaces_of(route: Any) -> set[int]:
    found = {route.get_attr("RTA_OIF")}
    with suppress(TypeError):
        found |= {hop["oif"] for hop in route.get_attr("RTA_MULTIPATH") or ()}
    return found
