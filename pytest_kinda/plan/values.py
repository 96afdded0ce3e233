"""What a plan is made of: everything that will exist, as frozen values.

A plan says *what*; :mod:`pytest_kinda.plan.wiring` and its neighbours turn it into host operations,
``build/`` carries it out. Nothing here knows a testbed id, a container id or a pid: names that
must be unique on the machine are made at build time from the testbed's id and the names here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_kinda.operations import Hop, Shape

Role = Literal["control-plane", "worker", "device"]


@dataclass(frozen=True)
class PlanOptions:
    """What the user may choose beside the topology (``--kinda-…`` options, arguments of ``plan``).

    ``tunnel`` is ``auto`` (the best driver the host has) | ``gre`` | ``bpf`` | ``vxlan``;
    ``pods``: ``gre`` through that tunnel, or ``routed``: there is none, the routers of the network
    have routes to the pods' networks;
    ``pool`` is the IPv4 network that every unset underlay address comes from.
    ``control_plane_traffic``: what API server, kubelets and etcd say to each other crosses Docker's
    network (``direct``, so that a node whose link is cut can still be looked at) or the topology's.
    ``internet_via`` names the router through which all but image pulls reach what is outside of the
    topology; ``internet_dns`` the name servers there, with commas between (the machine's own).
    ``ip_family``: pods and services have addresses of IPv4, or (``dual``) of both families, IPv6
    from ``pod_cidr6`` and ``service_cidr6``, nodes from ``node_cidr6``; ``ipv6`` alone is refused
    by the plan. ``p4_engine`` runs the P4 switches that do not name theirs; ``bmv2_image`` is the
    image that BMv2 is taken from, the published one unless said.
    """

    engine: Literal["kathara", "direct"] = "kathara"
    tunnel: Literal["auto", "gre", "bpf", "vxlan"] = "auto"
    pods: Literal["gre", "routed"] = "gre"
    pool: str = "10.9.0.0/16"
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    docker_pool: str = "172.30.0.0/15"
    node_ip: Literal["network", "docker"] = "network"
    control_plane_traffic: Literal["direct", "network"] = "direct"
    cni: Literal["kinda", "none"] = "kinda"
    internet_via: str = ""
    internet_dns: str = ""
    ip_family: Literal["ipv4", "dual", "ipv6"] = "ipv4"
    pod_cidr6: str = "fd00:10:244::/56"
    service_cidr6: str = "fd00:10:96::/112"
    node_cidr6: str = "fd00:10:9::/64"
    p4_engine: Literal["bmv2", "native"] = "bmv2"
    bmv2_image: str = ""


@dataclass(frozen=True)
class HostFacts:
    """What the plan must know of the machine; an argument, so that planning stays pure.

    ``networks`` are the IPv4 networks in use on the host by name (routes, Docker networks), which
    a pool must not meet. ``gre`` and ``netem``: whether the kernel has them (found by trying);
    ``hold``: whether we can delay and lose packets where it has no netem.
    ``nameservers``: whom the machine asks for names, as far as others can ask them too.
    ``restricted``: the machine lacks CAP_SYS_RESOURCE, kubelets need KubeletInUserNamespace;
    ``ipv6``: it has that.
    ``bridge_vlans``: its bridges filter VLANs; ``openvswitch``: it has Open vSwitch's datapath.
    """

    networks: Mapping[str, str] = field(default_factory=dict)
    gre: bool = False
    bpf: bool = True
    netem: bool = False
    hold: bool = False
    vxlan: bool = True
    restricted: bool = False
    bridge_vlans: bool = True
    openvswitch: bool = False
    ipv6: bool = True
    images: Mapping[str, str] = field(default_factory=dict)
    nameservers: tuple[str, ...] = ()


USUAL = HostFacts(netem=True)
"""A machine as most are, for plans that are only looked at: finding out takes rights."""


@dataclass(frozen=True)
class InterfacePlan:
    """One interface of a node in the virtual network.

    ``shape`` is what it does to packets that leave it. ``peers`` names the nodes at the other ends
    of its collision domain. ``own``: the device gives itself these addresses; nobody else does.
    ``offload``: packets may leave it without checksums and longer than the MTU, as they do in one
    kernel; not where a program reads them at another end.
    """

    name: str
    segment: str
    mac: str
    mtu: int = 1500
    addresses: tuple[str, ...] = ()
    shape: Shape | None = None
    peers: tuple[str, ...] = ()
    own: bool = False
    offload: bool = True


@dataclass(frozen=True)
class RoutePlan:
    """A route in a node's namespace; several hops are equal-cost paths."""

    destination: str
    hops: tuple[Hop, ...]
    source: str = ""


@dataclass(frozen=True)
class FileSpec:
    """A file to be put into a container before it starts: text, or base64 of bytes."""

    path: str
    text: str = ""
    base64: str = ""
    mode: int = 0o644


@dataclass(frozen=True)
class MountSpec:
    """A directory or file of the host bound into a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class CommandSpec:
    """A command run in the container in order; one that fails fails the build if ``check``."""

    argv: tuple[str, ...]
    check: bool = True


@dataclass(frozen=True)
class AttachSpec:
    """What makes an interface part of the device that it is at, such as a port of its switch."""

    interface: str
    commands: tuple[CommandSpec, ...]


@dataclass(frozen=True)
class ProgramSpec:
    """A program that the build makes and puts into the device before its start-up commands.

    ``path`` is where it goes; ``source`` is the device's file that it is made of: a P4 program as
    BMv2's JSON, for the native engine. ``name`` is what its author calls that.
    """

    path: str
    source: str
    name: str


@dataclass(frozen=True)
class ReadySpec:
    """How a device says that it is ready: this command, repeated until it ends with 0.

    It is asked again ``interval`` seconds after each answer, for ``timeout`` seconds at most.
    """

    argv: tuple[str, ...]
    timeout: float = 60.0
    what: str = ""
    interval: float = 0.1


@dataclass(frozen=True)
class ControlSpec:
    """Where a device is told what to do, as seen from inside of it.

    ``protocol`` is ``openflow``, ``p4runtime``, ``thrift`` and the like; ``address`` is
    ``unix:PATH`` or ``tcp:ADDRESS:PORT``.
    """

    protocol: str
    address: str


@dataclass(frozen=True)
class RelaySpec:
    """A port of the device's own loopback that leads to a program elsewhere, such as a controller.

    ``what`` it is (the field that declares it), ``port`` where that program listens: on the node
    of the topology that ``node`` names, or in the pod of ``pod``, ``NAMESPACE/NAME`` or
    ``NAMESPACE/LABEL=VALUE``. ``listen`` is the port on the device.
    """

    what: str
    listen: int
    port: int
    node: str = ""
    pod: str = ""

    @property
    def leads_to(self) -> str:
        """Where it leads, as authors write it."""
        return f"pod:{self.pod}:{self.port}" if self.pod else f"{self.node}:{self.port}"


@dataclass(frozen=True)
class DeviceSpec:
    """The container of a device, whatever engine starts it.

    ``image`` is a reference, or ``@base`` and the like for the images that setup prepares.
    ``ports`` are ``HOST:CONTAINER/proto`` strings; ``memory`` bytes; ``cpus`` cores; ``ulimits``
    are ``NAME=SOFT:HARD``. ``after`` names devices whose start-up commands come before.
    ``attach`` is run again when an interface is a new one, because the node at the other end has
    started again; ``startup`` does it the first time. ``user_space``: a program of the device
    reads the packets, not its kernel. ``handle`` (``MODULE:CLASS``) is what tests hold of it,
    ``notes`` are lines that say how it is carried out here. ``sealed``: what comes from the links
    is for the device's program alone, its kernel has none of the interfaces' addresses and answers
    nobody. ``port_numbers`` are what that program calls the interfaces, in their order. ``driver``
    (``MODULE:CLASS``) makes it ready, and attaches its interfaces, from outside: where commands in
    the container do not do. ``pair`` are the two ends of a cable inside of the device: its program
    has the first for a port, whoever controls it a socket at the second.
    ``state`` are shell lines that print what the device is doing, for the evidence of a failure.
    ``relays`` lead from ports of the device to programs on other nodes and in pods.
    ``control`` and ``about`` (JSON data under keys of the kind's own) are for `kinda describe`.
    """

    image: str = "@base"
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FileSpec, ...] = ()
    mounts: tuple[MountSpec, ...] = ()
    startup: tuple[CommandSpec, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    cpus: float | None = None
    memory: int | None = None
    ports: tuple[str, ...] = ()
    ready: tuple[ReadySpec, ...] = ()
    entrypoint: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    attach: tuple[AttachSpec, ...] = ()
    user_space: bool = False
    handle: str = ""
    notes: tuple[str, ...] = ()
    programs: tuple[ProgramSpec, ...] = ()
    sealed: bool = False
    port_numbers: tuple[int, ...] = ()
    state: str = ""
    control: tuple[ControlSpec, ...] = ()
    about: Mapping[str, Any] | None = None
    driver: str = ""
    pair: tuple[str, ...] = ()
    relays: tuple[RelaySpec, ...] = ()


@dataclass(frozen=True)
class KubernetesSpec:
    """What Kubernetes is told of a node."""

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    mounts: tuple[MountSpec, ...] = ()
    ports: tuple[str, ...] = ()
    kubeadm_patches: tuple[str, ...] = ()
    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class NodePlan:
    """One node: a container with its interfaces, addresses, routes and sysctls.

    ``name`` is the declared name, ``engine_name`` the one the engine is told (Kathara accepts
    ``[a-z0-9_]{1,30}``). ``loopback`` are /32 and /128 addresses on ``lo``; ``endpoint`` is the
    address that stands for the node (a Kubernetes node's InternalIP and GRE endpoint), empty for
    a node without one. ``endpoint6`` is its IPv6 InternalIP where the cluster has both families.
    """

    name: str
    kind: str
    role: Role
    engine_name: str
    interfaces: tuple[InterfacePlan, ...] = ()
    loopback: tuple[str, ...] = ()
    endpoint: str = ""
    routes: tuple[RoutePlan, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    pod_cidrs: tuple[str, ...] = ()
    device: DeviceSpec | None = None
    kubernetes: KubernetesSpec | None = None
    endpoint6: str = ""

    @property
    def is_kubernetes(self) -> bool:
        """Whether it is a node of the cluster."""
        return self.role != "device"

    @property
    def is_sealed(self) -> bool:
        """Whether its kernel takes nothing from the links: its addresses are its program's."""
        return self.device is not None and self.device.sealed

    @property
    def port_numbers(self) -> Mapping[str, int]:
        """The number of each interface's port, where its program has numbers for them."""
        numbers = self.device.port_numbers if self.device is not None else ()
        names = (one.name for one in self.interfaces)
        return dict(zip(names, numbers, strict=True)) if numbers else {}


@dataclass(frozen=True)
class Member:
    """One interface that is on a segment."""

    node: str
    interface: str


@dataclass(frozen=True)
class SegmentPlan:
    """A collision domain: two ends are a wire, more are a hub.

    ``by`` says who makes it: ``engine`` (a Kathara network, or a veth of the direct engine; needed
    as soon as a device is on it) or ``veth`` (a cable between two Kubernetes nodes).
    """

    name: str
    engine_name: str
    members: tuple[Member, ...]
    mtu: int = 1500
    subnets: tuple[str, ...] = ()
    by: Literal["engine", "veth"] = "engine"

    @property
    def is_hub(self) -> bool:
        """Whether more than two ends share it."""
        return len(self.members) > 2


@dataclass(frozen=True)
class LinkPlan:
    """A declared link and the two interfaces it became."""

    name: str
    a: Member
    b: Member
    segment: str


def first_address(subnet: str) -> str:
    """The address in a Docker network's subnet that Docker gives the machine.

    >>> first_address("172.30.0.0/24")
    '172.30.0.1'
    """
    return str(ipaddress.IPv4Network(subnet).network_address + 1)


@dataclass(frozen=True)
class ClusterPlan:
    """The kind cluster: its configuration as data, and the networks of pods and services.

    ``kind`` is the kind configuration (``kind: Cluster`` …) as JSON data, without the cluster's
    name and image, which the build adds. ``docker_subnet`` is that of the testbed's own Docker
    network. ``pod_cidr6`` and ``service_cidr6`` are empty in a cluster of IPv4 only.
    """

    kind: Any
    pod_cidr: str
    service_cidr: str
    dns: str
    docker_subnet: str
    cni: str = "kinda"
    pod_cidr6: str = ""
    service_cidr6: str = ""

    @property
    def gateway(self) -> str:
        """The machine's address in the Docker network, where nodes reach it."""
        return first_address(self.docker_subnet)


@dataclass(frozen=True)
class TunnelPlan:
    """How pods reach pods of other nodes: GRE between the nodes' endpoints."""

    driver: Literal["gre", "bpf", "vxlan", "routed", "none"]
    mtu: int
    aggregates: tuple[str, ...] = ()


@dataclass(frozen=True)
class UplinkPlan:
    """How a device reaches what is outside of the topology (``internet_via``).

    ``subnet`` is that of a Docker network of its own, which holds the machine and the device only.
    ``nameservers`` are asked for names by nodes, pods and devices.
    """

    device: str
    subnet: str
    nameservers: tuple[str, ...] = ()

    @property
    def gateway(self) -> str:
        """The machine's address in the subnet: the first."""
        return first_address(self.subnet)

    @property
    def address(self) -> str:
        """The device's, in CIDR notation: the second."""
        network = ipaddress.IPv4Network(self.subnet)
        return f"{network.network_address + 2}/{network.prefixlen}"


@dataclass(frozen=True)
class Plan:
    """Everything that will exist. Equal topology, options and facts give an equal plan.

    ``signature`` is a hex digest of the topology and the options (by content, not of the host's
    facts): the key of reuse.
    """

    topology: str
    signature: str
    options: PlanOptions
    nodes: tuple[NodePlan, ...]
    segments: tuple[SegmentPlan, ...]
    links: tuple[LinkPlan, ...]
    cluster: ClusterPlan | None = None
    tunnel: TunnelPlan | None = None
    warnings: tuple[str, ...] = ()
    uplink: UplinkPlan | None = None

    def node(self, name: str) -> NodePlan:
        """The node of that declared name. Raises KeyError."""
        for one in self.nodes:
            if one.name == name:
                return one
        raise KeyError(name)

    def segment(self, name: str) -> SegmentPlan:
        """The segment of that name. Raises KeyError."""
        for one in self.segments:
            if one.name == name:
                return one
        raise KeyError(name)

    @property
    def kubernetes_nodes(self) -> tuple[NodePlan, ...]:
        """The nodes of the cluster, control plane first, each in declared order."""
        nodes = [one for one in self.nodes if one.is_kubernetes]
        return tuple(sorted(nodes, key=lambda one: one.role != "control-plane"))

    @property
    def control_planes(self) -> tuple[NodePlan, ...]:
        """The nodes that run an API server; kind puts a load balancer before several of them."""
        return tuple(one for one in self.kubernetes_nodes if one.role == "control-plane")

    @property
    def devices(self) -> tuple[NodePlan, ...]:
        """The nodes that are devices of the network."""
        return tuple(one for one in self.nodes if not one.is_kubernetes)
