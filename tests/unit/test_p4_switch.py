"""P4 switches: what they are declared with, refused for, and become in a plan."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import (
    ControlPlane,
    Host,
    Hub,
    Link,
    Lpm,
    P4Entry,
    P4Nic,
    P4Switch,
    Router,
    Switch,
    Topology,
    Worker,
)
from pytest_kinda.build.drivers import driver_of
from pytest_kinda.devices.p4_handle import P4SwitchHandle
from pytest_kinda.errors import PlanError, TopologyError
from pytest_kinda.operations import (
    AddAddress,
    AddRoute,
    AddVeth,
    End,
    IgnoreArrivals,
    SetInterface,
    SetSysctl,
)
from pytest_kinda.p4.bmv2.packet_end import PAIR
from pytest_kinda.p4.sources import compile_source
from pytest_kinda.plan import PlanOptions, configure_operations, plan
from pytest_kinda.plan.paths import Ways
from pytest_kinda.plan.rewiring import rewire_operations
from pytest_kinda.plan.values import NodePlan
from pytest_kinda.plan.wiring import wire_operations
from pytest_kinda.readers import parse, to_yaml
from pytest_kinda.testbed.devices import handle_class
from pytest_kinda.testbed.nodes import addresses_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "p4" / "router.p4"
PROGRAM = SOURCE.with_suffix(".json")
NIC = SOURCE.with_name("nic.json")
NATIVE = PlanOptions(engine="direct", p4_engine="native")
FABRIC = Lpm(
    "ipv4_lpm", action="forward", port="port", mac="target", source="source", arp="arp_exact"
)


class Counted(Lpm):
    """How often entries were computed of it."""

    computed = 0

    def entries(self, *given: Any) -> Any:
        Counted.computed += 1
        return super().entries(*given)


def line(forwarding: Any = FABRIC, **options: Any) -> Topology:
    """Two hosts with two switches between them; ``options`` are the first switch's."""
    return Topology(
        name="line",
        nodes=[
            Host("h1"),
            Host("h2"),
            P4Switch("s1", program=PROGRAM, forwarding=forwarding, **options),
            P4Switch("s2", program=PROGRAM, forwarding=forwarding),
        ],
        links=[Link("h1", "s1"), Link("s1", "s2"), Link("h2", "s2")],
    )


def planned(name: str = "s1", options: PlanOptions = NATIVE, **given: Any) -> NodePlan:
    return plan(line(**given), options).node(name)


def declared(node: NodePlan) -> list[str]:
    """What the switch is told at its start, without the comments."""
    assert node.device is not None
    (text,) = (one.text for one in node.device.files if one.path.endswith("/declared"))
    return [one for one in text.splitlines() if not one.startswith("#")]


def problems(options: PlanOptions = NATIVE, **given: Any) -> str:
    with pytest.raises(PlanError) as caught:
        plan(line(**given), options)
    return str(caught.value)


def test_its_container_runs_the_program_on_its_links() -> None:
    node = planned()
    device = node.device
    assert device is not None
    assert node.port_numbers == {"eth0": 1, "eth1": 2}
    (program,) = device.programs
    assert program.name == "router.json"
    assert {one.path: one.text for one in device.files}[program.source] == PROGRAM.read_text()
    assert device.startup[0].argv == (program.path, "--switch", "/var/lib/kinda-p4", "1=eth0",
                                      "2=eth1")  # fmt: skip
    assert device.ready[0].argv[-2:] == ("1=eth0", "2=eth1")
    assert [one.commands[0].argv[-1] for one in device.attach] == ["attach 1 eth0", "attach 2 eth1"]
    assert device.notes[0].startswith("P4 engine native (the run's), program router.json ")
    assert handle_class(node) is P4SwitchHandle


def test_its_kernel_has_nothing_to_do_with_its_links() -> None:
    made = plan(line(), NATIVE)
    node = made.node("s1")
    operations = configure_operations(made, node)
    assert not [one for one in operations if isinstance(one, (AddAddress, AddRoute))]
    assert [one.interface for one in operations if isinstance(one, IgnoreArrivals)] == [
        "eth0",
        "eth1",
    ]
    for name in ("s1", "h1"):  # neither it nor who faces it leaves sums to an interface
        assert all(
            one.tx_checksum is False
            for one in configure_operations(made, made.node(name))
            if isinstance(one, SetInterface)
        )
    # the program has each packet as it was on the link
    ports = [one for one in operations if isinstance(one, SetInterface)]
    assert [one.segments for one in ports] == [False, False]
    # the plan has addresses for its program to answer on, and nobody pings them
    assert all(one.addresses for one in node.interfaces)
    assert addresses_of(node) == ()
    assert Ways(made).between("h1", "h2") == frozenset()


