"""A plan as host operations: what each node gets when it starts, is wired and is configured."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_kinda.operations import (
    AddAddress,
    AddBridgePort,
    AddHub,
    AddVeth,
    AppendLines,
    End,
    IgnoreArrivals,
    LoadNft,
    Operation,
    RemoveAddress,
    SetInterface,
    SetShape,
    SetSysctl,
)
from pytest_kinda.plan import families, firewall, kubelet, outside
from pytest_kinda.plan.naming import HUBS, hub_name, port_name
from pytest_kinda.plan.values import InterfacePlan, Member, NodePlan, Plan, SegmentPlan

HEADERS = 512
"""Bytes that BMv2 has room for before a packet that it has received."""

LONGEST = 65535


def start_operations(plan: Plan, node: NodePlan) -> tuple[Operation, ...]:
    """What a Kubernetes node gets right at its start, before its kubelet looks for its address.

    The endpoint goes on ``lo``, since its links do not exist yet. An IPv6 one stays there: the
    kubelet never misses it, also while a tunnel is made anew.
    """
    found: list[Operation] = []
    if node.endpoint:
        found.append(AddAddress(node.name, "lo", f"{node.endpoint}/32"))
    if plan.cluster is not None:
        members = [
            *_underlay(plan),
            plan.cluster.pod_cidr,
            plan.cluster.service_cidr,
            plan.cluster.docker_subnet,
        ]
        found += outside.start_operations(plan, node, members)
        text = firewall.ruleset(
            underlay=_underlay(plan),
            pod_cidr=plan.cluster.pod_cidr,
            service_cidr=plan.cluster.service_cidr,
            docker_subnet=plan.cluster.docker_subnet,
            pod_cidr6=plan.cluster.pod_cidr6,
            service_cidr6=plan.cluster.service_cidr6,
        )
        found.append(LoadNft(node.name, firewall.FAMILY, firewall.TABLE, text))
    found += _sysctls(node)
    found += kubelet.start_operations(node)
    if node.endpoint6:
        found.append(AddAddress(node.name, "lo", f"{node.endpoint6}/128"))
    if node.role != "control-plane":
        # a control plane's names resolve to Docker's addresses, which the build writes
        found += hosts_operations(plan, node)
    return tuple(found)


def hosts_operations(plan: Plan, node: NodePlan) -> tuple[AppendLines, ...]:
    """Names of the other nodes, in the virtual network, for a node's /etc/hosts."""
    lines = []
    for one in plan.nodes:
        address = one.endpoint or next(
            (a.partition("/")[0] for each in one.interfaces for a in each.addresses), ""
        )
        if address and one.name != node.name:
            lines.append(f"{address} {one.name}")
    return (AppendLines(node.name, "/etc/hosts", tuple(lines)),) if lines else ()


def wire_operations(
    plan: Plan, bridges: Mapping[str, str], testbed: str = ""
) -> tuple[Operation, ...]:
    """The cables.

    Under Kathara, which wires devices itself: Kubernetes nodes joined to the bridges of their
    segments (``bridges`` names the bridge on the host of each segment). Under the direct engine:
    every cable, hubs in the place ``@hubs``. ``testbed`` makes names on the host unique.
    """
    found: list[Operation] = []
    for segment in plan.segments:
        if segment.by == "veth" or (plan.options.engine == "direct" and len(segment.members) == 2):
            a, b = (_end(plan, one) for one in segment.members)
            found.append(AddVeth(a, b))
        elif plan.options.engine == "direct":
            found += _hub(plan, segment, testbed)
        else:
            found += [
                AddBridgePort(
                    _end(plan, one),
                    port_name(testbed, one.node, one.interface),
                    bridges[segment.name],
                )
                for one in segment.members
                if plan.node(one.node).is_kubernetes
            ]
    found += [_pair(one) for one in plan.devices if one.device is not None and one.device.pair]
    return (*found, *outside.uplink_operations(plan, testbed))


