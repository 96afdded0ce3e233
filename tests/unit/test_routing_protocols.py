"""FRR's configuration as it is generated, and what a plan with routing protocols says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Switch, Topology, Worker
from pytest_kinda.errors import PlanError, TopologyError
from pytest_kinda.generators import fat_tree, grid, leaf_spine
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import NodePlan

GOLDEN = Path(__file__).parent / "golden" / "frr"


def ring(protocol: Any, **settings: Any) -> Topology:
    """Three routers in a circle, each with a host."""
    return Topology(
        name=f"ring-{protocol}",
        nodes=[
            *(Router(f"r{n}", routing=protocol, **settings) for n in (1, 2, 3)),
            *(Host(f"h{n}") for n in (1, 2, 3)),
        ],
        links=[
            Link("r1", "r2"),
            Link("r2", "r3"),
            Link("r3", "r1"),
            *(Link(f"h{n}", f"r{n}") for n in (1, 2, 3)),
        ],
    )


def rich(protocol: Any) -> Topology:
    """A LAN of three routers, a worker at two of them, IPv6, and a router of the author's own."""
    own = {"asn": 64999} if protocol == "bgp" else {}
    return Topology(
        name="rich",
        nodes=[
            Switch("s1"),
            *(Router(f"r{n}", routing=protocol) for n in (1, 2, 3)),
            ControlPlane("c1"),
            Worker("w1"),
            Router("x1", routing=None, **own),
        ],
        links=[
            Link("r1", "s1", ipv4="10.1.0.0/24", ipv6="fd00:1::/64"),
            Link("r2", "s1"),
            Link("r3", "s1"),
            Link("r1", "r2"),
            Link("c1", "r3"),
            Link("w1", "r1"),
            Link("w1", "r2"),
            Link("r3", "x1"),
        ],
    )


def file_of(node: NodePlan, path: str) -> str:
    assert node.device is not None
    return next(one.text for one in node.device.files if one.path == path)


@pytest.mark.parametrize("protocol", ["ospf", "bgp", "rip"])
@pytest.mark.parametrize("make", [ring, rich], ids=["ring", "rich"])
def test_configuration_is_as_written(make: Any, protocol: str) -> None:
    made = plan(make(protocol))
    routers = [one for one in made.devices if one.name.startswith("r")]
    text = "".join(
        f"### {one.name} {path}\n{file_of(one, path)}"
        for one in routers
        for path in ("/etc/frr/daemons", "/etc/frr/frr.conf")
    )
    golden = GOLDEN / f"{make.__name__}-{protocol}.conf"
    if os.environ.get("KINDA_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_routers_with_a_protocol_get_no_static_routes_and_the_router_image() -> None:
    made = plan(ring("ospf"))
    for name in ("r1", "r2", "r3"):
        node = made.node(name)
        assert node.routes == ()
        assert node.device is not None
        assert node.device.image == "@router"
    assert [one.destination for one in made.node("h1").routes] == ["0.0.0.0/0"]
    device = plan(ring("rip", image="my/frr:1")).node("r1").device
    assert device is not None
    assert device.image == "my/frr:1"


def test_a_router_is_ready_when_its_kernel_has_every_prefix(tmp_path: Path) -> None:
    made = plan(ring("bgp"))
    device = made.node("r1").device
    assert device is not None
    (ready,) = device.ready
    subnets = {one for segment in made.segments for one in segment.subnets}
    assert set(ready.argv[4:]) == subnets
    fake = tmp_path / "ip"

    def run(listed: list[str]) -> subprocess.CompletedProcess[str]:
        listing = "\n".join(f"{one} via 192.0.2.1 dev eth0" for one in listed)
        # the tool's answers, so that the script itself is what is tested
        fake.write_text(f"#!/bin/sh\n[ $1 = -6 ] || cat <<'X'\n{listing}\nX\n")
        fake.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            ready.argv, env={"PATH": path}, capture_output=True, text=True, check=False
        )

    assert run(sorted(subnets)).returncode == 0
    lacking = run(sorted(subnets)[1:])
    assert lacking.returncode == 1
    assert lacking.stdout == f"no route to {sorted(subnets)[0]}\n"


