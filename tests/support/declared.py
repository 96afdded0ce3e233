"""Topologies that several tests use."""

from __future__ import annotations

from pytest_kinda import ControlPlane, Host, Hub, Link, Router, Switch, Topology, Worker


def triangle() -> Topology:
    return Topology(
        name="triangle",
        nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1"), Router("r2")],
        links=[
            Link("c1", "r1"),
            Link("w1", "r1"),
            Link("w2", "r2"),
            Link("r1", "r2", rate="100mbit"),
        ],
    )


def three_controls() -> Topology:
    return Topology(
        name="three-controls",
        nodes=[*(ControlPlane(f"c{n}") for n in (1, 2, 3)), Worker("w1"), Router("r1")],
        links=[Link(one, "r1") for one in ("c1", "c2", "c3", "w1")],
    )


def mixed() -> Topology:
    """Every part of the plan once: multi-homed, switched, hub, given addresses, cable, options."""
    return Topology(
        name="mixed",
        nodes=[
            ControlPlane("c1"),
            Worker("w1", labels={"zone": "a"}, taints=["slow=true:NoSchedule"], memory="1GiB"),
            Worker("w2", ports=["127.0.0.1:8080:80/tcp"]),
            Worker("w3"),
            Router("r1"),
            Router("r2"),
            Router("r3"),
            Router("r4"),
            Switch("s1"),
            Hub("lan"),
            Host("h1", startup_commands=["echo ready"]),
            Host("h2", image="example/image:1", env={"B": "2", "A": "1"}, capabilities=["NET_RAW"]),
        ],
        links=[
            Link("w1", "r1", mtu=9000),
            Link("w1", "r4", rate="50mbit", a_to_b={"rate": "10mbit"}),
            Link("w2", "s1"),
            Link("h1", "s1"),
            Link("s1", "r4"),
            Link("w3", "lan", ipv4="10.20.0.0/24"),
            Link("r2", "lan"),
            Link("h2", "lan", ipv4=("10.20.0.99/24", "10.20.0.1/24")),
            Link("r1", "r2", interfaces=(None, "eth0")),
            Link("r1", "r3", ipv4=("192.0.2.1/31", "192.0.2.0/31")),
            Link("r2", "r4"),
            Link("r3", "r4", ipv6="fd00:1::/64"),
        ],
    )


def way_out() -> Topology:
    """A cluster and a host whose way outside is the router r1, behind r2; w2 has two links."""
    return Topology(
        name="way-out",
        nodes=[
            ControlPlane("c1"),
            Worker("w1"),
            Worker("w2"),
            Host("h1"),
            Router("r1"),
            Router("r2"),
        ],
        links=[
            Link("c1", "r2"),
            Link("w1", "r2"),
            Link("w2", "r1"),
            Link("w2", "r2"),
            Link("h1", "r2"),
            Link("r1", "r2"),
        ],
    )
