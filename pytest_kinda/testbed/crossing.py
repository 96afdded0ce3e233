"""The ways that packets really take between all nodes at once, beside those that are planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_kinda.testbed.layers import Packet
from pytest_kinda.testbed.nodes import NodeHandle, addresses_of
from pytest_kinda.testbed.reachability import ping_all
from pytest_kinda.testbed.tracing import trace_of

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed

Pair = tuple[str, str]


def own_address(node: NodeHandle) -> str:
    """The address that stands for a node; empty for one without any."""
    return next(iter(addresses_of(node.planned)), "")


def ipv6_address(node: NodeHandle) -> str:
    """The first IPv6 address of a node's links beside what stands for it; empty if none."""
    return next((one for one in addresses_of(node.planned)[1:] if ":" in one), "")


def ways_taken(
    testbed: Testbed, address: Callable[[NodeHandle], str] = own_address, *, wait: float = 1.0
) -> dict[Pair, tuple[str, ...]]:
    """The nodes that a packet from each node to each other really crossed, switches left out.

    One ping a pair is sent between the nodes' addresses while every interface is captured. A node
    without ping or without an address is in no pair; a pair whose packet was seen nowhere has an
    empty way. Raises CommandError, HostError.
    """
    nodes = [node for node in testbed.nodes if address(node)]
    if len(nodes) < 2:
        return {}
    with (
        testbed.capture(filter="icmp or icmp6 or vlan", allow_drops=True) as capture,
        ThreadPoolExecutor(min(16, max(1, len(nodes))), thread_name_prefix="ways") as pool,
    ):
        answers = pool.map(lambda node: _ping_others(node, nodes, address, wait), nodes)
        able = [node for node, well in zip(nodes, answers, strict=True) if well]
    macs = {str(end): end.mac for node in nodes for end in node.interfaces}
    addresses = {node.name: address(node) for node in nodes}
    return sort_ways(capture.packets, [node.name for node in able], addresses, macs)


def _ping_others(
    node: NodeHandle,
    nodes: Sequence[NodeHandle],
    address: Callable[[NodeHandle], str],
    wait: float,
) -> bool:
    others = [address(other) for other in nodes if other is not node]
    return ping_all(node, others, source=address(node), wait=wait) is not None


def sort_ways(
    packets: Iterable[Packet],
    sources: Iterable[str],
    addresses: Mapping[str, str],
    macs: Mapping[str, str],
) -> dict[Pair, tuple[str, ...]]:
    """The way of each pair by the echo requests among packets seen everywhere.

    ``sources`` are names, ``addresses`` those of all nodes by name.
    """
    requests: dict[Pair, dict[int, dict[tuple[object, ...], Packet]]] = {}
    for packet in packets:
        head, echo = packet.ip, packet.icmp
        if head and echo and not packet.gre and (echo.type, echo.sequence) in ((8, 1), (128, 1)):
            pings = requests.setdefault((head.source, head.destination), {})
            # A duplicate passes a place with the TTL of the first, one that goes round does not.
            place = (packet.interface, packet.direction, head.ttl)
            pings.setdefault(echo.identifier, {}).setdefault(place, packet)
    found: dict[Pair, tuple[str, ...]] = {}
    for source in sources:
        for name, address in addresses.items():
            if name == source:
                continue
            pings = requests.get((addresses[source], address), {})
            longest = max(pings.values(), key=len, default={})
            trace = trace_of(longest.values(), macs, arrived=True, ours=lambda packet: True)
            way = [one for one in trace.nodes if one in addresses]
            found[source, name] = tuple(
                one for at, one in enumerate(way) if not at or way[at - 1] != one
            )
    return found
