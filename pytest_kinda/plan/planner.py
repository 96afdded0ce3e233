"""From a topology, options and facts of the host to everything that will exist."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import ipaddress
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import cast

from pytest_kinda.errors import PlanError, Problem
from pytest_kinda.plan import cluster as clusters
from pytest_kinda.plan import control_plane, families, outside, tunnels
from pytest_kinda.plan.addressing import (
    Addresses,
    Network,
    assign,
    docker_subnet,
    pool_problems,
)
from pytest_kinda.plan.cards import with_cards
from pytest_kinda.plan.codec import signature
from pytest_kinda.plan.context import DeviceContext, DeviceKind, FarEnd
from pytest_kinda.plan.dynamic import routing_contexts, routing_problems
from pytest_kinda.plan.engines import container_problems, engine_problems
from pytest_kinda.plan.growth import grow
from pytest_kinda.plan.layout import Layout, Port, lay_out, others_at
from pytest_kinda.plan.naming import engine_names, mac
from pytest_kinda.plan.relays import relay_problems
from pytest_kinda.plan.routing import path_problems, routes
from pytest_kinda.plan.shaping import shape_of, shape_problems
from pytest_kinda.plan.values import (
    ClusterPlan,
    DeviceSpec,
    HostFacts,
    InterfacePlan,
    LinkPlan,
    Member,
    NodePlan,
    Plan,
    PlanOptions,
    RoutePlan,
    SegmentPlan,
    TunnelPlan,
    UplinkPlan,
)
from pytest_kinda.topology import (
    KubernetesNode,
    Node,
    Topology,
    forwarding,
    routes_are_the_authors,
)

_KUBERNETES_SYSCTLS = {
    # replies may come in by another interface than they would leave by
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.fib_multipath_hash_policy": "1",
    "net.ipv4.ip_forward": "1",
}


def plan(
    topology: Topology, options: PlanOptions | None = None, facts: HostFacts | None = None
) -> Plan:
    """Everything that will exist, computed and not yet touched.

    Equal arguments give an equal plan. Raises PlanError with all that cannot be carried out.
    """
    with collector_paused():
        return _plan(topology, options or PlanOptions(), facts or HostFacts())


def _plan(topology: Topology, options: PlanOptions, facts: HostFacts) -> Plan:
    declared_topology = topology
    topology = with_cards(topology)
    declared = _declared_networks(topology)
    problems = pool_problems(options, facts, declared)
    problems += families.option_problems(options, facts, declared)
    problems += shape_problems(topology.links, facts)
    for one in topology.nodes:
        if not _has_machine(one) and forwarding(one) != "hub":
            problems.append(
                Problem(one.where, "kind", type(one).__name__, "a kind with specification()")
            )
    if problems:
        raise PlanError(f"plan of {topology.name!r}", problems)

    layout = lay_out(topology)
    problems = engine_problems(layout, options.engine) + path_problems(layout)
    problems += routing_problems(layout)
    problems += grow(layout)
    way_out = outside.problems(layout, options)
    problems += way_out
    addresses = assign(layout, options, problems)
    in_cluster = clusters.in_order(topology.kubernetes_nodes)
    problems += control_plane.problems(in_cluster, addresses.endpoints, options)
    pod_networks = clusters.pod_networks(in_cluster, options, problems)
    pod_networks6 = families.pod_networks(in_cluster, options, problems)
    networks = {
        name: (one, *([pod_networks6[name]] if name in pod_networks6 else []))
        for name, one in pod_networks.items()
    }
    endpoints6 = families.endpoints6(in_cluster, addresses.endpoints, options, problems)
    # what an end sends to its only router, beside the networks that were given
    wide = [options.pool]
    if options.pods == "routed":
        own = {name: (f"{one}/128",) for name, one in endpoints6.items()}
        addresses.route_pods({name: each + own.get(name, ()) for name, each in networks.items()})
        problems += families.routed_problems(layout, options)
        if addresses.pods:
            wide += families.pod_cidrs(options) + families.node_cidrs(options)
    if options.internet_via and not way_out:
        addresses.lead_outside(options.internet_via)
    node_routes = routes(layout, addresses, wide)
    tunnel, cluster = _cluster(in_cluster, addresses, endpoints6, layout, options, facts, problems)
    uplink = None
    if options.internet_via and not way_out:
        problems += outside.path_problems(layout, node_routes, options)
        uplink = _uplink(options, facts, cluster, problems)
    nodes = _nodes(topology, layout, addresses, node_routes, networks, options, facts, problems)
    machines = [name for name, role in layout.roles.items() if role != "hub"]
    problems += relay_problems(nodes, machines)
    if families.is_dual(options):
        nodes = tuple(families.with_ipv6(one, endpoints6) for one in nodes)
    if problems:
        raise PlanError(f"plan of {topology.name!r}", problems)
    return Plan(
        topology=topology.name,
        signature=signature(declared_topology, options),
        options=options,
        nodes=nodes,
        segments=_segments(layout),
        links=_links(topology, layout),
        cluster=cluster,
        tunnel=tunnel,
        warnings=(
            *_warnings(topology, layout, addresses, options),
            *outside.warnings(layout, uplink),
        ),
        uplink=uplink,
    )


def _has_machine(node: Node) -> bool:
    return isinstance(node, KubernetesNode) or callable(getattr(node, "specification", None))


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Many small values without a circle: looking for some takes half of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _declared_networks(topology: Topology) -> dict[str, list[Network]]:
    found: dict[str, list[Network]] = {}
    for link in topology.links:
        for value in (link.ipv4, link.ipv6):
            if value is not None:
                one = value if isinstance(value, str) else value[0] or value[1] or ""
                found.setdefault(link.name, []).append(ipaddress.ip_interface(one).network)
    return found


def _cluster(
    nodes: list[KubernetesNode],
    addresses: Addresses,
    endpoints6: dict[str, str],
    layout: Layout,
    options: PlanOptions,
    facts: HostFacts,
    problems: list[Problem],
) -> tuple[TunnelPlan | None, ClusterPlan | None]:
    if not nodes:
        return None, None
    mtu = min((one.mtu for one in layout.segments), default=1500)
    tunnel = tunnels.choose(options, facts, mtu, problems)
    problems += families.mtu_problems(options, tunnel, mtu - tunnel.mtu)
    dual = families.is_dual(options)
    return tunnel, ClusterPlan(
        kind=clusters.kind_configuration(nodes, addresses.endpoints, options, facts, endpoints6),
        pod_cidr=options.pod_cidr,
        service_cidr=options.service_cidr,
        dns=clusters.dns_address(options),
        docker_subnet=docker_subnet(options, facts, len(nodes), problems),
        cni=options.cni,
        pod_cidr6=options.pod_cidr6 if dual else "",
        service_cidr6=options.service_cidr6 if dual else "",
    )


def _uplink(
    options: PlanOptions, facts: HostFacts, cluster: ClusterPlan | None, problems: list[Problem]
) -> UplinkPlan:
    """The way outside, in a subnet beside the cluster's own."""
    if cluster is not None:
        networks = {**facts.networks, "the cluster's": cluster.docker_subnet}
        facts = dataclasses.replace(facts, networks=networks)
    subnet = docker_subnet(options, facts, 1, problems)
    return UplinkPlan(options.internet_via, subnet, outside.nameservers(options, facts))


