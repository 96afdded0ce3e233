"""The topologies that integration tests share: equal ones are built once."""

from __future__ import annotations

from pytest_kinda import ControlPlane, Host, Hub, Link, OvsSwitch, Router, Topology, Worker
from pytest_kinda.devices.router import Routing
from pytest_kinda.generators import star

DIRECT = "-direct"
"""Topologies whose names end so are built by the direct engine (see tests/integration)."""


def on_direct(topology: Topology) -> Topology:
    """The same topology for the direct engine."""
    return topology.with_(name=topology.name + DIRECT)


TRIANGLE = Topology(
    name="triangle",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")],
    links=[
        Link("c1", "r1"),
        Link("w1", "r1"),
        Link("w2", "r2"),
        Link("r1", "r2", rate="100mbit"),
    ],
)
"""A cluster of three nodes around two routers, with a slow link between those."""

PAIR = Topology(
    name="pair",
    nodes=[Host("h1"), Router("r1"), Host("h2")],
    links=[Link("h1", "r1"), Link("r1", "h2", rate="50mbit")],
)
"""Two hosts and a router: devices only, so it stands in a second or two."""

PAIR_DIRECT = on_direct(PAIR)
"""The same without Kathara."""

SLOW_PAIR = Topology(
    name="slow-pair",
    nodes=[Host("h1"), Router("r1"), Host("h2")],
    links=[
        Link("h1", "r1"),
        Link("r1", "h2", delay="10ms", rate="50mbit", b_to_a={"loss": "50%"}),
    ],
)
"""Two hosts and a router: behind it all takes time, and half of what comes back is lost."""

SLOW_PAIR_DIRECT = on_direct(SLOW_PAIR)
"""The same without Kathara."""

LAN = Topology(
    name="lan",
    nodes=[Host("h1"), Host("h2"), Host("h3"), Hub("lan")],
    links=[Link("h1", "lan"), Link("h2", "lan"), Link("h3", "lan")],
)
"""Three hosts on one wire."""

LAN_DIRECT = on_direct(LAN)
"""The same without Kathara."""


STAR = star(20, leaves="hosts", name="star")
"""Twenty hosts around a router: seven times a pair."""

SWITCHES = Topology(
    name="switches",
    nodes=[
        OvsSwitch("s1", tag={"h1": 10, "h3": 20}, trunks={"s2": [10, 20]}),
        OvsSwitch(
            "s2",
            tag={"h2": 10, "h4": 20},
            trunks={"s1": [10, 20]},
            flows=["priority=9,tcp,tp_dst=81,actions=drop"],
        ),
        *(Host(name) for name in ("h1", "h2", "h3", "h4")),
    ],
    links=[
        Link("h1", "s1"),
        Link("h3", "s1"),
        Link("s1", "s2"),
        Link("h2", "s2"),
        Link("h4", "s2"),
    ],
)
"""Two VLANs over two switches; one of the switches drops what goes to a port."""

SWITCHES_DIRECT = on_direct(SWITCHES)
"""The same without Kathara."""


def ring(routing: Routing, *, ipv6: bool = False) -> Topology:
    """Three routers in a circle, each with a host; ``ipv6`` gives every link a subnet of it too."""
    pairs = [("r1", "r2"), ("r2", "r3"), ("r3", "r1"), ("h1", "r1"), ("h2", "r2"), ("h3", "r3")]
    return Topology(
        name=f"ring-{routing}-ipv6" if ipv6 else f"ring-{routing}",
        nodes=[
            *(Router(f"r{n}", routing=routing) for n in (1, 2, 3)),
            *(Host(f"h{n}") for n in (1, 2, 3)),
        ],
        links=[
            Link(a, b, ipv6=f"fd00:{number}::/64" if ipv6 else None)
            for number, (a, b) in enumerate(pairs, start=1)
        ],
    )
