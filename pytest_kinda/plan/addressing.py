"""Addresses: every broadcast domain gets a subnet, every interface and node its address.

What authors give wins; the rest comes from the pool. Subnets that the same routers lead to lie side
by side in one block, so that every other router needs one route for all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_kinda.errors import Problem
from pytest_kinda.plan.layout import Domain, Layout, Port
from pytest_kinda.plan.values import HostFacts, PlanOptions
from pytest_kinda.topology import KubernetesNode, routes_are_the_authors

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EXACT_LIMIT = 100_000
"""Routers times destinations up to which links between routers are destinations of their own."""


@dataclass
class Group:
    """Destinations that the same routers lead to; ``prefixes`` by IP version.

    ``node`` is set where the destination is an address on a node's own loopback; ``outside`` where
    it is everything else, behind the router that ``internet_via`` names.
    """

    routers: tuple[str, ...]
    domains: list[Domain] = field(default_factory=list)
    prefixes: dict[int, list[str]] = field(default_factory=lambda: {4: [], 6: []})
    node: str = ""
    outside: bool = False


@dataclass
class Addresses:
    """The outcome; the ports and domains of the layout hold their part themselves."""

    groups: list[Group]
    endpoints: dict[str, str]
    loopback: dict[str, str]
    given: list[Network]
    pods: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def route_pods(self, networks: Mapping[str, tuple[str, ...]]) -> None:
        """Make the pods' networks destinations of their own, each behind its node.

        A node without an endpoint is on no link: nothing leads to its pods.
        """
        self.pods = {name: each for name, each in networks.items() if name in self.endpoints}
        for name, each in self.pods.items():
            prefixes: dict[int, list[str]] = {4: [], 6: []}
            for one in each:
                prefixes[6 if ":" in one else 4].append(one)
            self.groups.append(Group((), prefixes=prefixes, node=name))

    def lead_outside(self, router: str) -> None:
        """Make what is outside of the topology a destination, behind that router."""
        self.groups.append(Group((router,), prefixes={4: ["0.0.0.0/0"], 6: []}, outside=True))

    def behind(self, node: str) -> list[str]:
        """The prefixes that a node is the way to: its loopback's address, its pods' networks."""
        found = [f"{self.loopback[node]}/32"] if node in self.loopback else []
        return [*found, *self.pods.get(node, ())]


class Pool:
    """Hands out aligned blocks of the pool, in order, around what is taken already."""

    def __init__(self, network: ipaddress.IPv4Network, taken: list[Network]) -> None:
        self._first = int(network.network_address)
        self._last = int(network.broadcast_address)
        self._next = self._first
        self._taken = sorted(
            (int(one.network_address), int(one.broadcast_address))
            for one in taken
            if one.version == 4 and one.overlaps(network)
        )
        self._top = self._last

    def block(self, size: int) -> int | None:
        """The first address of a free block of ``size`` (a power of two), or None."""
        at = -(-self._next // size) * size
        for first, last in self._taken:
            if at <= last and first <= at + size - 1:
                at = -(-(last + 1) // size) * size
        if at + size - 1 >= self._top:
            return None
        self._next = at + size
        return at

    def single(self) -> int | None:
        """One address from the far end, or None."""
        at = self._top - 1
        while any(first <= at <= last for first, last in self._taken):
            at -= 1
        if at < self._next:
            return None
        self._top = at
        return at


def _size(domain: Domain) -> int:
    """How many addresses the subnet of a domain needs: a /30 for a wire."""
    return 1 << max(2, (len(domain.ports) + 1).bit_length())


def text(address: int, version: int = 4) -> str:
    """An address written out."""
    if version == 6:
        return str(ipaddress.IPv6Address(address))
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def assign(layout: Layout, options: PlanOptions, problems: list[Problem]) -> Addresses:
    """Give every port, domain and Kubernetes node its addresses; append what is wrong."""
    pool = ipaddress.IPv4Network(options.pool)
    given: list[Network] = []
    own: list[Network] = []
    for domain in layout.domains:
        networks = _given(domain, layout, problems)
        domain.subnets = [str(one) for one in networks]
        if domain.ports and all(one.own is not None for one in domain.ports):
            # what the devices of a lab do among themselves is as their author wrote it
            own += networks
            continue
        for network in networks:
            for other in given:
                if network.version == other.version and network.overlaps(other):
                    where = f"link {domain.links[0].name}"
                    found = f"{network}, which overlaps {other} of another link"
                    problems.append(Problem(where, "ipv4", found, "a subnet of its own"))
        given += networks
    given += own
    groups = _groups(layout)
    free = Pool(pool, given)
    for group in groups:
        _allocate(group, free, options.pool, problems)
    endpoints, loopback = _endpoints(layout, free, options.pool, problems)
    for name, address in loopback.items():
        group = Group((), node=name)
        group.prefixes[4].append(f"{address}/32")
        groups.append(group)
    return Addresses(groups, endpoints, loopback, list(dict.fromkeys(given)))


def _given(domain: Domain, layout: Layout, problems: list[Problem]) -> list[Network]:
    """The subnets that the domain's links declare, with their ports' addresses set."""
    networks: dict[Network, set[int]] = {}
    for port in domain.ports:
        for known in port.own or ():
            interface = ipaddress.ip_interface(known)
            networks.setdefault(interface.network, set()).add(int(interface.ip))
            port.addresses.append(str(interface))
    for link in domain.links:
        for family in ("ipv4", "ipv6"):
            value = getattr(link, family)
            if value is None:
                continue
            if isinstance(value, str):
                networks.setdefault(ipaddress.ip_network(value), set())
                continue
            for direction, end, one in zip("ab", link.ends, value, strict=True):
                if one is None:
                    continue
                address = ipaddress.ip_interface(one)
                used = networks.setdefault(address.network, set())
                if layout.roles[end] in ("hub", "switch"):
                    continue  # an address at a machine that has none: the subnet still counts
                if _port(layout, link.name, end, direction).own is not None:
                    used.add(int(address.ip))
                    continue
                if int(address.ip) in used:
                    found = f"{address.ip} a second time"
                    problems.append(Problem(link.where, family, found, "unique addresses"))
                used.add(int(address.ip))
                _port(layout, link.name, end, direction).addresses.append(str(address))
    for network, used in networks.items():
        have = {id(one) for one in domain.ports for a in one.addresses if _in(a, network)}
        _fill(domain, network, used, [p for p in domain.ports if id(p) not in have], problems)
    return list(networks)


def _in(address: str, network: Network) -> bool:
    return ipaddress.ip_interface(address).network == network


def _port(layout: Layout, link: str, end: str, direction: str) -> Port:
    return next(
        one for one in layout.ports[end] if one.link.name == link and one.direction == direction
    )


def _fill(
    domain: Domain, network: Network, used: set[int], ports: list[Port], problems: list[Problem]
) -> None:
    """Hosts of a declared subnet for the ports that have no address of it."""
    # a port that has another declared address of this family keeps to that
    version = network.version
    ports = [
        one
        for one in ports
        if one.own is None and not any((":" in a) == (version == 6) for a in one.addresses)
    ]
    first, last = int(network.network_address), int(network.broadcast_address)
    narrow = network.prefixlen >= network.max_prefixlen - 1
    at = first if narrow else first + 1
    last = last if narrow or version == 6 else last - 1
    for port in ports:
        while at in used:
            at += 1
        if at > last:
            found = f"{network} for {len(domain.ports)} ends"
            problems.append(
                Problem(port.link.where, f"ipv{version}", found, "a subnet with room for all ends")
            )
            return
        used.add(at)
        port.addresses.append(f"{text(at, version)}/{network.prefixlen}")


def _groups(layout: Layout) -> list[Group]:
    """Domains by the routers that lead to them.

    In large networks a link between routers counts as its first router's, which keeps the number
    of destinations near that of routers instead of that of links.
    """
    routers_of: list[tuple[Domain, tuple[str, ...], bool]] = []
    for domain in layout.domains:
        if domain.ports:
            found = [one.node for one in domain.ports if layout.roles[one.node] == "router"]
            inner = len(found) == len(domain.ports)
            routers_of.append((domain, tuple(dict.fromkeys(found)), inner))
    routers = sum(role == "router" for role in layout.roles.values())
    exact = routers * len({frozenset(one) for _, one, _ in routers_of}) <= EXACT_LIMIT
    groups: dict[object, Group] = {}
    for index, (domain, leading, inner) in enumerate(routers_of):
        if inner and not exact:
            leading = leading[:1]
        key: object = frozenset(leading) if leading else index
        groups.setdefault(key, Group(leading)).domains.append(domain)
    return list(groups.values())


def _allocate(group: Group, pool: Pool, name: str, problems: list[Problem]) -> None:
    """One block of the pool for all domains of a group without an IPv4 subnet of their own."""
    for domain in group.domains:
        for subnet in domain.subnets:
            group.prefixes[6 if ":" in subnet else 4].append(subnet)
    wanting = [
        one
        for one in group.domains
        if not any(":" not in s for s in one.subnets)
        and any(port.own is None for port in one.ports)
    ]
    if not wanting:
        return
    sizes = {id(one): _size(one) for one in wanting}
    total = 1 << (sum(sizes.values()) - 1).bit_length()
    start = pool.block(total)
    if start is None:
        if not any(one.field == "pool" for one in problems):
            expected = "a larger pool, or fewer links without ipv4="
            problems.append(Problem("options", "pool", f"{name}, which is used up", expected))
        return
    # largest first: each is then aligned to its own size within the block
    at = start
    for domain in sorted(wanting, key=lambda one: -sizes[id(one)]):
        length = 33 - sizes[id(domain)].bit_length()
        domain.subnets.append(f"{text(at)}/{length}")
        for offset, port in enumerate(domain.ports, start=1):
            if port.own is None:
                port.addresses.insert(0, f"{text(at + offset)}/{length}")
        at += sizes[id(domain)]
    group.prefixes[4].insert(0, f"{text(start)}/{33 - total.bit_length()}")


def _endpoints(
    layout: Layout, pool: Pool, name: str, problems: list[Problem]
) -> tuple[dict[str, str], dict[str, str]]:
    """The address that stands for each Kubernetes node, and which of them are on a loopback.

    Where a router follows its author's own files, nobody can be sure that it learns an address on
    a loopback: there the first interface's address stands for every node.
    """
    announced = not any(routes_are_the_authors(one) for one in layout.nodes.values())
    endpoints: dict[str, str] = {}
    loopback: dict[str, str] = {}
    for node, ports in layout.ports.items():
        if not isinstance(layout.nodes[node], KubernetesNode) or not ports:
            continue
        if len(ports) == 1 or not announced:
            ipv4 = [a for one in ports for a in one.addresses if ":" not in a]
            if ipv4:
                endpoints[node] = ipv4[0].partition("/")[0]
            continue
        single = pool.single()
        if single is None:
            problems.append(Problem("options", "pool", f"{name}, used up", "a larger pool"))
            return endpoints, loopback
        endpoints[node] = loopback[node] = text(single)
    return endpoints, loopback


def pool_problems(
    options: PlanOptions, facts: HostFacts, links: Mapping[str, list[Network]]
) -> list[Problem]:
    """Networks that meet each other or one that the machine uses, each named."""
    problems: list[Problem] = []
    ours: dict[str, Network] = {}
    for field_name in ("pool", "pod_cidr", "service_cidr", "docker_pool"):
        value = getattr(options, field_name)
        try:
            ours[field_name] = ipaddress.IPv4Network(value)
        except ValueError:
            problems.append(
                Problem("options", field_name, repr(value), "an IPv4 network such as 10.9.0.0/16")
            )
    if problems:
        return problems
    declared = [(f"link {name}", one) for name, found in links.items() for one in found]
    names = list(ours)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            if ours[one].overlaps(ours[other]):
                found = f"{ours[one]}, which overlaps {other} {ours[other]}"
                problems.append(Problem("options", one, found, "networks that do not meet"))
        if one != "pool":
            for where, network in declared:
                if network.version == 4 and network.overlaps(ours[one]):
                    found = f"{network}, which overlaps {one} {ours[one]}"
                    problems.append(Problem(where, "ipv4", found, "a subnet beside it"))
    for who, value in sorted(facts.networks.items()):
        network = ipaddress.ip_network(value, strict=False)
        if network.version != 4 or network.prefixlen == 0:
            continue
        for one in names:
            # of the Docker pool only a part is needed: the plan takes a free one
            if one != "docker_pool" and network.overlaps(ours[one]):
                found = f"{ours[one]}, which overlaps {who} ({network}) of this machine"
                problems.append(Problem("options", one, found, "a network that is not in use"))
        for where, given in declared:
            if given.version == 4 and given.overlaps(network):
                found = f"{given}, which overlaps {who} ({network}) of this machine"
                problems.append(Problem(where, "ipv4", found, "a subnet that is not in use"))
    return problems


def docker_subnet(
    options: PlanOptions, facts: HostFacts, nodes: int, problems: list[Problem]
) -> str:
    """The first free part of the Docker pool that holds so many nodes."""
    length = min(24, 32 - (nodes + 3).bit_length())
    pool = ipaddress.IPv4Network(options.docker_pool)
    in_use = [ipaddress.ip_network(one, strict=False) for one in facts.networks.values()]
    taken = [
        (int(one.network_address), int(one.broadcast_address))
        for one in in_use
        if one.version == 4 and one.prefixlen and one.overlaps(pool)
    ]
    size = 1 << (32 - length)
    first = int(pool.network_address)
    while first + size - 1 <= int(pool.broadcast_address):
        meets = [last for start, last in taken if start < first + size and first <= last]
        if not meets:
            return f"{text(first)}/{length}"
        first = -(-(max(meets) + 1) // size) * size
    problems.append(
        Problem(
            "options",
            "docker_pool",
            f"{pool}, all of which this machine uses",
            f"a network with a free /{length}",
        )
    )
    return str(pool)
