"""``internet_via="r1"``: what is outside of the topology is reached through one device of it.

The device gets an uplink into a Docker network of its own, whose forwarding and address translation
Docker makes and takes away; the device translates to the uplink's address, since the machine has no
route to the topology's. Everybody else has a default route to the device.

A Kubernetes node keeps Docker's default route in its main table, because kubeadm and image pulls
need it, and asks three rules first: whatever has a route of its own takes it, marked packets take
Docker's default, all others the one in ``TABLE``. Marked is what containerd sends, told from others
by its group, and answers to connections that came in by Docker's interface (published ports). What
would leave by that interface unmarked, as when the device cannot be reached, is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from pytest_kinda.errors import Problem
from pytest_kinda.operations import (
    AddAddress,
    AddBridgePort,
    AddRoute,
    AddRule,
    AppendLines,
    End,
    Hop,
    LoadNft,
    Operation,
    SetInterface,
    SetSysctl,
    WriteFile,
)
from pytest_kinda.plan import routing
from pytest_kinda.plan.layout import Layout
from pytest_kinda.plan.naming import mac, port_name, uplink_bridge
from pytest_kinda.plan.values import HostFacts, NodePlan, Plan, PlanOptions, RoutePlan, UplinkPlan
from pytest_kinda.topology import (
    KubernetesNode,
    forwarding,
    has_static_routes,
    routes_are_the_authors,
)

DEFAULT = routing.DEFAULT[4]
UPLINK = "kuplink"
"""The device's interface to the outside."""

NFT_TABLE = "kinda_outside"
TABLE = 107
"""The routing table of a Kubernetes node that holds its way to the device."""

PULL_GROUP = 60077
"""The group that containerd runs as: by it the kernel tells its packets from others'."""

RESOLV_CONF = "/etc/resolv.conf"
_PRIORITY = 10700  # of the first rule: before the main table's 32766
_MARK = 0x10  # of packets; kube-proxy has 0x4000 and 0x8000
_PULL, _ARRIVED = 0x10, 0x20  # of connections
_NEVER_OUTSIDE = "224.0.0.0/3"  # multicast and broadcast


def problems(layout: Layout, options: PlanOptions) -> list[Problem]:
    """What ``internet_via`` and ``internet_dns`` say that cannot be done."""
    found: list[Problem] = []
    for one in nameservers(options, HostFacts()):
        try:
            ipaddress.IPv4Address(one)
        except ValueError:
            expected = "IPv4 addresses with commas between"
            found.append(Problem("options", "internet_dns", repr(one), expected))
    name = options.internet_via
    if not name:
        if options.internet_dns:
            expected = "internet_via= with it, the device that leads there"
            found.append(Problem("options", "internet_dns", options.internet_dns, expected))
        return found
    why = _unfit(layout, name)
    if why:
        routers = ", ".join(each for each, role in layout.roles.items() if role == "router")
        expected = f"one router that has a link: {routers or 'none here'}"
        found.append(Problem("options", "internet_via", why, expected))
    for node in layout.nodes.values():
        # the plan's own default route takes the place of Docker's
        if getattr(node, "ports", ()) and not has_static_routes(node):
            text = "published, with routes that the plan does not make"
            expected = "none with internet_via: Docker's default route comes with them"
            found.append(Problem(node.where, "ports", text, expected))
    return found


def _unfit(layout: Layout, name: str) -> str:
    """Why a device cannot be the way outside; empty if it can."""
    node = layout.nodes.get(name)
    if node is None:
        return f"unknown device {name!r}"
    if isinstance(node, KubernetesNode):
        return f"{name}, a node of the cluster"
    if forwarding(node) != "router":
        return f"{name}, a {node.kind}, which does not route"
    return "" if layout.ports[name] else f"{name}, which is on no link"


def path_problems(
    layout: Layout, routes: Mapping[str, tuple[RoutePlan, ...]], options: PlanOptions
) -> list[Problem]:
    """Kubernetes nodes that do not reach the device."""
    return [
        Problem(
            node.where,
            "links",
            f"no path to {options.internet_via}",
            f"a path: with internet_via={options.internet_via!r} nothing else leads outside",
        )
        for name, node in layout.nodes.items()
        if isinstance(node, KubernetesNode)
        if not any(one.destination == DEFAULT for one in routes[name])
    ]


def warnings(layout: Layout, uplink: UplinkPlan | None) -> list[str]:
    """What the author must know beside."""
    if uplink is None:
        return []
    found = []
    authors = [
        name
        for name, node in layout.nodes.items()
        if name != uplink.device and routes_are_the_authors(node)
    ]
    if authors:
        found.append(
            f"internet_via={uplink.device!r}: the routes of {', '.join(authors)} are their"
            f" author's, and it is up to those to lead there"
        )
    if not uplink.nameservers:
        found.append(
            "internet_via: this machine names no name server that others could ask; names of the"
            " outside are asked of Docker's (internet_dns= names one)"
        )
    return found


def nameservers(options: PlanOptions, facts: HostFacts) -> tuple[str, ...]:
    """Whom nodes, pods and devices ask for names: what was given, else whom the machine asks."""
    given = tuple(one.strip() for one in options.internet_dns.split(",") if one.strip())
    return given or facts.nameservers