def _nodes(
    topology: Topology,
    layout: Layout,
    addresses: Addresses,
    node_routes: dict[str, tuple[RoutePlan, ...]],
    pod_networks: dict[str, tuple[str, ...]],
    options: PlanOptions,
    facts: HostFacts,
    problems: list[Problem],
) -> tuple[NodePlan, ...]:
    machines = [one for one in topology.nodes if layout.roles[one.name] != "hub"]
    names = engine_names(one.name for one in machines)
    interfaces = _interfaces(topology.name, layout)
    routing = routing_contexts(layout, addresses)
    found: list[NodePlan] = []
    for one in machines:
        name = one.name
        if isinstance(one, KubernetesNode):
            loopback = addresses.loopback.get(name)
            found.append(
                NodePlan(
                    name=name,
                    kind=one.kind,
                    role=one.role,
                    engine_name=names[name],
                    interfaces=interfaces[name],
                    loopback=(f"{loopback}/32",) if loopback else (),
                    endpoint=addresses.endpoints.get(name, ""),
                    routes=node_routes[name],
                    sysctls=_KUBERNETES_SYSCTLS,
                    pod_cidrs=pod_networks.get(name, ()),
                    kubernetes=clusters.specification(one),
                )
            )
            continue
        peers = dict.fromkeys(peer for each in interfaces[name] for peer in each.peers)
        context = DeviceContext(
            name,
            interfaces[name],
            node_routes[name],
            neighbours=tuple(peers),
            routing=routing.get(name),
            facts=facts,
            options=options,
            far_ends=partial(_far_ends, layout, interfaces, name),
        )
        wrong = list(one.problems_at(context)) if hasattr(one, "problems_at") else []
        problems += wrong
        if wrong:
            continue  # it would be carried out as nobody meant it
        spec = cast("DeviceKind", one).specification(context)
        problems += container_problems(one.where, spec, options.engine)
        device, sysctls = _split_sysctls(spec)
        found.append(
            NodePlan(
                name=name,
                kind=one.kind,
                role="device",
                engine_name=names[name],
                interfaces=interfaces[name],
                routes=node_routes[name],
                sysctls=sysctls,
                device=device,
            )
        )
    return _without_offload(found)