def test_a_forwarding_table_is_filled_from_the_plan() -> None:
    made = plan(line(), NATIVE)
    s1, s2 = made.node("s1"), made.node("s2")
    macs = {
        (n.name, i.name): int(i.mac.replace(":", ""), 16) for n in made.nodes for i in n.interfaces
    }
    entries = declared(s1)
    forward = "add 1 0 {} {} 3 {} {:x} {:x}"
    h1 = made.node("h1").interfaces[0].addresses[0]
    behind = made.node("h2").interfaces[0].addresses[0]
    assert (
        forward.format(hexed(h1), "ffffffff", 1, macs["s1", "eth0"], macs["h1", "eth0"]) in entries
    )
    network = forward.format(
        f"{int(hexed(behind), 16) & 0xFFFFFFFC:08x}", "fffffffc", 2, macs["s1", "eth1"],
        macs["s2", "eth0"],
    )  # fmt: skip
    assert network in entries
    answers = [one for one in entries if one.startswith("add 2 ")]
    assert len(answers) == len(s1.interfaces)
    assert f"{hexed(s1.interfaces[0].addresses[0])} ffffffff 4 {macs['s1', 'eth0']:x}" in answers[0]
    assert len(declared(s2)) == len(entries)


def hexed(address: str) -> str:
    return bytes(map(int, address.partition("/")[0].split("."))).hex()


def test_entries_refer_to_the_plan() -> None:
    entries = [
        P4Entry("ipv4_lpm", None, "drop"),
        P4Entry("ipv4_lpm", {"dst": "{network:h1}"}, "forward",
                {"port": "{port:h1}", "source": "{mac:h1}", "target": "{peer_mac:h1}"}),
        {"table": "arp_exact", "match": {"target": "{address:s1--s2}"}, "action": "answer",
         "params": {"mac": "{mac:eth1}"}},
    ]  # fmt: skip
    made = plan(line(forwarding="router", entries=entries), NATIVE)
    s1, h1 = made.node("s1"), made.node("h1")
    default, forward, answer = declared(s1)
    assert default == "default 1 0"
    mac, far = (one.interfaces[0].mac.replace(":", "").lstrip("0") for one in (s1, h1))
    assert forward.split()[4:] == ["fffffffc", "3", "1", mac, far]
    assert answer.split()[3] == hexed(s1.interfaces[1].addresses[0])


def test_a_command_file_is_what_the_switch_is_told(tmp_path: Path) -> None:
    file = tmp_path / "s1.txt"
    file.write_text("# one\ntable_add ipv4_lpm drop {peer_address:h1}/32 =>\nmirroring_add 5 2\n")
    made = plan(line(forwarding="router", commands=file), NATIVE)
    address = hexed(made.node("h1").interfaces[0].addresses[0])
    assert declared(made.node("s1")) == [f"add 1 0 {address} ffffffff 0", "mirror 5 2 0"]
    assert P4Switch("s1", program=PROGRAM, commands=file) == P4Switch(
        "s1", program=PROGRAM.read_text(), commands=file.read_text()
    )


def test_numbers_of_ports_may_be_given() -> None:
    assert planned(ports={"s2": 1}).port_numbers == {"eth0": 2, "eth1": 1}
    assert planned(ports={"h1--s1": 500}).port_numbers == {"eth0": 500, "eth1": 1}


def test_all_that_is_wrong_with_entries_is_told_at_once() -> None:
    text = problems(
        forwarding="router",
        ports={"h9": 3},
        entries=[
            P4Entry("ipv4_lmp", {"dst": "10.0.0.0/8"}, "drop"),
            P4Entry("ipv4_lpm", {"dst": "{network:h7}"}, "drop"),
            P4Entry("ipv4_lpm", {"dst": "10.0.0.0/8"}, "forward", {"port": 1}),
            P4Entry("ipv4_lpm", {"dst": "10.0.0.0/8"}, "drop"),
            P4Entry("ipv4_lpm", {"dst": "10.0.0.0/8"}, "drop"),
            P4Entry("ipv4_lpm", {"dst": "{ip:h1}"}, "drop"),
        ],
        commands="table_clear ipv4_lpm\ntable_add ipv4_lpm drop 10.0.0.0 =>\n",
    )
    for part in (
        "ports[h9]: found no link of that name; expected a neighbour (h1, s2)",
        "entries[0]: found no table 'ipv4_lmp'; the program has RouterIngress.ipv4_lpm",
        "entries[1]: found s1 has no port for 'h7'; it has port 1 (eth0, link h1--s1, towards h1)",
        "entries[2]: found action RouterIngress.forward: no value for source",
        "entries[4]: found its match is that of entries[3]",
        "entries[5]: found found {ip:h1}; expected one of {port:...}",
        "commands: found commands:2: 'table_add ipv4_lpm drop 10.0.0.0 =>'",
    ):
        assert part in text
    assert "7 problems" in text.splitlines()[0]