def configure_operations(plan: Plan, node: NodePlan) -> tuple[Operation, ...]:
    """What makes a wired node what it is: interfaces, addresses, routes, settings of its links."""
    found: list[Operation] = []
    if not node.is_kubernetes:
        found += _sysctls(node)
    for one in node.interfaces:
        found += _sealed(node, one) if node.is_sealed else _interface(node, one)
    if node.device is not None and node.device.pair:
        cable = _pair(node)
        found += [each for one in (cable.a, cable.b) for each in _sealed(node, one)]
    if node.is_kubernetes:
        early = f"{node.endpoint}/32"
        if node.endpoint and early not in node.loopback:
            # only now that the interface has it: the kubelet must never miss its address
            found.append(RemoveAddress(node.name, "lo", early))
    else:
        found += [AddAddress(node.name, "lo", one) for one in node.loopback]
    if not node.is_sealed:
        found += [outside.route(node, one) for one in node.routes]
    found += [
        SetShape(node.name, one.name, one.shape) for one in node.interfaces if one.shape is not None
    ]
    if not node.is_kubernetes:
        found += hosts_operations(plan, node)
    found += outside.configure_operations(plan, node)
    return tuple(found)


def _interface(node: NodePlan, one: InterfacePlan) -> list[Operation]:
    found: list[Operation] = []
    # None: an interface that has just been made offloads
    change = SetInterface(
        node.name,
        one.name,
        mac=one.mac,
        mtu=one.mtu,
        up=True,
        tx_checksum=None if one.offload else False,
    )
    if one.own:
        return [change]
    # a machine that announces itself by IPv6 puts packets on every link that nobody asked for; and
    # Docker turns IPv6 off on interfaces of networks that have none, as Kathara's
    used = any(":" in address for address in one.addresses)
    key = f"net.ipv6.conf.{one.name}.disable_ipv6"
    found.append(SetSysctl(node.name, key, "0" if used else "1"))
    found.append(change)
    found += [AddAddress(node.name, one.name, address) for address in one.addresses]
    return found


def _sealed(node: NodePlan, one: InterfacePlan | End) -> list[Operation]:
    """An interface that is a port of the device's program, and nothing to its kernel."""
    name = one.interface if isinstance(one, End) else one.name
    return [
        SetSysctl(node.name, f"net.ipv6.conf.{name}.disable_ipv6", "1"),
        IgnoreArrivals(node.name, name),
        # libpcap has room for 32 packets where they may be of 64 kB: a burst loses the others
        SetInterface(
            node.name,
            name,
            mac=one.mac or None,
            mtu=one.mtu,
            up=True,
            tx_checksum=False,
            segments=False,
        ),
    ]


def _pair(node: NodePlan) -> AddVeth:
    """The cable inside of a device, with room for what its program puts before packets."""
    assert node.device is not None
    mtu = max((one.mtu for one in node.interfaces), default=1500) + HEADERS
    a, b = (End(node.name, one, mtu=min(mtu, LONGEST)) for one in node.device.pair)
    return AddVeth(a, b)


def _sysctls(node: NodePlan) -> list[Operation]:
    return [SetSysctl(node.name, key, value) for key, value in node.sysctls.items()]


def _underlay(plan: Plan) -> list[str]:
    subnets = {each for one in plan.segments for each in one.subnets}
    return [plan.options.pool, *families.node_cidrs(plan.options), *sorted(subnets)]


def _end(plan: Plan, member: Member) -> End:
    node = plan.node(member.node)
    one = next(each for each in node.interfaces if each.name == member.interface)
    return End(node.name, one.name, one.mac, one.mtu)


def _hub(plan: Plan, segment: SegmentPlan, testbed: str) -> list[Operation]:
    found: list[Operation] = []
    ports = []
    for one in segment.members:
        port = port_name(testbed, one.node, one.interface)
        ports.append(port)
        found.append(AddVeth(_end(plan, one), End(HUBS, port, mtu=segment.mtu)))
    found.append(AddHub(HUBS, hub_name(segment.name), tuple(ports)))
    return found