def uplink_operations(plan: Plan, testbed: str) -> tuple[Operation, ...]:
    """The cable from the device to the machine."""
    uplink = plan.uplink
    if uplink is None:
        return ()
    end = End(uplink.device, UPLINK, mac(plan.topology, uplink.device, UPLINK, set()))
    port = port_name(testbed, uplink.device, UPLINK)
    return (AddBridgePort(end, port, uplink_bridge(testbed)),)


def start_operations(plan: Plan, node: NodePlan, members: Iterable[str]) -> tuple[Operation, ...]:
    """What a Kubernetes node needs before anything in it sends. ``members`` are the testbed's."""
    if plan.uplink is None:
        return ()
    return (
        # first: systemd starts nothing as a group that has no name
        AppendLines(node.name, "/etc/group", (f"kinda-pull:x:{PULL_GROUP}:",)),
        LoadNft(node.name, "inet", NFT_TABLE, ruleset(members)),
        # what has a route of its own takes it; a default route has length 0
        AddRule(node.name, _PRIORITY, "main", longer_than=0),
        AddRule(node.name, _PRIORITY + 1, "main", mark=_MARK, mask=_MARK),
        AddRule(node.name, _PRIORITY + 2, str(TABLE)),
    )


def route(node: NodePlan, one: RoutePlan) -> AddRoute:
    """A route of the plan as an operation: a Kubernetes node's way outside has its own table."""
    apart = node.is_kubernetes and one.destination == DEFAULT
    return AddRoute(
        node.name, one.destination, one.hops, one.source, table=str(TABLE) if apart else "main"
    )


def configure_operations(plan: Plan, node: NodePlan) -> tuple[Operation, ...]:
    """What a wired node needs: the device its uplink, everybody whom to ask for names."""
    uplink = plan.uplink
    if uplink is None:
        return ()
    found: list[Operation] = []
    if node.name == uplink.device:
        found += [
            SetSysctl(node.name, f"net.ipv6.conf.{UPLINK}.disable_ipv6", "1"),
            SetSysctl(node.name, "net.ipv4.ip_forward", "1"),
            SetInterface(node.name, UPLINK, up=True),
            AddAddress(node.name, UPLINK, uplink.address),
            AddRoute(node.name, DEFAULT, (Hop(uplink.gateway, UPLINK),)),
            LoadNft(node.name, "ip", NFT_TABLE, _DEVICE_RULESET),
        ]
    own = node.device is not None and any(one.path == RESOLV_CONF for one in node.device.files)
    if uplink.nameservers and not own:
        text = "".join(f"nameserver {one}\n" for one in uplink.nameservers)
        found.append(WriteFile(node.name, RESOLV_CONF, text))
    return tuple(found)


_DEVICE_RULESET = f"""\
table ip {NFT_TABLE} {{
	chain source {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{UPLINK}" masquerade
	}}
}}
"""


def ruleset(members: Iterable[str]) -> str:
    """The table of a Kubernetes node, for nft.

    ``pulls`` counts what containerd sends outside, ``refused`` what others tried to send past the
    device, ``bypass`` what left by Docker's interface all the same, which the guard calls a leak.
    """
    ipv4 = [ipaddress.IPv4Network(one) for one in (*members, _NEVER_OUTSIDE) if ":" not in one]
    inside = ", ".join(str(one) for one in ipaddress.collapse_addresses(ipv4))
    flow = "ip saddr . ip daddr . meta l4proto . th dport"
    return f"""\
table inet {NFT_TABLE} {{
	counter pulls {{ }}
	counter refused {{ }}
	counter bypass {{ }}

	set inside {{
		type ipv4_addr
		flags interval
		elements = {{ {inside} }}
	}}

	set leaks {{
		type ipv4_addr . ipv4_addr . inet_proto . inet_service
		size 128
		flags dynamic
	}}

	chain arriving {{
		type filter hook prerouting priority mangle; policy accept;
		iifname "eth0" ct state new ip saddr != @inside ct mark set ct mark or {_ARRIVED:#x}
		ct mark and {_PULL | _ARRIVED:#x} != 0 meta mark set meta mark or {_MARK:#x}
	}}

	chain leaving {{
		type route hook output priority mangle; policy accept;
		oifname "lo" accept
		meta skgid {PULL_GROUP} ip daddr != @inside ct mark set ct mark or {_PULL:#x}
		meta skgid {PULL_GROUP} ip6 daddr 2000::/3 ct mark set ct mark or {_PULL:#x}
		ct mark and {_PULL | _ARRIVED:#x} != 0 meta mark set meta mark or {_MARK:#x}
	}}

	chain source {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth0" ct mark and {_PULL:#x} != 0 masquerade
	}}

	chain past {{
		ip6 daddr != 2000::/3 accept
		ip daddr @inside accept
		ct mark and {_PULL | _ARRIVED:#x} != 0 accept
	}}

	chain refuse {{
		jump past
		counter name refused reject with icmpx admin-prohibited
	}}

	chain refuse_output {{
		type filter hook output priority filter; policy accept;
		oifname "eth0" jump refuse
	}}

	chain refuse_forward {{
		type filter hook forward priority filter; policy accept;
		oifname "eth0" jump refuse
	}}

	chain guard {{
		type filter hook postrouting priority 300; policy accept;
		oifname != "eth0" accept
		ip6 daddr != 2000::/3 accept
		ip daddr @inside accept
		ct mark and {_ARRIVED:#x} != 0 accept
		ct mark and {_PULL:#x} != 0 counter name pulls accept
		counter name bypass
		add @leaks {{ {flow} }}
	}}
}}
"""