BMV2 = PlanOptions(engine="direct")


def test_bmv2_is_started_with_its_ports_and_told_the_rest_from_outside() -> None:
    device = planned(options=BMV2).device
    assert device is not None
    assert (device.image, device.programs, device.ready) == ("@bmv2", (), ())
    words = " ".join(device.startup[0].argv)
    assert "--thrift-port 9090 -i 1@eth0 -i 2@eth1 /var/lib/kinda-p4/program.json" in words
    assert "log-file" not in words
    assert device.notes[0].startswith("P4 engine bmv2 (the run's), program router.json ")
    assert handle_class(planned(options=BMV2)) is P4SwitchHandle
    assert driver_of(planned(options=BMV2), "none") is not None
    ids = {planned(name, BMV2).device.startup[0].argv[6] for name in ("s1", "s2")}  # type: ignore[union-attr]
    assert len(ids) == 2


def test_bmv2_is_taken_from_the_image_that_was_chosen() -> None:
    chosen = replace(BMV2, bmv2_image="lab/bmv2:7")
    for given, options, image in (
        ({}, chosen, "lab/bmv2:7"),
        ({"image": "mine:1"}, chosen, "mine:1"),
        ({"engine": "bmv2"}, NATIVE, "@bmv2"),
        ({"engine": "native"}, chosen, "@base"),
    ):
        device = planned(options=options, **given).device
        assert device is not None
        assert device.image == image


def test_bmv2_has_a_cable_of_its_own_for_a_cpu_port() -> None:
    made = plan(line(cpu_port=64), BMV2)
    device = made.node("s1").device
    assert device is not None
    assert device.pair == PAIR
    assert f"-i 2@eth1 -i 64@{PAIR[0]} " in " ".join(device.startup[0].argv)
    ends = [End("s1", one, mtu=1500 + 512) for one in PAIR]
    assert AddVeth(*ends) in wire_operations(made, {}, "t")
    configured = configure_operations(made, made.node("s1"))
    for one in PAIR:  # the kernel answers on neither end
        assert IgnoreArrivals("s1", one) in configured
        assert SetSysctl("s1", f"net.ipv6.conf.{one}.disable_ipv6", "1") in configured
    again = rewire_operations(made, "s1", ["h1", "h2", "s2"], {}, "t")
    assert again.count(AddVeth(*ends)) == 1
    assert set(configured) <= set(again)
    other = rewire_operations(made, "h1", ["s1", "h2", "s2"], {}, "t")
    assert AddVeth(*ends) not in other
    assert not any(getattr(one, "interface", "") in PAIR for one in other)
    assert planned(cpu_port=64).device.pair == ()  # type: ignore[union-attr]


def test_bmv2_writes_a_log_when_it_is_asked_to() -> None:
    device = planned(options=BMV2, log="debug").device
    assert device is not None
    assert "--log-file /var/lib/kinda-p4/messages --log-level debug" in " ".join(
        device.startup[0].argv
    )


def test_one_engine_is_never_put_in_the_place_of_the_other() -> None:
    text = problems(BMV2, forwarding="router", entries=[P4Entry("ipv4_lpm", None, "none")])
    assert "entries[0]: found no action of" in text
    for options, programs in ((BMV2, 0), (NATIVE, 1)):
        device = planned("s2", options).device
        assert device is not None
        assert len(device.programs) == programs