def _far_ends(
    layout: Layout, interfaces: dict[str, tuple[InterfacePlan, ...]], name: str
) -> tuple[FarEnd, ...]:
    found = []
    for port, other in others_at(layout, name):
        planned = next(one for one in interfaces[other.node] if one.name == other.name)
        found.append(FarEnd(port.name, other.node, planned.mac, planned.addresses))
    return tuple(found)


def _without_offload(nodes: list[NodePlan]) -> tuple[NodePlan, ...]:
    """Complete packets of at most the MTU wherever a program reads them.

    It would see a sum that the kernel has not written yet, and one long packet that the kernel
    means to cut at the end of its way. So whoever sends to it does both: segmentation offload
    goes with that of checksums. A sealed device's own interfaces do not offload either.
    """
    reading = {
        interface.segment
        for one in nodes
        if one.device is not None and one.device.user_space
        for interface in one.interfaces
    }
    if not reading:
        return tuple(nodes)
    return tuple(
        one
        if one.device is not None and one.device.user_space and not one.is_sealed
        else dataclasses.replace(
            one,
            interfaces=tuple(
                dataclasses.replace(each, offload=False) if each.segment in reading else each
                for each in one.interfaces
            ),
        )
        for one in nodes
    )


def _split_sysctls(spec: DeviceSpec) -> tuple[DeviceSpec, dict[str, str]]:
    """Network settings are written into the namespace by the host; others start with the container.

    Sorted, so that the plan does not depend on the order of a kind's dictionary.
    """
    network = {key: spec.sysctls[key] for key in sorted(spec.sysctls) if key.startswith("net.")}
    others = {key: spec.sysctls[key] for key in sorted(spec.sysctls) if key not in network}
    return dataclasses.replace(spec, sysctls=others), network


