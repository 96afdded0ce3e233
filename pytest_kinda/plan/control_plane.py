"""``control_plane_traffic="network"``: API server, kubelets and etcd over the topology's links.

kubeadm and kind set a cluster up over Docker's network, and every kubeconfig in it names the
control plane by a name with a Docker address. When the virtual network carries packets, each node
gets a table that gives new connections to those ports the other node's endpoint, and ends the
connections that are there, which their owners open anew. No program is restarted and no file is
changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_kinda.errors import Problem
from pytest_kinda.operations import LoadNft
from pytest_kinda.plan import firewall
from pytest_kinda.plan.values import NodePlan, Plan, PlanOptions
from pytest_kinda.topology import KubernetesNode

TABLE = "kinda_control"


def control_plane_operations(
    plan: Plan, node: NodePlan, docker_addresses: Mapping[str, str]
) -> tuple[LoadNft, ...]:
    """What one Kubernetes node needs; nothing where the control plane's traffic stays direct.

    ``docker_addresses`` are the Kubernetes nodes' IPv4 addresses in Docker's network, by name.
    """
    if plan.options.control_plane_traffic != "network" or not node.endpoint:
        return ()
    others = {
        docker_addresses[one.name]: one.endpoint
        for one in plan.kubernetes_nodes
        if one.name != node.name and one.endpoint and one.name in docker_addresses
    }
    if not others or node.name not in docker_addresses:
        return ()
    text = ruleset(others, own=docker_addresses[node.name], endpoint=node.endpoint)
    return (LoadNft(node.name, firewall.FAMILY, TABLE, text),)


def problems(
    nodes: Iterable[KubernetesNode], endpoints: Mapping[str, str], options: PlanOptions
) -> list[Problem]:
    """What keeps the control plane's traffic from the network: a balancer, nodes without a link."""
    if options.control_plane_traffic != "network":
        return []
    nodes = list(nodes)
    several = [one for one in nodes if one.role == "control-plane"][1:]
    if several:
        expected = (
            "one control plane with control_plane_traffic='network': kubelets reach several by"
            " kind's load balancer, which is on Docker's network only"
        )
        return [Problem(one.where, "role", "another control plane", expected) for one in several]
    expected = "a link: with control_plane_traffic='network' nothing else reaches it"
    return [
        Problem(one.where, "links", "none", expected) for one in nodes if one.name not in endpoints
    ]


def warnings(nodes: Iterable[KubernetesNode]) -> list[str]:
    """An even number of control planes adds one that may fail, and no failure that is survived.

    etcd needs more than half of its members (Raft).
    """
    count = sum(one.role == "control-plane" for one in nodes)
    if count < 2 or count % 2:
        return []
    spare = count // 2 - 1
    return [
        f"{count} control planes: their etcd goes on without {spare or 'none'} of them, as with"
        f" {count - 1}; with {count + 1} it would go on without {spare + 1}"
    ]


def ruleset(others: Mapping[str, str], *, own: str, endpoint: str) -> str:
    """The table's text for nft: ``others`` are endpoints by Docker address.

    The output hook changes the destination of a new connection before it is routed again; its
    source, chosen for Docker's interface, follows in postrouting. What still leaves by eth0 belongs
    to a connection from before: it is reset, and ``refused`` counts it.
    """
    pairs = ", ".join(f"{docker} : {virtual}" for docker, virtual in others.items())
    return f"""\
table inet {TABLE} {{
	counter refused {{ }}

	map endpoints {{
		type ipv4_addr : ipv4_addr
		elements = {{ {pairs} }}
	}}

	set others {{
		type ipv4_addr
		elements = {{ {", ".join(others)} }}
	}}

	chain divert {{
		type nat hook output priority -100; policy accept;
		ip daddr @others tcp dport {firewall.DIRECT_PORTS} dnat ip to ip daddr map @endpoints
	}}

	chain source {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname != "eth0" ip saddr {own} tcp dport {firewall.DIRECT_PORTS} snat ip to {endpoint}
	}}

	chain cut {{
		type filter hook output priority filter; policy accept;
		oifname "eth0" ip daddr @others tcp dport {firewall.DIRECT_PORTS} counter name refused \
reject with tcp reset
		oifname "eth0" ip daddr @others tcp sport {firewall.DIRECT_PORTS} counter name refused \
reject with tcp reset
	}}
}}
"""
