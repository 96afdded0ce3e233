"""What a node needs when its container has started again."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kinda.build.rewiring import naming_operations
from pytest_kinda.host.standing import StandingState
from pytest_kinda.operations import (
    AddAddress,
    AddBridgePort,
    AddHub,
    AddRoute,
    AddTunnel,
    AddVeth,
    LoadNft,
    Operation,
    Place,
    SetCarrier,
    SetInterface,
    SetShape,
    Shape,
)
from pytest_kinda.plan import HostFacts, Plan, PlanOptions, plan, rewire_operations
from pytest_kinda.testbed.returning import neighbours, unready
from tests.support.topologies import LAN, PAIR, TRIANGLE

ALL = ("c1", "w1", "w2", "r1", "r2")


def planned(topology: Any, engine: Any = "direct") -> Plan:
    return plan(topology, PlanOptions(engine=engine, tunnel="bpf"), HostFacts(bpf=True))


def rewired(whole: Plan, name: str, alive: Any = ALL) -> tuple[Operation, ...]:
    bridges = {one.name: f"kt-{one.name}" for one in whole.segments}
    return rewire_operations(whole, name, alive, bridges, "t1")


def of(kind: Any, operations: tuple[Operation, ...]) -> list[Any]:
    return [one for one in operations if isinstance(one, kind)]


def test_a_cable_is_made_from_the_end_that_was_left() -> None:
    found = rewired(planned(TRIANGLE), "w1")
    (cable,) = of(AddVeth, found)
    assert (cable.a.place, cable.b.place) == ("r1", "w1")
    configured = {(one.place, one.interface) for one in of(AddAddress, found)}
    assert configured == {("w1", "lo"), ("w1", cable.b.interface), ("r1", cable.a.interface)}
    assert [one.place for one in of(AddTunnel, found)] == ["w1"]
    assert [one.place for one in of(LoadNft, found)] == ["w1"]


def test_neighbours_get_what_was_on_their_interfaces() -> None:
    whole = planned(TRIANGLE)
    found = rewired(whole, "r1")
    assert {one.a.place for one in of(AddVeth, found)} == {"c1", "w1", "r2"}
    # their programs were on the interfaces that are gone
    assert {one.place for one in of(AddTunnel, found)} == {"c1", "w1"}
    routes = {(one.place, one.destination) for one in of(AddRoute, found)}
    for name in ("c1", "w1"):
        assert routes >= {(name, one.destination) for one in whole.node(name).routes}
    assert not of(LoadNft, found)


def test_a_node_that_does_not_run_is_left_out_until_it_does() -> None:
    whole = planned(TRIANGLE)
    found = rewired(whole, "r1", alive=("c1", "w1", "w2"))
    assert {one.a.place for one in of(AddVeth, found)} == {"c1", "w1"}
    missing = next(one.name for one in whole.node("r1").interfaces if one.peers == ("r2",))
    for one in of((SetInterface, AddAddress, SetShape), found):
        assert (one.place, one.interface) != ("r1", missing)
    assert all(
        hop.interface != missing
        for one in of(AddRoute, found)
        if one.place == "r1"
        for hop in one.hops
    )
    later = rewired(whole, "r2", alive=("c1", "w1", "w2", "r1"))
    assert ("r1", missing) in {(one.place, one.interface) for one in of(SetShape, later)}


def test_under_kathara_only_a_node_of_the_cluster_has_a_cable_of_ours() -> None:
    whole = planned(TRIANGLE, "kathara")
    found = rewired(whole, "w1")
    assert [one.end.place for one in of(AddBridgePort, found)] == ["w1"]
    assert not of(AddVeth, found)
    router = rewired(whole, "r1")
    assert not of((AddBridgePort, AddVeth, AddTunnel), router)
    assert {one.place for one in of(AddAddress, router)} == {"r1"}


def test_a_hub_gets_the_one_port_back() -> None:
    found = rewired(planned(LAN), "h2", alive=("h1", "h2", "h3"))
    (cable,) = of(AddVeth, found)
    (hub,) = of(AddHub, found)
    assert hub.ports == (cable.a.interface,)
    assert {one.place for one in of(AddAddress, found)} == {"h2"}


def test_interfaces_that_have_changed_places_get_their_names_back() -> None:
    node = planned(PAIR, "kathara").node("r1")
    first, second = node.interfaces
    swapped = {first.name: second.mac, second.name: first.mac}
    assert naming_operations(node, swapped) == [
        SetInterface("r1", first.name, rename="kn0"),
        SetInterface("r1", second.name, rename="kn1"),
        SetInterface("r1", "kn0", rename=second.name),
        SetInterface("r1", "kn1", rename=first.name),
    ]
    assert naming_operations(node, {one.name: one.mac for one in node.interfaces}) == []
    # Docker's own makes room
    shifted = {"eth0": "02:42:ac:11:00:02", "eth1": first.mac, "eth2": second.mac}
    renamed = {one.rename for one in naming_operations(node, shifted) if "kn" in one.interface}  # type: ignore[union-attr]
    assert renamed == {"eth0", "eth1", "eth2"}


def test_of_two_processes_of_one_container_the_later_counts() -> None:
    state = StandingState()
    old, new = Place("abc", 100, 5), Place("abc", 90, 7)
    assert state.places({"r1": old, "h1": Place("def", 3, 1)})["r1"] == old
    state.places({"r1": new})
    assert state.places({"r1": old})["r1"] == new
    assert state.places({"r1": Place("other", 5, 1)})["r1"] == Place("other", 5, 1)


def test_what_faults_have_done_is_done_to_new_interfaces() -> None:
    state = StandingState()
    declared, slow = Shape(rate=50_000_000), Shape(rate=3_000_000)
    state.heard([SetShape("r1", "eth0", declared), SetShape("r1", "eth1", declared)])
    state.heard([SetShape("r1", "eth0", slow, declared), SetShape("h1", "eth0", slow)])
    state.heard([SetCarrier("r1", "eth1", False), SetCarrier("h2", "eth0", False)])
    wiring = [SetInterface("r1", "eth0", up=True), SetInterface("r1", "eth1", up=True)]
    shapes = [SetShape("r1", "eth0", declared), SetShape("r1", "eth1", declared)]
    assert state.as_it_was([*wiring, *shapes]) == [
        *wiring,
        SetShape("r1", "eth0", slow),
        SetShape("r1", "eth1", declared),
        SetCarrier("r1", "eth1", False),
    ]
    state.heard([SetCarrier("r1", "eth1", True), SetShape("r1", "eth0", Shape(), slow)])
    assert state.as_it_was([*wiring, *shapes]) == [*wiring, SetShape("r1", "eth1", declared)]


@pytest.mark.parametrize(
    ("heartbeat", "status", "expected"),
    [
        ("2026-01-01T10:00:05Z", "True", ""),
        ("2026-01-01T10:00:03Z", "True", "its kubelet has reported nothing since"),
        ("2026-01-01T10:00:05Z", "False", "no CNI"),
    ],
)
def test_only_what_a_kubelet_has_said_since_the_start_counts(
    heartbeat: str, status: str, expected: str
) -> None:
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat, "message": "no CNI"}
    found = unready({"conditions": [ready]}, "2026-01-01T10:00:04.123456789Z")
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_neighbours_are_the_other_ends_of_links() -> None:
    whole = planned(PAIR)
    ends = {one.segment: one.addresses[0].partition("/")[0] for one in whole.node("r1").interfaces}
    assert [*neighbours(whole, whole.node("h1"))] == [ends[whole.node("h1").interfaces[0].segment]]
    assert len(neighbours(whole, whole.node("r1"))) == 2
