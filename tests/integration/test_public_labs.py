"""Labs that others published, deployed as they are: what they are there to show is seen.

Those whose OSPF waits 40 s for other routers, as published, are built first and looked at last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed
from tests.support.builds import await_true
from tests.support.labs import public_labs

LABS = public_labs()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.xdist_group("public_labs"),
    pytest.mark.skipif(LABS is None, reason="no public labs here (KINDA_PUBLIC_LABS)"),
]


@contextmanager
def standing(topology: Topology, options: PlanOptions | None = None) -> Iterator[Testbed]:
    testbed = Testbed.build(topology, options=options)
    try:
        yield testbed
    finally:
        testbed.close()


@pytest.fixture(scope="module", autouse=True)
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Testbed]]:
    """Two labs whose routers take their time: they stand while other tests run."""
    assert LABS is not None
    frr = LABS / "containerlab" / "frr01" / "frr01.clab.yml"
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        topologies = {
            "ospf": (lab("ospf_frr-singlearea"), None),
            "frr01": (Topology.from_containerlab(frr), PlanOptions(engine="direct")),
        }
        yield {name: stack.enter_context(standing(*each)) for name, each in topologies.items()}


def lab(name: str) -> Topology:
    assert LABS is not None
    return Topology.from_kathara(LABS / "kathara" / name)


def pings(testbed: Testbed, node: str, address: str) -> bool:
    return testbed.node(node).exec("ping", "-n", "-c1", "-W1", address, check=False).ok


def await_ping(testbed: Testbed, node: str, address: str, limit: float = 60) -> None:
    await_true(lambda: pings(testbed, node, address), f"ping from {node} to {address}", limit)


def test_static_routing(state_home: Path) -> None:
    assert LABS is not None
    # a fifth machine, attached to the lab's own collision domain
    topology = Topology.from_kathara(
        LABS / "kathara" / "static-routing",
        nodes=[Host("pc3")],
        attach=[Link("pc3", "C", ipv4=("200.1.1.8/24", None))],
    )
    with standing(topology) as testbed:
        assert len(testbed.devices) == 5
        assert pings(testbed, "pc3", "200.1.1.1")
        assert pings(testbed, "pc1", "195.11.14.1")
        assert pings(testbed, "r1", "100.0.0.10")
        # as published its routes are left as an exercise
        assert not pings(testbed, "pc1", "200.1.1.7")
        for node, route in {
            "pc1": "default via 195.11.14.1",
            "pc2": "default via 200.1.1.1",
            "r1": "200.1.1.0/24 via 100.0.0.10",
            "r2": "195.11.14.0/24 via 100.0.0.9",
        }.items():
            testbed.node(node).exec("ip", "route", "add", *route.split())
        assert pings(testbed, "pc1", "200.1.1.7")


def test_bgp_between_two_routers(state_home: Path) -> None:
    with standing(lab("bgp-simple-peering")) as testbed:
        assert pings(testbed, "router1", "193.10.11.2")
        router = testbed.node("router2")

        def established() -> bool:
            told = router.exec("vtysh", "-c", "show bgp neighbors 193.10.11.1", check=False).stdout
            return "BGP state = Established" in told

        await_true(established, "a session between router1 and router2")


def test_a_data_centre_with_bgp(state_home: Path) -> None:
    with standing(lab("data-center-bgp")) as testbed:
        assert len(testbed.devices) == 18
        for address in ("201.1.2.2", "201.2.1.2", "202.1.1.2", "202.2.2.2"):
            await_ping(testbed, "server_1_1_1", address, 120)
        path = testbed.node("leaf_1_0_1").exec("ip", "-4", "route", "show", "202.2.2.0/24").stdout
        assert path.count("nexthop") == 2


def test_containerlabs_bridge(state_home: Path) -> None:
    """Its switches of a kind that cannot be emulated are hosts here, and one more is attached."""
    assert LABS is not None
    topology = Topology.from_containerlab(
        LABS / "containerlab" / "br01" / "br01.clab.yml",
        nodes=[Host(name) for name in ("srl1", "srl2", "srl3", "h4")],
        attach=[Link("h4", "br-clab")],
    )
    with standing(topology, PlanOptions(engine="direct")) as testbed:
        assert len(testbed.devices) == 5
        table = testbed.reachability()
        assert table, str(table)
        assert len(table.pairs) == 12
        # it is a bridge: one domain, and what is not for a port does not come out of it
        with testbed.capture(testbed.node("h4").interfaces[0], filter="icmp") as capture:
            assert testbed.ping("srl1", "srl3", count=3).received == 3
        assert capture.count() == 0


def test_containerlabs_cluster_around_a_router(state_home: Path) -> None:
    """The first of the file's two clusters, at the addresses that the file gives its nodes."""
    assert LABS is not None
    topology = Topology.from_containerlab(
        LABS / "containerlab" / "k8s_kind01" / "k8s_kind01.clab.yml",
        nodes=[Router("srl01")],
        without=["k02", "k02-control-plane"],
    )
    with standing(topology, PlanOptions(engine="direct")) as testbed:
        assert testbed.node("k01-control-plane").ip == "192.168.10.1"
        assert testbed.node("k01-worker").ip == "192.168.11.1"
        found = testbed.verify()
        assert found, str(found)
        assert testbed.trace("k01-control-plane", "k01-worker").nodes == (
            "k01-control-plane",
            "srl01",
            "k01-worker",
        )


def test_ospf_in_one_area(waiting: dict[str, Testbed]) -> None:
    testbed = waiting["ospf"]
    assert len(testbed.devices) == 5
    for address in ("10.0.0.3", "10.0.1.2", "10.0.2.1", "10.0.3.2"):
        await_ping(testbed, "bb1", address)
    routes = testbed.node("bb1").exec("ip", "-4", "route").stdout
    assert "10.0.1.0/24" in routes
    assert "proto ospf" in routes


def test_containerlabs_frr(waiting: dict[str, Testbed]) -> None:
    testbed = waiting["frr01"]
    assert len(testbed.devices) == 6
    for address in ("192.168.12.2", "192.168.13.2", "10.10.10.1"):
        await_ping(testbed, "PC1", address, 120)
    routes = testbed.node("router1").exec("ip", "-4", "route").stdout
    assert "192.168.13.0/24" in routes
    assert "proto ospf" in routes
