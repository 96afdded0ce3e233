"""Switches: what they are declared with, refused for, and become in a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import Host, Hub, Link, OvsSwitch, Router, Switch, Topology
from pytest_kinda.build import on_demand
from pytest_kinda.devices.ovs_handle import Flow, OvsSwitchHandle, parse_flow
from pytest_kinda.errors import KindaError, PlanError, TopologyError
from pytest_kinda.operations import SetInterface
from pytest_kinda.plan import HostFacts, PlanOptions, configure_operations, plan, remade_ends
from pytest_kinda.plan.values import CommandSpec, DeviceSpec, Member, NodePlan
from pytest_kinda.readers import parse, to_yaml
from pytest_kinda.testbed.devices import DeviceHandle, handle_class
from pytest_kinda.topology import Node

DIRECT = PlanOptions(engine="direct")


def around(*switches: Node, links: Any = (), hosts: int = 2) -> Topology:
    """Hosts at the first switch, and whatever else is linked."""
    first = switches[0].name
    named = [f"h{number}" for number in range(1, hosts + 1)]
    return Topology(
        name="switched",
        nodes=[*switches, *(Host(name) for name in named)],
        links=[*(Link(name, first) for name in named), *links],
    )


def spec(topology: Topology, name: str = "s1", **facts: Any) -> DeviceSpec:
    device = plan(topology, DIRECT, HostFacts(**facts)).node(name).device
    assert device is not None
    return device


def words(commands: tuple[CommandSpec, ...]) -> list[str]:
    return [" ".join(one.argv) for one in commands if one.argv[:2] != ("sh", "-c")]


# Open vSwitch


def test_ports_are_numbered_in_the_order_of_the_links() -> None:
    topology = around(OvsSwitch("s1"), Router("r1"), links=[Link("s1", "r1")])
    (command,) = words(spec(topology).startup)
    at = [
        command.index(
            f"add-port br0 eth{n} -- set Port eth{n} qos=@own -- set Interface eth{n} "
            f"ofport_request={n + 1}"
        )
        for n in range(3)
    ]
    assert at == sorted(at)
    mac = plan(topology, DIRECT).node("s1").interfaces[0].mac
    assert f"datapath-id=0000{mac.replace(':', '')} " in command


def test_the_datapath_is_what_the_kernel_has() -> None:
    for facts, name, why in (
        ({}, "netdev", "no openvswitch module"),
        ({"openvswitch": True}, "system", "the kernel's openvswitch module"),
    ):
        found = spec(around(OvsSwitch("s1")), **facts)
        assert f"datapath_type={name}" in words(found.startup)[0]
        assert found.user_space == (name == "netdev")
        assert found.notes[0].startswith(f"datapath {name} (")
        assert why in found.notes[0]
    forced = spec(around(OvsSwitch("s1", datapath="netdev")), openvswitch=True)
    assert forced.user_space
    with pytest.raises(PlanError, match=r"s1: datapath: found a kernel without the openvswitch"):
        spec(around(OvsSwitch("s1", datapath="system")))


def test_what_sends_to_user_space_completes_its_packets() -> None:
    topology = around(
        OvsSwitch("s1"),
        Router("r1"),
        Hub("lan"),
        Host("h3"),
        links=[Link("r1", "s1"), Link("s1", "lan"), Link("h3", "lan"), Link("r1", "h3")],
    )

    def complete(**facts: Any) -> set[tuple[str, str]]:
        made = plan(topology, DIRECT, HostFacts(**facts))
        return {
            (one.place, one.interface)
            for node in made.nodes
            for one in configure_operations(made, node)
            if isinstance(one, SetInterface) and one.tx_checksum is False
        }

    assert complete() == {("h1", "eth0"), ("h2", "eth0"), ("r1", "eth0"), ("h3", "eth0")}
    assert complete(openvswitch=True) == set()


def test_its_image_is_made_when_it_is_needed() -> None:
    assert on_demand.images_of(plan(around(OvsSwitch("s1")), DIRECT)) == ["ovs"]
    own = OvsSwitch("s1", image="example/ovs:1")
    assert on_demand.images_of(plan(around(own), DIRECT)) == []
    assert on_demand.images_of(plan(around(Switch("s1")), DIRECT)) == []


def test_options_reach_the_commands() -> None:
    switch = OvsSwitch(
        "s1",
        controller=["tcp:10.0.0.1:6653", "ptcp:6654"],
        fail_mode="secure",
        protocols=["OpenFlow13"],
        stp=True,
        tag={"h1": 10},
        trunks={"h2--s1": [20, 10], "eth2": "30"},
    )
    topology = around(switch, hosts=3)
    command, *others = words(spec(topology).startup)
    for part in (
        '--id=@c0 create Controller target="tcp:10.0.0.1:6653" -- '
        '--id=@c1 create Controller target="ptcp:6654" -- set bridge br0 controller=[@c0,@c1]',
        "fail_mode=secure",
        "protocols=OpenFlow13",
        "stp_enable=true",
        "add-port br0 eth0 tag=10 --",
        "trunks=10,20 --",
        "trunks=30 --",
    ):
        assert part in command
    assert others == []
    assert [one.what for one in spec(topology).ready] == ["ports", "spanning tree"]


def test_a_port_may_have_tagged_and_untagged_frames() -> None:
    found = spec(around(OvsSwitch("s1", tag={"h1": 1}, trunks={"h1": [2]})))
    assert "add-port br0 eth0 tag=1 trunks=2 vlan_mode=native-untagged --" in str(
        words(found.startup)
    )


def test_flows_are_lines_or_a_file(tmp_path: Path) -> None:
    lines = ["priority=5,arp,actions=flood", "ip,actions=drop"]
    path = tmp_path / "flows.txt"
    path.write_text("# what it does\n\n" + "\n".join(lines) + "\n")
    given, read = OvsSwitch("s1", flows=lines), OvsSwitch("s1", flows=path)
    assert given == read
    assert hash(given) == hash(read)
    found = spec(around(read))
    (file,) = found.files
    assert file.text == "priority=5,arp,actions=flood\nip,actions=drop\n"
    assert words(found.startup)[-1].endswith(f"add-flows br0 {file.path}")
    with pytest.raises(TopologyError, match=r"flows: found .*none.txt; expected a file"):
        around(OvsSwitch("s1", flows=tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"controller": ["c 0"]},
            r"controller: found 'c 0'; expected a node \(c1,",
        ),
        ({"protocols": ["OpenFlow1.3"]}, r"protocols: found 'OpenFlow1.3'; expected of OpenFlow10"),
        ({"fail_mode": "open"}, r"fail_mode: found 'open'; expected 'standalone', 'secure'"),
        ({"datapath": "dpdk"}, r"datapath: found 'dpdk'; expected auto, system or netdev"),
        ({"tag": {"h1": 4095}}, r"tag\[h1\]: found 4095; expected a VLAN from 1 to 4094"),
        ({"tag": {"h1": True}}, r"tag\[h1\]: found True; expected a VLAN"),
        ({"trunks": {"h1": [1, 0]}}, r"trunks\[h1\]: found '0'; expected a VLAN"),
        ({"trunks": {"h1": "1-5"}}, r"trunks\[h1\]: found '1-5'; expected a VLAN"),
    ],
)
def test_mistakes_of_a_switch(options: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        around(OvsSwitch("s1", **options))


def test_vlans_of_links_that_are_not_there_or_not_one() -> None:
    switch = OvsSwitch("s1", tag={"h9": 1, "h1": 2})
    with pytest.raises(PlanError) as caught:
        spec(around(switch, links=[Link("h1", "s1", name="second")]))
    text = str(caught.value)
    assert "tag[h9]: found no link of that name; expected a neighbour (h1, h2)" in text
    assert "tag[h1]: found several links (eth0, eth2); expected the name of one link" in text


def test_a_switch_in_a_file_is_the_one_that_was_written() -> None:
    topology = around(
        OvsSwitch("s1", tag={"h1": 10}, trunks={"h2": [20, 30]}, flows=["actions=normal"], stp=True)
    )
    assert parse(to_yaml(topology)) == topology
    text = (
        "name: t\nnodes:\n  h1: host\n"
        "  s1: {kind: ovs-switch, tag: {h1: 10}, controller: tcp:10.0.0.1:6653}\n"
        "links:\n  - [h1, s1]\n"
    )
    assert parse(text).node("s1") == OvsSwitch(
        "s1", tag={"h1": 10}, controller=["tcp:10.0.0.1:6653"]
    )


def test_flows_are_read_as_they_are_printed() -> None:
    line = (
        " cookie=0x2a, duration=3.014s, table=3, n_packets=5, n_bytes=490, idle_age=1,"
        " priority=7,icmp,in_port=1,nw_dst=10.0.0.2 actions=set_field:2->reg0,output:2"
    )
    assert parse_flow(line) == Flow(
        3, 7, "icmp,in_port=1,nw_dst=10.0.0.2", "set_field:2->reg0,output:2", 5, 490, 42
    )
    bare = " cookie=0x0, duration=1s, table=0, n_packets=0, n_bytes=0, actions=drop"
    assert parse_flow(bare) == Flow(0, 32768, "", "drop", 0, 0)


# its handle


def test_a_kind_names_its_handle() -> None:
    made = plan(around(OvsSwitch("s1")), DIRECT, HostFacts())
    assert handle_class(made.node("s1")) is OvsSwitchHandle
    assert handle_class(made.node("h1")) is DeviceHandle


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("no_such_package.handles:Handle", "cannot be loaded: No module named"),
        ("pytest_kinda.devices.ovs:Nothing", "cannot be loaded"),
        ("pytest_kinda.devices.ovs:OvsSwitch", "is no DeviceHandle"),
    ],
)
def test_a_handle_that_is_none_is_told(named: str, message: str) -> None:
    node = NodePlan("x1", "x", "device", "x1", device=DeviceSpec(handle=named))
    with pytest.raises(KindaError, match=f"x1: the handle {named} of kind x {message}"):
        handle_class(node)


# Linux bridges


def test_vlans_of_a_bridge() -> None:
    switch = Switch(
        "s1", vlan_aware=True, tag={"h1": 10, "h3": 1}, trunks={"h2": [10, 20], "h3": [5]}
    )
    commands = words(spec(around(switch, hosts=4)).startup)
    assert commands[0].endswith("vlan_filtering 1")
    of = {n: [one for one in commands if one.endswith(f"dev eth{n}") or f"dev eth{n} " in one]
          for n in range(4)}  # fmt: skip
    assert of[0] == ["bridge vlan del vid 1 dev eth0",
                     "bridge vlan add vid 10 dev eth0 pvid untagged"]  # fmt: skip
    assert of[1] == ["bridge vlan del vid 1 dev eth1", "bridge vlan add vid 10 dev eth1",
                     "bridge vlan add vid 20 dev eth1"]  # fmt: skip
    assert of[2] == ["bridge vlan add vid 5 dev eth2",
                     "bridge vlan add vid 1 dev eth2 pvid untagged"]  # fmt: skip
    assert of[3] == ["bridge vlan add vid 2-4094 dev eth3"]


def test_a_kernel_without_vlans_is_told_at_once_and_what_to_take() -> None:
    topology = around(Switch("s1", vlan_aware=True, tag={"h1": 10}))
    with pytest.raises(PlanError, match=r"s1: vlan_aware: found a kernel whose bridges cannot"):
        spec(topology, bridge_vlans=False)
    with pytest.raises(PlanError, match=r"expected OvsSwitch\('s1', \.\.\.\)"):
        spec(topology, bridge_vlans=False)
    with pytest.raises(TopologyError, match="tag: found a switch without VLANs; expected vlan_aw"):
        around(Switch("s1", tag={"h1": 10}))


def test_a_port_that_is_a_new_interface_is_attached_again() -> None:
    made = plan(around(Switch("s1"), OvsSwitch("s2"), links=[Link("s1", "s2")]), DIRECT)
    for name, word in (("s1", "master"), ("s2", "add-port")):
        device = made.node(name).device
        assert device is not None
        assert [one.interface for one in device.attach] == [
            one.name for one in made.node(name).interfaces
        ]
        for one in device.attach:
            assert word in words(one.commands)[-1]
    assert remade_ends(made, "h1") == (Member("s1", "eth0"),)
    assert remade_ends(made, "s2") == (Member("s1", "eth2"),)
    by_kathara = plan(around(Switch("s1")), PlanOptions(), HostFacts())
    assert remade_ends(by_kathara, "h1") == ()
