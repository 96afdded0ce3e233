"""The topologies that integration tests share: equal ones are built once."""

from __future__ import annotations

from pytest_kinda import ControlPlane, Host, Link, Router, Topology, Worker

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
