"""The nft table of a Kubernetes node: what leaves by Docker's interface, and what must not.

It is a table of our own, because the node image's entrypoint rewrites those of iptables.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

TABLE = "kinda"
FAMILY = "inet"
DIRECT_PORTS = "{ 2379, 2380, 6443, 10250 }"
"""etcd, API server and kubelets: what may cross Docker's network between members (TCP)."""


def ruleset(
    *,
    underlay: Iterable[str],
    pod_cidr: str,
    service_cidr: str,
    docker_subnet: str,
    pod_cidr6: str = "",
    service_cidr6: str = "",
) -> str:
    """The table's text for nft.

    Named counters: ``leak_out`` and ``leak_in`` for packets between two members of the testbed
    that should have crossed the virtual network, ``direct``, ``dns`` and ``outside`` for those
    that may cross Docker's. The set ``leaks`` keeps the first leaks. What pods send to anything
    but pods and services takes the node's address: devices have no route to pods, and the answer
    of another node (a NodePort's) must come back through the node that keeps the connection.

    With ``pod_cidr6`` and ``service_cidr6`` the same holds for IPv6 (the set ``leaks6``); a packet
    to a service that kube-proxy does not know is rejected on every interface, since such a route
    leads to the tunnel. Without them IPv6 between local addresses (RFC 4193) is a leak.
    """
    underlay = list(underlay)
    docker = ipaddress.IPv4Network(docker_subnet)
    # the first address is the host's: traffic with it is outside, not a leak
    gateway = docker.network_address + 1
    members = _merged([*underlay, pod_cidr, service_cidr, docker_subnet])
    six = _Six(underlay, pod_cidr6, service_cidr6)
    return f"""\
table inet kinda {{
	counter leak_out {{ }}
	counter leak_in {{ }}
	counter direct {{ }}
	counter dns {{ }}
	counter outside {{ }}

	set members {{
		type ipv4_addr
		flags interval
		elements = {{ {", ".join(members)} }}
	}}

	set leaks {{
		type ipv4_addr . ipv4_addr . inet_proto . inet_service
		size 128
		flags dynamic
	}}
{six.sets}
	chain allowed {{
		udp dport 53 counter name dns accept
		udp sport 53 counter name dns accept
		meta l4proto ipv6-icmp accept
		ip6 saddr != {six.members} counter name outside accept
		ip6 daddr != {six.members} counter name outside accept
		ip saddr {gateway} counter name outside accept
		ip daddr {gateway} counter name outside accept
		ip saddr != @members counter name outside accept
		ip daddr != @members counter name outside accept
		tcp dport {DIRECT_PORTS} counter name direct accept
		tcp sport {DIRECT_PORTS} counter name direct accept
	}}

	chain guard_in {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "eth0" accept
		jump allowed
		counter name leak_in
		add @leaks {{ ip saddr . ip daddr . meta l4proto . th dport }}{six.flow}
	}}

	chain guard_out {{
		type filter hook postrouting priority 300; policy accept;
		oifname != "eth0" accept
		jump allowed
		counter name leak_out
		add @leaks {{ ip saddr . ip daddr . meta l4proto . th dport }}{six.flow}
	}}

	chain services_forward {{
		type filter hook forward priority filter; policy accept;
		oifname "eth0" ip daddr {service_cidr} reject{six.services}
	}}

	chain services_output {{
		type filter hook output priority filter; policy accept;
		oifname "eth0" ip daddr {service_cidr} reject{six.services}
	}}

	chain pods_outside {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {pod_cidr} ip daddr != {{ {pod_cidr}, {service_cidr} }} masquerade{six.outside}
	}}
}}
"""


class _Six:
    """The parts of the table that are there where pods have IPv6; empty ones where they do not."""

    members = "fc00::/7"
    sets = flow = services = outside = ""

    def __init__(self, underlay: Iterable[str], pods: str, services: str) -> None:
        if not pods:
            return
        members = _merged([*underlay, pods, services], version=6)
        self.members = "@members6"
        self.sets = f"""
	set members6 {{
		type ipv6_addr
		flags interval
		elements = {{ {", ".join(members)} }}
	}}

	set leaks6 {{
		type ipv6_addr . ipv6_addr . inet_proto . inet_service
		size 128
		flags dynamic
	}}
"""
        self.flow = "\n\t\tadd @leaks6 { ip6 saddr . ip6 daddr . meta l4proto . th dport }"
        self.services = f"\n\t\tip6 daddr {services} reject"
        self.outside = f"\n\t\tip6 saddr {pods} ip6 daddr != {{ {pods}, {services} }} masquerade"


def _merged(networks: Iterable[str], version: int = 4) -> list[str]:
    if version == 6:
        six = [ipaddress.IPv6Network(one) for one in networks if ":" in one]
        return [str(one) for one in ipaddress.collapse_addresses(six)]
    ipv4 = [ipaddress.IPv4Network(one) for one in networks if ":" not in one]
    return [str(one) for one in ipaddress.collapse_addresses(ipv4)]
