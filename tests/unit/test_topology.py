from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import (
    ControlPlane,
    Device,
    Host,
    Hub,
    Link,
    Router,
    Shape,
    Switch,
    Topology,
    Worker,
)
from pytest_kinda.errors import TopologyError, UnknownNameError
from pytest_kinda.plan import plan
from pytest_kinda.topology.composition import join
from tests.support.declared import mixed, triangle

NODES = [ControlPlane("c1"), Worker("w1"), Router("r1"), Router("r2")]
LINKS = [Link("w1", "r1"), Link("r1", "r2")]


def test_equal_by_value_and_hashable() -> None:
    assert triangle() == triangle()
    assert hash(triangle()) == hash(triangle())
    assert triangle() != triangle().with_(links=[Link("r1", "r2", rate="10mbit")])
    one = Worker("w1", labels={"a": "1", "b": "2"})
    other = Worker("w1", labels={"b": "2", "a": "1"})
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.name = "w2"  # type: ignore[misc]


def problems_of(**changes: Any) -> list[str]:
    arguments = {"name": "t", "nodes": NODES, "links": LINKS} | changes
    with pytest.raises(TopologyError) as caught:
        Topology(**arguments)
    return [str(one) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"links": [*LINKS, Link("w1", "r3")]}, ["link w1--r3: b", "'r3'", "did you mean 'r"]),
        ({"nodes": [*NODES, Router("r1")]}, ["nodes", "2 of the name 'r1'"]),
        ({"links": [*LINKS, Link("r1", "r1")]}, ["link r1--r1", "itself"]),
        ({"links": [*LINKS, Link("r1", "r2")]}, ["2 of the name 'r1--r2'", "parallel"]),
        ({"nodes": NODES[1:]}, ["no control plane", "w1"]),
        ({"links": [Link("r1", "r2")]}, ["node w1: links: found none"]),
        ({"links": [*LINKS, Link("c1", "r1", rate="5mbps")]}, ["rate", "'mbps'", "mbit"]),
        ({"links": [*LINKS, Link("c1", "r1", delay="5")]}, ["delay", "without a unit", "ms"]),
        ({"links": [*LINKS, Link("c1", "r1", loss=0.1)]}, ["loss", "0.1", "%"]),
        ({"links": [*LINKS, Link("c1", "r1", jitter="5ms")]}, ["jitter", "no delay"]),
        ({"links": [*LINKS, Link("c1", "r1", ipv4="10.0.0.1/24")]}, ["ipv4", "host bits"]),
        ({"links": [*LINKS, Link("c1", "r1", ipv4="fd00::/64")]}, ["ipv4", "IPv4 subnet"]),
        (
            {"links": [*LINKS, Link("c1", "r1", ipv4=("10.0.0.1/24", "10.0.1.2/24"))]},
            ["ipv4", "one subnet"],
        ),
        ({"links": [*LINKS, Link("c1", "r1", mtu=100)]}, ["mtu", "100", "576"]),
        ({"links": [*LINKS, Link("c1", "r1", mtu=1000, ipv6="fd00::/64")]}, ["mtu", "1280"]),
        ({"links": [*LINKS, Link("c1", "r1", interfaces=("eth0", None))]}, ["eth0", "Docker"]),
        (
            {"links": [*LINKS, Link("c1", "r1", interfaces=("a-very-long-name", None))]},
            ["interfaces", "15"],
        ),
        ({"links": [*LINKS, Link("c1", "r1", interfaces=(None, "gre0"))]}, ["gre0", "kernel"]),
        ({"links": [*LINKS, Link("c1", "r1", a_to_b={"speed": 1})]}, ["a_to_b", "speed", "rate"]),
        ({"links": [*LINKS, Link("c1", "r1", b_to_a={"rate": "x"})]}, ["b_to_a.rate", "x"]),
        ({"nodes": [*NODES, ControlPlane("c_2")]}, ["c_2", "RFC 1123"]),
        ({"nodes": [*NODES, Router("Router")]}, ["Router", "a-z"]),
        ({"nodes": [*NODES, Router("ls")]}, ["'ls'", "subcommand", "kubectl, link, logs, ls"]),
        ({"nodes": [*NODES, Router("r3", routing="babel")]}, ["routing", "babel", "static"]),
        ({"nodes": [*NODES, Host("h1", memory="3")]}, ["node h1: memory", "'3'", "mib"]),
        ({"nodes": [*NODES, Host("h1", cpus=-1)]}, ["cpus", "-1"]),
        ({"nodes": [*NODES, Host("h1", ports=["80"])]}, ["ports", "'80'", "HOST:CONTAINER"]),
        ({"nodes": [*NODES, Host("h1", mounts=["/no/such:/x"])]}, ["mounts", "not exist"]),
        ({"nodes": [*NODES, Host("h1", files={"x": "1"})]}, ["files", "'x'", "absolute"]),
        ({"nodes": [*NODES, Host("h1", files={"/x": Path("no-such")})]}, ["no-such", "read"]),
        ({"nodes": [*NODES, Host("h1", sysctls={"x": "1"})]}, ["sysctls", "'x'"]),
        ({"nodes": [*NODES, Device("h1", image="")]}, ["image", "''"]),
        ({"nodes": [*NODES, Worker("w2", taints=["x"])]}, ["taints", "'x'", "NoSchedule"]),
        ({"nodes": [*NODES, Worker("w2", labels={"a b": "c"})]}, ["labels", "'a b'"]),
        ({"name": "a/b"}, ["name", "'a/b'"]),
        ({"nodes": [*NODES, "r9"]}, ["nodes[4]", "'r9'"]),
        ({"links": [*LINKS, ("r1", "c1")]}, ["links[2]", "('r1', 'c1')"]),
        (
            {"nodes": [*NODES, Hub("r1--r2")], "links": [*LINKS, Link("r1", "r1--r2")]},
            ["'r1--r2'", "node"],
        ),
    ],
    ids=str,
)
def test_each_mistake_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    found = problems_of(**changes)
    assert any(all(part in one for part in expected) for one in found), found


