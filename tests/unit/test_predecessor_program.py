"""The program of the peer's README, as short here as there.

``tests/integration/test_predecessor.py`` builds the same tree.
"""

from __future__ import annotations

from typing import Any

import networkx

from pytest_kinda import Topology
from pytest_kinda.plan import plan

PROGRAM = """\
from pytest_kinda import ControlPlane, Host, Link, Router, Testbed, Topology, Worker

TREE = Topology(
    "tree",
    nodes=[
        Host("internet"),
        Router("gateway", routing=None),
        Router("r1", routing=None),
        Router("r2", routing=None),
        Worker("w1"),
        Worker("w2"),
        Worker("w3"),
        ControlPlane("c1")],
    links=[
        Link("internet", "gateway", ipv4=("10.0.1.1/24", "10.0.1.2/24")),
        Link("gateway", "r1", ipv4=("10.0.2.1/24", "10.0.2.2/24")),
        Link("gateway", "r2", ipv4=("10.0.3.1/24", "10.0.3.2/24")),
        Link("r1", "w1", ipv4=("10.0.4.1/24", "10.0.4.2/24")),
        Link("r1", "w2", ipv4=("10.0.5.1/24", "10.0.5.2/24")),
        Link("r2", "w3", ipv4=("10.0.6.1/24", "10.0.6.2/24")),
        Link("r2", "c1", ipv4=("10.0.7.1/24", "10.0.7.2/24"))],
)
with Testbed(TREE) as kinda:
    print(kinda.kubectl("get", "nodes"))
"""
PEER_LINES, PEER_LETTERS = 32, 1145
"""Lines of the peer's (as of its last commit) without empty ones and comments, and letters of it
without spaces."""


def test_the_program_of_the_peers_readme_is_as_short_here() -> None:
    lines = [one for one in PROGRAM.splitlines() if one.strip()]
    assert len(lines) <= PEER_LINES
    assert sum(len("".join(one.split())) for one in lines) <= PEER_LETTERS


def test_it_is_that_program() -> None:
    names: dict[str, Any] = {}
    exec(PROGRAM.partition("with Testbed")[0], names)
    tree = names["TREE"]
    assert isinstance(tree, Topology)
    assert networkx.is_tree(networkx.Graph(tree.to_networkx()))
    made = plan(tree)
    found = {
        (link.a.node, link.b.node): tuple(
            one.addresses[0]
            for end in (link.a, link.b)
            for one in made.node(end.node).interfaces
            if one.name == end.interface
        )
        for link in made.links
    }
    assert found == {link.ends: link.ipv4 for link in tree.links}
    assert all(not made.node(name).routes for name in ("gateway", "r1", "r2"))
