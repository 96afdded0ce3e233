"""Host operations as frozen values: what is to be done in which network namespace.

An operation names its *place* by the declared name of a node (or ``HOST``); who carries it out is
given a table that says which process holds that place's namespaces. Values only: nothing here
touches the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = "@host"
"""The place that is the machine itself."""


@dataclass(frozen=True)
class Place:
    """The namespaces of one running container, or the host's own (``pid`` 0).

    ``started`` is the start time of ``pid`` in clock ticks (field 22 of ``/proc/PID/stat``): a
    recycled pid does not match it, and the operation is refused as "already gone".
    """

    container: str = ""
    pid: int = 0
    started: int = 0


@dataclass(frozen=True)
class End:
    """One end of a virtual cable: an interface to be made in a place."""

    place: str
    interface: str
    mac: str = ""
    mtu: int = 1500


@dataclass(frozen=True)
class AddVeth:
    """Join two places by a veth pair; both ends come up. Undo: delete it."""

    a: End
    b: End


@dataclass(frozen=True)
class AddBridgePort:
    """Join a place to a bridge that stands on the host by a veth pair.

    ``port`` is the name of the end on the host, enslaved to ``bridge``. Undo: delete the pair.
    """

    end: End
    port: str
    bridge: str


@dataclass(frozen=True)
class AddHub:
    """A collision domain of more than two ends in a place: a bridge that learns nothing.

    ``ports`` are interfaces of the place, made before. Ageing 0, every group frame forwarded,
    bridge-nf-call off, IPv6 off. Undo: delete the bridge.
    """

    place: str
    bridge: str
    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetInterface:
    """Change an interface that stands: name, MAC, MTU, state, transmit checksum offload.

    ``segments`` is whether the kernel joins and cuts packets there (GRO, GSO). ``None`` leaves a
    property as it is. Undo: none of its own (faults use ``SetCarrier``).
    """

    place: str
    interface: str
    rename: str | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool | None = None
    tx_checksum: bool | None = None
    segments: bool | None = None


@dataclass(frozen=True)
class IgnoreArrivals:
    """Keep what arrives on an interface from the place's kernel; packet sockets see it all.

    For an interface whose frames are a program's: the kernel beside it answers no ARP and forwards
    nothing. Undo: none of its own, it ends with the interface.
    """

    place: str
    interface: str


@dataclass(frozen=True)
class AddAddress:
    """Put an address in CIDR notation on an interface. Undo: take it away."""

    place: str
    interface: str
    address: str


@dataclass(frozen=True)
class RemoveAddress:
    """Take an address away; one that is not there is no error. Undo: none."""

    place: str
    interface: str
    address: str


@dataclass(frozen=True)
class Hop:
    """One next hop of a route; an empty gateway means "on this interface's own wire"."""

    gateway: str
    interface: str


@dataclass(frozen=True)
class AddRoute:
    """A route, over several equal next hops where there are several (ECMP by flow).

    Without a next hop what is sent there is refused ("unreachable"). ``source`` is the preferred
    source address, ``table`` ``main`` or a number. Undo: delete it.
    """

    place: str
    destination: str
    hops: tuple[Hop, ...]
    source: str = ""
    metric: int = 0
    table: str = "main"


@dataclass(frozen=True)
class AddRule:
    """A rule of policy routing: which packets look into which table, lower priorities first.

    ``mark`` under ``mask`` is what a packet must bear; ``mask`` 0 takes every packet. What the
    table finds must be longer than ``longer_than`` bits, else the next rule has its turn. ``table``
    is ``main`` or a number. Undo: delete it.
    """

    place: str
    priority: int
    table: str
    mark: int = 0
    mask: int = 0
    longer_than: int | None = None


@dataclass(frozen=True)
class SetSysctl:
    """Write a sysctl of the place's network namespace, ``net.ipv4.ip_forward`` style.

    Undo: write the old value back (only where the place is the host; a container's dies with it).
    """

    place: str
    key: str
    value: str


@dataclass(frozen=True)
class WriteFile:
    """Write a file in the place's root file system, whole and atomically. Undo: none."""

    place: str
    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class AppendLines:
    """Append lines that are not there yet to a file in the place. Undo: none.

    ``instead``: other lines whose last word is that of one of these go, as an address that a name
    had before does.
    """

    place: str
    path: str
    lines: tuple[str, ...]
    instead: bool = False


@dataclass(frozen=True)
class LoadNft:
    """Replace one nft table of ours in a place by this ruleset. Undo: delete the table."""

    place: str
    family: str
    table: str
    ruleset: str


@dataclass(frozen=True)
class Shape:
    """What an interface does to the packets that leave it; ``None`` and 0 mean untouched.

    ``rate`` in bit/s, ``burst`` in bytes, ``latency`` (longest wait in the queue), ``delay`` and
    ``jitter`` in nanoseconds, the others as fractions from 0 to 1.
    """

    rate: int | None = None
    burst: int | None = None
    latency: int | None = None
    delay: int = 0
    jitter: int = 0
    loss: float = 0.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing at all is asked for."""
        return self == Shape()


@dataclass(frozen=True)
class SetShape:
    """Replace what an interface does to packets. Undo: put back what ``before`` says.

    ``by`` is what does it beside the rate: ``netem``, ``hold`` (ours) or empty, which means netem
    where the kernel has it.
    """

    place: str
    interface: str
    shape: Shape
    before: Shape = field(default_factory=Shape)
    by: str = ""


@dataclass(frozen=True)
class SetCarrier:
    """Take the carrier of an interface away or give it back (both ends of a cut cable).

    Undo: the other way round.
    """

    place: str
    interface: str
    up: bool


@dataclass(frozen=True)
class TunnelPeer:
    """Pods in ``pod_cidr`` are behind the node whose underlay address is ``endpoint``."""

    pod_cidr: str
    endpoint: str


@dataclass(frozen=True)
class AddTunnel:
    """The GRE state of one node: device ``kgre``, its addresses, routes to the pods of all peers.

    ``driver`` is ``gre`` | ``bpf`` | ``vxlan``; ``local`` the node's own underlay address;
    ``underlay`` the interfaces that GRE may arrive on; ``addresses`` (CIDR) go on ``kgre``;
    ``aggregates`` are the pod networks of the whole cluster, routed to ``kgre``; ``peers`` are all
    other nodes. Undo: delete ``kgre`` and the programs on the underlay.
    """

    place: str
    driver: str
    local: str
    underlay: tuple[str, ...]
    addresses: tuple[str, ...]
    aggregates: tuple[str, ...]
    peers: tuple[TunnelPeer, ...]
    mtu: int = 1476
    interface: str = "kgre"


Operation = (
    AddVeth
    | AddBridgePort
    | AddHub
    | SetInterface
    | IgnoreArrivals
    | AddAddress
    | RemoveAddress
    | AddRoute
    | AddRule
    | SetSysctl
    | WriteFile
    | AppendLines
    | LoadNft
    | SetShape
    | SetCarrier
    | AddTunnel
)