def test_all_problems_are_reported_together() -> None:
    found = problems_of(
        nodes=[Worker("up"), Worker("w_1", memory="3q"), Router("r1")],
        links=[Link("w_1", "r2", rate="5mbps", delay=3), Link("r1", "r1")],
    )
    assert len(found) == 9, found


def test_lookup_offers_the_nearest_name() -> None:
    assert triangle().node("w1").name == "w1"
    assert triangle().link("r2", "r1").rate == 100_000_000
    with pytest.raises(UnknownNameError, match="did you mean 'w"):
        triangle().node("w3")
    with pytest.raises(UnknownNameError, match="r1--r2"):
        triangle().link("r1", "r3")


def test_directions() -> None:
    link = Link("a", "b", rate="50mbit", loss="1%", a_to_b={"rate": "10mbit", "loss": "0%"})
    assert link.settings("a") == {"rate": 10_000_000}
    assert link.settings("b") == {"rate": 50_000_000, "loss": 0.01}
    assert Link("a", "b", b_to_a=Shape(delay=5)).settings("b") == {"delay": 5}
    again = link.with_()
    assert again == link
    assert eval(repr(link)) == link


def test_variants_and_sums() -> None:
    base = triangle()
    assert [one.name for one in base.with_(without=["w2"]).links] == ["c1--r1", "w1--r1", "r1--r2"]
    assert base.with_(nodes=[Worker("w1", labels={"a": "b"})]).node("w1") != base.node("w1")
    with pytest.raises(TopologyError, match="w9"):
        base.with_(without=["w9"])
    other = Topology("more", [Router("r9"), Host("h9")], [Link("h9", "r9")])
    both = join(base, other, links=[Link("r1", "r9")], name="both")
    assert (len(both.nodes), len(both.links)) == (7, 6)
    assert (base + other).name == "triangle-more"
    with pytest.raises(TopologyError, match="2 of the name"):
        base + base


def test_files_count_by_content_and_lie_beside_the_declaration(tmp_path: Path) -> None:
    for directory in ("one", "two"):
        (tmp_path / directory / "conf").mkdir(parents=True)
        (tmp_path / directory / "conf" / "a.txt").write_text("same")
        module = tmp_path / directory / "declared.py"
        module.write_text(
            "from pathlib import Path\n"
            "from pytest_kinda import Host\n"
            "HOST = Host('h1', files={'/etc/conf': Path('conf')}, mounts=['conf:/mnt:ro'])\n"
            "FILES = Host('h1', files={'/etc/conf': Path('conf')})\n"
        )
    hosts = []
    for directory in ("one", "two"):
        path = tmp_path / directory / "declared.py"
        space: dict[str, Any] = {}
        exec(compile(path.read_text(), str(path), "exec"), space)
        assert space["HOST"].mounts == (f"{path.parent / 'conf'}:/mnt:ro",)
        hosts.append(space["FILES"])
    assert dict(hosts[0].files) == {"/etc/conf/a.txt": "same"}
    assert hosts[0] == hosts[1]


def test_importing_what_authors_use_loads_no_engine() -> None:
    code = (
        "import sys, pytest_kinda\n"
        "from pytest_kinda import *\n"
        "from pytest_kinda.plan import plan\n"
        "T = Topology('t', [Router('r1'), Host('h1')], [Link('h1', 'r1')])\n"
        "plan(T)\n"
        "heavy = ('Kathara', 'docker', 'kubernetes', 'pyroute2', 'pytest', 'networkx')\n"
        "print([one for one in heavy if one in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_export_is_an_attribute_error() -> None:
    import pytest_kinda

    assert set(pytest_kinda.__all__) <= set(dir(pytest_kinda))
    with pytest.raises(AttributeError, match="Rooter"):
        _ = pytest_kinda.Rooter


def test_graph_and_back() -> None:
    from pytest_kinda.generators import from_networkx

    for one in (triangle(), mixed()):
        graph = one.to_networkx()
        assert graph.number_of_edges() == len(one.links)
        again = from_networkx(graph)
        assert again.nodes == one.nodes
        assert set(again.links) == set(one.links)
    assert isinstance(mixed().node("s1"), Switch)


def test_feature_gates_are_of_the_cluster_and_checked() -> None:
    gated = triangle().with_(nodes=[ControlPlane("c1", feature_gates=["A=true", "B=false"])])
    made = plan(gated)
    assert made.cluster is not None
    assert made.cluster.kind["featureGates"] == {"A": True, "B": False}
    with pytest.raises(TopologyError, match="feature_gates: found 'A'; expected NAME=true or NAME"):
        triangle().with_(nodes=[ControlPlane("c1", feature_gates=["A"])])
