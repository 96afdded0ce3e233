"""Labs of our own: machines of a lab as they are, and as nodes of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Link, Topology
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import Testbed
from tests.support.labs import OWN

LAB = OWN / "kathara" / "two-routers"


@pytest.mark.parametrize("engine", ["kathara", "direct"])
def test_a_lab_is_deployed_as_it_is(state_home: Path, engine: str) -> None:
    testbed = Testbed.build(
        Topology.from_kathara(LAB),
        options=PlanOptions(engine=engine),  # type: ignore[arg-type]
    )
    try:
        assert testbed.node("pc_1").exec("ping", "-n", "-c1", "-W2", "10.71.2.5").ok
        link = testbed.node("pc_1").exec("ip", "link", "show", "eth0").stdout
        assert "02:00:00:00:01:01" in link
    finally:
        testbed.close()


@pytest.mark.slow
@pytest.mark.beside
def test_machines_of_a_lab_become_nodes_of_a_cluster(state_home: Path) -> None:
    topology = Topology.from_kathara(
        LAB, workers=["pc_1", "pc_2"], nodes=[ControlPlane("c1")], attach=[Link("c1", "A")]
    )
    testbed = Testbed.build(topology)
    try:
        nodes = testbed.kubectl("get", "nodes", "-o", "wide").stdout
        assert "10.71.1.5" in nodes
        assert "10.71.2.5" in nodes
        server = testbed.cluster.run_pod("server", node="pc-2", command=["sleep", "infinity"])
        client = testbed.cluster.run_pod("client", node="pc-1", command=["sleep", "infinity"])
        with testbed.capture(testbed.link("B"), filter="proto gre") as capture:
            assert client.exec("ping", "-n", "-c3", server.ip).ok
        assert capture.count() >= 6
    finally:
        testbed.close()