def test_what_the_native_engine_does_not_cover_is_told_with_its_place(tmp_path: Path) -> None:
    program = tmp_path / "program.json"
    program.write_text(
        PROGRAM.read_text().replace('"match_type" : "lpm"', '"match_type" : "magic"')
    )
    switch = P4Switch("s1", program=program)
    with pytest.raises(PlanError, match=r"node s1: program: found .*magic"):
        plan(Topology(name="one", nodes=[switch, Host("h1")], links=[Link("h1", "s1")]), NATIVE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"program": "none.json"}, r"program: found .*none.json; expected a file that can be read"),
        ({"program": ""}, "program: found none; expected the JSON file that p4c's bmv2 backend"),
        ({"program": "table_add\n"}, "program: found program; expected the JSON file"),
        ({"commands": "none.txt"}, r"commands: found .*none.txt; expected a file that can be read"),
        ({"log": "all"}, "log: found 'all'; expected 'trace' or 'debug' or"),
        ({"engine": "ebpf"}, "engine: found 'ebpf'; expected 'bmv2', 'native' or None"),
        ({"forwarding": "hub"}, "forwarding: found 'hub'; expected 'router', 'switch', or Lpm"),
        ({"ports": {"h1": 511}}, r"ports\[h1\]: found 511; expected a number from 0 to 510"),
        ({"entries": [{"table": "t"}]}, r"entries\[0\]: found .*; expected P4Entry"),
    ],
)
def test_mistakes_of_a_switch(options: Any, message: str) -> None:
    given = {"program": PROGRAM} | options
    with pytest.raises(TopologyError, match=message):
        Topology(name="one", nodes=[P4Switch("s1", **given), Host("h1")], links=[Link("h1", "s1")])


def test_a_switch_in_a_file_is_the_one_that_was_written() -> None:
    switch = P4Switch(
        "s1",
        program="{}",
        forwarding=FABRIC,
        ports={"h1": 3},
        entries=[P4Entry("ipv4_lpm", {"dst": ("10.1.0.0", 16)}, "drop"), P4Entry("t", None, "a")],
        commands="one\ntwo\n",
    )
    topology = Topology(name="one", nodes=[switch, Host("h1")], links=[Link("h1", "s1")])
    assert parse(to_yaml(topology)) == topology
    assert hash(parse(to_yaml(topology))) == hash(topology)
    text = (
        "name: t\nnodes:\n  h1: host\n"
        "  s1:\n    kind: p4-switch\n    program: router.json\n    engine: native\n"
        "    forwarding: switch\n    ports: {h1: 7}\n"
        "    entries:\n      - {table: ipv4_lpm, match: null, action: drop}\n"
        "links:\n  - [h1, s1]\n"
    )
    assert parse(text, directory=PROGRAM.parent).node("s1") == P4Switch(
        "s1", program=PROGRAM, engine="native", forwarding="switch", ports={"h1": 7},
        entries=[P4Entry("ipv4_lpm", None, "drop")],
    )  # fmt: skip


def test_a_plan_warns_of_one_on_a_hub() -> None:
    switch = P4Switch("s1", program=PROGRAM, forwarding="switch")
    nodes = [switch, Host("h1"), Host("h2"), Hub("lan")]
    links = [Link(one, "lan") for one in ("s1", "h1", "h2")]
    (warning,) = plan(Topology("t", nodes, links), NATIVE).warnings
    assert "s1 is on the hub lan: every frame there comes to its program" in warning


def test_its_links_may_be_one_network() -> None:
    made = plan(line(forwarding="switch"), NATIVE)
    assert not any(one.addresses for one in made.node("s1").interfaces)
    one, other = (made.node(name).interfaces[0].addresses[0] for name in ("h1", "h2"))
    assert ip_interface(one).network == ip_interface(other).network
    assert not made.node("h1").routes


def test_the_nodes_behind_another_switch_are_next_to_it() -> None:
    topology = Topology(
        name="behind",
        nodes=[
            Host("h1"),
            Host("h2"),
            Switch("l1"),
            P4Switch("s1", program=PROGRAM, forwarding=FABRIC),
        ],
        links=[Link("h1", "l1"), Link("h2", "l1"), Link("l1", "s1")],
    )  # fmt: skip
    made = plan(topology, NATIVE)
    macs = [made.node(name).interfaces[0].mac.replace(":", "").lstrip("0") for name in ("h1", "h2")]
    entries = declared(made.node("s1"))
    assert all(any(line.endswith(f" {mac}") for line in entries) for mac in macs)


# network cards


def carded(**options: Any) -> Topology:
    return Topology(
        name="carded",
        nodes=[
            ControlPlane("c1"),
            Worker("w1", nic=P4Nic(program=NIC, **options)),
            Router("r1"),
        ],
        links=[
            Link("c1", "r1"),
            Link("w1", "r1", rate="10mbit", ipv4=("10.1.0.1/24", "10.1.0.2/24")),
        ],
    )