def numbers(topology: Topology) -> dict[str, str]:
    """The autonomous system of each router."""
    return {
        one.name: file_of(one, "/etc/frr/frr.conf").partition("router bgp ")[2].partition("\n")[0]
        for one in plan(topology).devices
        if one.kind == "router"
    }


def test_each_router_is_an_autonomous_system_of_its_own() -> None:
    found = numbers(grid(4, 5, leaves="hosts", router=lambda name: Router(name, routing="bgp")))
    assert len(set(found.values())) == len(found) == 20
    assert all(64512 <= int(one) <= 65534 for one in found.values())


def test_levels_of_a_fabric_are_autonomous_systems_unless_told() -> None:
    def bgp(name: str) -> Router:
        return Router(name, routing="bgp")

    fabric = fat_tree(4, leaves="hosts", router=bgp)
    levels = {"core": "64512", "a": "64513", "e": "64514"}
    found = numbers(fabric)
    assert found == {name: levels[name.rstrip("-0123456789")] for name in found}
    # what another router of the level announces comes round with the router's own number in it
    text = file_of(plan(fabric).node("a1-1"), "/etc/frr/frr.conf")
    assert text.count(" allowas-in 1\n") == text.count(" activate\n") == 4
    assert "allowas-in" not in file_of(plan(ring("bgp")).node("r1"), "/etc/frr/frr.conf")
    assert set(numbers(leaf_spine(2, 3, router=bgp)).values()) == {"64512", "64513"}

    def told(name: str) -> Router:
        return Router(name, routing="bgp", asn=65001 if name.startswith("core") else None)

    assert "remote-as 65001" in file_of(
        plan(fat_tree(4, leaves="hosts", router=told)).node("a1-1"), "/etc/frr/frr.conf"
    )


def test_an_endpoint_on_a_loopback_needs_somebody_to_announce_it() -> None:
    def topology(second: Any) -> Topology:
        return Topology(
            name="two-ways",
            nodes=[
                ControlPlane("c1"),
                Worker("w1"),
                Router("r1", routing="ospf"),
                Router("r2", routing=second),
            ],
            links=[Link("c1", "r1"), Link("w1", "r1"), Link("w1", "r2"), Link("r1", "r2")],
        )

    made = plan(topology("ospf"))
    (loopback,) = made.node("w1").loopback
    assert made.node("w1").endpoint == loopback.removesuffix("/32")
    assert f"ip route {loopback} " in file_of(made.node("r1"), "/etc/frr/frr.conf")
    made = plan(topology(None))
    assert made.node("w1").loopback == ()
    first = made.node("w1").interfaces[0].addresses[0].partition("/")[0]
    assert made.node("w1").endpoint == first
    assert {one.source for one in made.node("w1").routes} == {first}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Router("r1", routing="ospf"), Router("r2"), "r1 with 'ospf', r2 with 'static'"),
        (Router("r1", routing="ospf"), Router("r2", routing="rip"), "routing=None"),
        (
            Router("r1", routing="bgp", asn=65001),
            Router("r2", routing="bgp", asn=65001),
            "65001 at both r1 and r2",
        ),
    ],
)
def test_neighbours_that_cannot_understand_each_other(
    first: Router, second: Router, expected: str
) -> None:
    with pytest.raises(PlanError, match=r"link r1--r2") as caught:
        plan(Topology(name="t", nodes=[first, second], links=[Link("r1", "r2")]))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"routing": "babel"}, "'static', 'ospf', 'bgp', 'rip' or None"),
        ({"routing": "bgp", "asn": 0}, "a number from 1 to 4294967294"),
        ({"routing": "rip", "asn": 65001}, "routing='bgp'"),
        ({"routing": "rip", "files": {"/etc/frr/frr.conf": "!"}}, "routing=None"),
    ],
)
def test_what_a_router_cannot_be(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(TopologyError, match="node r1") as caught:
        Topology(name="t", nodes=[Router("r1", **settings)], links=[])
    assert expected in str(caught.value)