def _interfaces(topology: str, layout: Layout) -> dict[str, tuple[InterfacePlan, ...]]:
    taken: set[str] = set()
    found: dict[str, tuple[InterfacePlan, ...]] = {}
    for name, ports in layout.ports.items():
        each = []
        given = getattr(layout.nodes[name], "macs", {})
        for port in ports:
            segment = layout.segment_of[port.link.name]
            peers = [one.node for one in segment.ports if one is not port]
            each.append(
                InterfacePlan(
                    name=port.name,
                    segment=segment.name,
                    mac=given.get(port.name) or mac(topology, name, port.name, taken),
                    mtu=segment.mtu,
                    addresses=tuple(port.addresses),
                    shape=shape_of(port.link, port.direction),
                    peers=tuple(dict.fromkeys(peers)),
                    own=port.own is not None,
                )
            )
        found[name] = tuple(each)
    return found


def _segments(layout: Layout) -> tuple[SegmentPlan, ...]:
    subnets = {
        id(segment): tuple(domain.subnets)
        for domain in layout.domains
        for segment in domain.segments
    }
    names = engine_names(one.name for one in layout.segments)
    found = []
    for one in layout.segments:
        members = tuple(Member(port.node, port.name) for port in one.ports)
        plain = len(members) == 2 and all(
            isinstance(layout.nodes[each.node], KubernetesNode) for each in members
        )
        found.append(
            SegmentPlan(
                name=one.name,
                engine_name=names[one.name],
                members=members,
                mtu=one.mtu,
                subnets=subnets[id(one)],
                by="veth" if plain else "engine",
            )
        )
    return tuple(found)


def _links(topology: Topology, layout: Layout) -> tuple[LinkPlan, ...]:
    ends: dict[tuple[str, str], Port] = {}
    for ports in layout.ports.values():
        for one in ports:
            ends[one.link.name, one.direction] = one
    found = []
    for link in topology.links:
        a, b = (ends.get((link.name, direction)) for direction in "ab")
        found.append(
            LinkPlan(
                link.name,
                # a hub is a wire: the end at it has no interface
                Member(link.a, a.name if a else ""),
                Member(link.b, b.name if b else ""),
                layout.segment_of[link.name].name,
            )
        )
    return tuple(found)


def _warnings(
    topology: Topology, layout: Layout, addresses: Addresses, options: PlanOptions
) -> list[str]:
    found: list[str] = []
    for node in topology.kubernetes_nodes:
        if node.name not in addresses.endpoints:
            found.append(
                f"node {node.name} has no link: it keeps its address in Docker's network, its own"
                " traffic does not cross the virtual network, and no pods are placed on it"
            )
    found += control_plane.warnings(topology.kubernetes_nodes)
    if options.control_plane_traffic == "network" and addresses.endpoints:
        found.append(
            "control_plane_traffic='network': a node whose links are cut turns NotReady, and"
            " kubectl exec, logs and port-forward do not reach it"
        )
    if options.node_ip == "docker" and topology.kubernetes_nodes:
        found.append(
            "node_ip='docker': NodePorts, hostNetwork pods and traffic to nodes' InternalIP cross"
            " Docker's network, and the leak guard counts them"
        )
    authors = [one.name for one in topology.nodes if routes_are_the_authors(one)]
    if addresses.pods and authors:
        networks = " and ".join(families.pod_cidrs(options))
        found.append(
            f"pods are routed, and the routes of {', '.join(authors)} are their author's: it is up"
            f" to those to lead to the pods' networks (in {networks})"
        )
    for link in topology.links:
        hub = next((end for end in link.ends if layout.roles[end] == "hub"), None)
        if hub and (link.settings("a") or link.settings("b")):
            other = link.a if link.b == hub else link.b
            found.append(
                f"link {link.name}: its settings hold for what {other} sends; what comes from the"
                f" hub {hub} is as its senders' links make it"
            )
    for link in topology.links:
        for hub, other in (link.ends, link.ends[::-1]):
            if layout.roles[hub] == "hub" and (why := layout.nodes[other].on_a_hub):
                found.append(f"{other} is on the hub {hub}: {why}")
    for name, count in Counter(end for one in topology.links for end in one.ends).items():
        if layout.roles[name] == "hub" and count == 1:
            found.append(f"hub {name} has one end only")
    return found