def test_a_card_is_a_device_between_the_node_and_its_link() -> None:
    made = plan(carded(), NATIVE)
    card, w1, r1 = (made.node(name) for name in ("w1-nic", "w1", "r1"))
    assert card.port_numbers == {"eth0": 0, "eth1": 1}
    assert [one.peers for one in card.interfaces] == [("r1",), ("w1",)]
    assert [one.peers for one in (*w1.interfaces, r1.interfaces[1])] == [("w1-nic",), ("w1-nic",)]
    # the node and what is behind its card are one network; settings stay where they were declared
    assert w1.interfaces[0].addresses == ("10.1.0.1/24",)
    assert r1.interfaces[1].addresses == ("10.1.0.2/24",)
    assert [bool(one.shape) for one in (*card.interfaces, *w1.interfaces)] == [True, False, False]
    assert {one.name: (one.a.node, one.b.node) for one in made.links} == {
        "c1--r1": ("c1", "r1"),
        "w1--r1": ("w1-nic", "r1"),
        "w1--w1-nic": ("w1", "w1-nic"),
    }
    assert card.device is not None
    assert "program nic.json" in card.device.notes[0]
    on_bmv2 = plan(carded(engine="bmv2"), NATIVE).node("w1-nic").device
    assert on_bmv2 is not None
    assert "-i 0@eth0 -i 1@eth1" in " ".join(on_bmv2.startup[0].argv)


def test_each_link_of_a_node_has_a_card() -> None:
    topology = carded().with_(links=[Link("w1", "c1", name="second", ipv4=(None, "10.2.0.2/24"))])
    names = [one.name for one in plan(topology, NATIVE).devices]
    assert names == ["r1", "w1-nic-w1--r1", "w1-nic-second"]


def test_mistakes_of_a_card() -> None:
    with pytest.raises(
        TopologyError, match=r"node w1: nic.program: found .*none.json; expected a f"
    ):
        Topology(
            name="one", nodes=[ControlPlane("c1"), Worker("w1", nic=P4Nic(program="none.json"))]
        )
    with pytest.raises(
        TopologyError, match=r"node w1: nic: found 3; expected a card such as P4Nic"
    ):
        Topology(name="one", nodes=[ControlPlane("c1"), Worker("w1", nic=3)])  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match=r"nic.log: found 'loud'; expected 'trace' or"):
        carded(log="loud")


def test_a_card_in_a_file_is_the_one_that_was_written() -> None:
    topology = Topology(
        name="one",
        nodes=[ControlPlane("c1"), Worker("w1", nic=P4Nic(program="{}", engine="native"))],
        links=[Link("c1", "w1")],
    )
    assert parse(to_yaml(topology)) == topology
    text = "name: t\nnodes:\n  c1: control-plane\n  w1: {kind: worker, nic: {program: nic.json}}\n"
    text += "links: [[c1, w1]]\n"
    assert parse(text, directory=NIC.parent).node("w1") == Worker("w1", nic=P4Nic(program=NIC))


# P4 sources


def compiler(folder: Path, made: Path) -> Path:
    """A p4c that writes what the real one has written, and notes that it did."""
    found = folder / "p4c-bm2-ss"
    found.write_text(f'#!/bin/sh\necho >> {folder}/runs\ncp {made} "$4"\n')
    found.chmod(0o755)
    return found


def test_a_source_is_compiled_once_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    compiler(tmp_path, PROGRAM)
    source = tmp_path / "router.p4"
    source.write_text('#include <core.p4>\n#include "parts.p4"\n')
    (tmp_path / "parts.p4").write_text("one\n")
    for _ in range(2):
        assert P4Switch("s1", program=source) == P4Switch("s1", program=PROGRAM)
    assert len((tmp_path / "runs").read_text().splitlines()) == 1
    (tmp_path / "parts.p4").write_text("two\n")
    compile_source(source)
    assert len((tmp_path / "runs").read_text().splitlines()) == 2


def test_a_source_without_a_compiler_says_which_file_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    switch = P4Switch("s1", program=SOURCE)
    with pytest.raises(TopologyError, match=r"no P4 compiler: .* give router\.json, which `p4c-bm"):
        Topology(name="one", nodes=[switch, Host("h1")], links=[Link("h1", "s1")])


@pytest.mark.skipif(shutil.which("p4c-bm2-ss") is None, reason="no p4c on PATH")
def test_our_program_is_what_p4c_makes_of_its_source() -> None:
    assert '"RouterIngress.ipv4_lpm"' in compile_source(SOURCE)


def test_a_plan_computes_the_declared_entries_of_a_switch_once() -> None:
    made = plan(line(Counted(**vars(FABRIC))), NATIVE)
    assert Counted.computed == len([one for one in made.devices if one.kind == "p4-switch"])
