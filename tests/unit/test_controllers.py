"""Controllers of switches: what is declared, planned, refused, and read back."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kinda import ControlPlane, Host, Hub, Link, OvsSwitch, Topology, Worker
from pytest_kinda.build.relays import target_of
from pytest_kinda.devices.ovs_handle import Flow, parse_controller, parse_flow
from pytest_kinda.errors import PlanError, TopologyError
from pytest_kinda.plan import PlanOptions, plan, plan_from_json, plan_to_json
from pytest_kinda.plan.relays import addresses_at
from pytest_kinda.plan.values import Plan, RelaySpec
from pytest_kinda.readers import parse, to_yaml


def planned(*controllers: str, cluster: bool = False) -> Plan:
    nodes: list[Any] = [OvsSwitch("s1", controller=controllers), Host("h1"), Host("c1")]
    links = [Link("h1", "s1")]
    if cluster:
        nodes += [ControlPlane("cp"), Worker("w1")]
        links += [Link("cp", "s1"), Link("w1", "s1")]
    return plan(Topology(name="driven", nodes=nodes, links=links), PlanOptions(engine="direct"))


def relays(*controllers: str, cluster: bool = False) -> list[tuple[str, str, int]]:
    device = planned(*controllers, cluster=cluster).node("s1").device
    assert device is not None
    return [(one.node, one.pod, one.port) for one in device.relays]


def test_nodes_and_pods_are_reached_by_relays() -> None:
    assert relays("c1") == [("c1", "", 6653)]
    assert relays("c1:6633", "h1") == [("c1", "", 6633), ("h1", "", 6653)]
    assert relays("tcp:10.0.0.1:6653", "ptcp:6654") == []
    assert relays("pod:sdn/ryu", "pod:sdn/app=ryu:6633", "w1", cluster=True) == [
        ("", "sdn/ryu", 6653),
        ("", "sdn/app=ryu", 6633),
        ("w1", "", 6653),
    ]


def test_the_switch_is_told_of_its_own_loopback() -> None:
    device = planned("tcp:10.0.0.1:6653", "c1").node("s1").device
    assert device is not None
    command = " ".join(device.startup[1].argv)
    assert (
        '-- --id=@c0 create Controller target="tcp:10.0.0.1:6653" -- --id=@c1 create Controller '
        'target="tcp:127.0.0.1:16654" connection_mode=out-of-band max_backoff=1000 '
        "-- set bridge br0 controller=[@c0,@c1] --"
    ) in command
    assert [one.listen for one in device.relays] == [16654]
    assert dict(device.about or {})["controllers"] == ["tcp:10.0.0.1:6653", "c1"]


def test_a_plan_with_relays_survives_its_file() -> None:
    made = planned("c1")
    assert plan_from_json(plan_to_json(made)) == made


def test_a_file_has_them_too() -> None:
    nodes = [OvsSwitch("s1", controller=["c1:6653"]), Host("c1"), Host("h1")]
    topology = Topology(name="t", nodes=nodes, links=[Link("h1", "s1")])
    assert parse(to_yaml(topology)) == topology


def test_controllers_that_are_not_there_are_refused() -> None:
    with pytest.raises(PlanError, match=r"s1: controller: found unknown node 'c2'; .* 'c1'"):
        planned("c2")
    with pytest.raises(PlanError, match="found pod 'sdn/ryu'; expected a topology with a Control"):
        planned("pod:sdn/ryu")
    hub = [OvsSwitch("s1", controller="lan"), Hub("lan"), Host("h1")]
    with pytest.raises(PlanError, match="unknown node 'lan'"):
        plan(Topology(name="t", nodes=hub, links=[Link("h1", "s1"), Link("s1", "lan")]))


@pytest.mark.parametrize("wrong", ["c1:0", "c1:65536", "pod:ryu", "pod:sdn/ryu:x", "tcp:", "c1:"])
def test_forms_that_are_none(wrong: str) -> None:
    with pytest.raises(TopologyError, match=f"controller: found '{wrong}'; expected a node"):
        planned(wrong)


def test_a_program_may_listen_at_any_address_of_its_node() -> None:
    made = planned("c1", cluster=True)
    assert addresses_at(made.node("c1")) == ("127.0.0.1",)
    worker = made.node("w1")
    assert addresses_at(worker) == ("127.0.0.1", worker.endpoint)


def pod(name: str, phase: str = "Running", born: str = "1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": born, **metadata},
        "spec": {"nodeName": "w1"},
        "status": {"phase": phase, "podIP": f"10.244.1.{born}"},
    }


def test_the_oldest_pod_that_runs_is_the_controller() -> None:
    relay = RelaySpec("controller", 16653, 6653, pod="sdn/app=ryu")
    ending = pod("a", born="1", deletionTimestamp="now")
    found, why = target_of(relay, [pod("c", born="3"), ending, pod("b", born="2")])
    assert (found, why) == ({"place": "w1", "addresses": ["10.244.1.2"], "port": 6653}, "")
    assert target_of(relay, [pod("d", "Pending"), ending]) == (
        None,
        "pod sdn/app=ryu does not run (d: Pending, a: Running)",
    )
    assert target_of(relay, []) == (None, "there is no pod sdn/app=ryu")


def test_what_open_vswitch_says_of_a_controller() -> None:
    target, names = "tcp:127.0.0.1:16653", {"tcp:127.0.0.1:16653": "c1:6653"}
    status = ["map", [["sec_since_connect", "3"], ["state", "ACTIVE"]]]
    good = parse_controller([target, True, "other", status], names, {target: ""})
    assert (good.name, good.connected, good.role, good.state) == (
        "c1:6653",
        True,
        "other",
        "ACTIVE",
    )
    assert str(good) == "c1:6653 is connected"
    status = ["map", [["last_error", "Connection reset by peer"], ["state", "BACKOFF"]]]
    bad = parse_controller([target, False, ["set", []], status], names, {target: "refused at c1"})
    assert str(bad) == "c1:6653 is not connected (BACKOFF; refused at c1)"
    bad = parse_controller([target, False, ["set", []], ["map", []]], {}, {})
    assert str(bad) == "tcp:127.0.0.1:16653 is not connected (not tried yet)"


def test_flows_can_be_made_again_from_what_was_printed() -> None:
    line = "cookie=0x2a, table=3, n_packets=5, n_bytes=490, priority=7,icmp,in_port=1 actions=drop"
    assert parse_flow(line).line == "table=3,priority=7,cookie=0x2a,icmp,in_port=1,actions=drop"
    assert Flow(0, 0, "", "NORMAL", 0, 0).line == "table=0,priority=0,cookie=0x0,actions=NORMAL"
