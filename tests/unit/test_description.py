"""`kinda describe`: what a controller needs, from a plan, in each form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from pytest_kinda import (
    ControlPlane,
    Device,
    Host,
    Hub,
    Link,
    OvsSwitch,
    P4Nic,
    P4Switch,
    Router,
    Switch,
    Topology,
    Worker,
)
from pytest_kinda.cli.commands import kinda
from pytest_kinda.description import describe, schema
from pytest_kinda.errors import DescriptionError
from pytest_kinda.operations import Place
from pytest_kinda.plan import PlanOptions, plan
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import ControlSpec, DeviceSpec
from pytest_kinda.topology import Node
from tests.support.declared import mixed, three_controls, triangle

ROUTER = Path(__file__).parents[2] / "examples" / "p4" / "router.json"
NATIVE = PlanOptions(p4_engine="native")


class Programmed(Device):
    """A kind of somebody else, with a port where it is told what to do."""

    kind = "programmed"
    forwarding = "router"

    def specification(self, context: DeviceContext) -> DeviceSpec:
        return replace(
            super().specification(context),
            port_numbers=tuple(range(1, len(context.interfaces) + 1)),
            control=(ControlSpec("p4runtime", "tcp:127.0.0.1:9559"),),
            about={"program": {"name": "telemetry.json", "engine": "theirs"}, "device_id": 4},
        )


def network(*more: Node, links: Any = ()) -> Topology:
    return Topology(
        name="described",
        nodes=[
            ControlPlane("c1"),
            Worker("w1"),
            Worker("w2", nic=P4Nic(program=ROUTER.with_name("nic.json"))),
            OvsSwitch("s1", controller=["ptcp:6654"], fail_mode="secure"),
            P4Switch("p1", program=ROUTER, cpu_port=64),
            Programmed("p2", ports=["9560:9559"]),
            *more,
        ],
        links=[
            Link("c1", "s1"),
            Link("w1", "s1"),
            Link("s1", "p1"),
            Link("p1", "p2", rate="10mbit"),
            Link("p2", "w2"),
            *links,
        ],
    )


def valid(data: Any) -> Any:
    jsonschema.Draft202012Validator(schema()).validate(data)
    return data


@pytest.mark.parametrize(
    "topology", [triangle, three_controls, mixed, network], ids=lambda one: one.__name__
)
def test_every_description_fits_the_published_schema(topology: Any) -> None:
    printed = json.loads(CliRunner().invoke(kinda, ["schema", "description"]).stdout)
    assert printed == schema()
    jsonschema.Draft202012Validator.check_schema(printed)
    made = plan(topology(), NATIVE)
    found = describe(made)
    assert valid(json.loads(found.render())) == found.data
    assert valid(yaml.safe_load(found.render("yaml"))) == found.data
    assert [one["name"] for one in found.data["nodes"]] == [one.name for one in made.nodes]


def test_ports_are_ordered_numbered_and_know_the_nodes_behind_them() -> None:
    made = plan(network(), NATIVE)
    found = describe(made)
    s1, p1 = found.node("s1"), found.node("p1")
    assert [one["number"] for one in s1["ports"]] == [1, 2, 3]
    assert [one["kubernetes"] for one in s1["ports"]] == [["c1"], ["w1"], ["w2"]]
    assert [one["kubernetes"] for one in p1["ports"]] == [["c1", "w1"], ["w2"]]
    card = found.node("w2-nic")
    assert {one["number"]: one["kubernetes"] for one in card["ports"]} == {
        0: ["c1", "w1"],
        1: ["w2"],
    }
    (peer,) = p1["ports"][1]["peers"]
    there = made.node("p2").interfaces[0]
    assert peer == {
        "node": "p2",
        "interface": "eth0",
        "port": 1,
        "mac": there.mac,
        "addresses": list(there.addresses),
    }
    assert p1["ports"][1]["rate"] == 10_000_000
    link = next(one for one in found.data["links"] if one["name"] == "p1--p2")
    assert link["ends"] == [
        {"node": "p1", "interface": "eth1", "port": 2},
        {"node": "p2", "interface": "eth0", "port": 1},
    ]


def test_a_node_of_the_cluster_is_no_way_to_another() -> None:
    row = Topology(
        name="row",
        nodes=[ControlPlane("c1"), Worker("w1"), Router("r1"), Router("r2")],
        links=[Link("r1", "c1"), Link("c1", "r2"), Link("r2", "w1"), Link("r1", "r2")],
    )
    ports = describe(plan(row)).node("r1")["ports"]
    assert [one["kubernetes"] for one in ports] == [["c1"], ["w1"]]


def test_hubs_are_wires() -> None:
    made = plan(
        Topology(
            name="wire",
            nodes=[Host("h1"), Switch("s1"), Host("h2"), Hub("lan")],
            links=[Link("h1", "lan"), Link("s1", "lan"), Link("h2", "lan")],
        )
    )
    data = valid(describe(made).data)
    assert [one["node"] for one in data["nodes"][0]["ports"][0]["peers"]] == ["s1", "h2"]
    assert data["links"][0]["ends"][1] == {"node": "lan", "interface": None, "port": None}
    assert '"lan" [shape=point];' in describe(made).render("dot")


def test_kinds_say_what_is_theirs() -> None:
    made = plan(network(), NATIVE)
    standing = describe(
        made,
        places={one.name: Place("c" * 12, 77, 1) for one in made.nodes},
        testbed={"id": "1", "directory": "/d", "kubeconfig": None},
        api="https://127.0.0.1:6443",
    )
    valid(standing.data)
    s1, p1, p2 = (standing.node(name) for name in ("s1", "p1", "p2"))
    mac = made.node("s1").interfaces[0].mac.replace(":", "")
    assert s1["about"]["datapath_id"] == f"0000{mac}"
    assert s1["about"]["controllers"] == ["ptcp:6654"]
    assert s1["about"]["fail_mode"] == "secure"
    assert s1["control"][0] == {
        "protocol": "openflow",
        "address": "unix:/run/openvswitch/br0.mgmt",
        "reached": "unix:/proc/77/root/run/openvswitch/br0.mgmt",
    }
    assert p1["about"]["program"]["name"] == "router.json"
    assert p1["about"]["program"]["engine"] == "native"
    assert len(p1["about"]["program"]["sha256"]) == 64
    assert p1["about"]["program"]["p4info"] == "/var/lib/kinda-p4/p4info.txt"
    assert p1["about"]["cpu_port"] == 64
    assert p2["control"][0]["reached"] == "tcp:127.0.0.1:9560"
    assert p1["container"] == {"id": "c" * 12, "pid": 77}
    assert describe(made).node("s1")["control"][0]["reached"] is None


def test_onos_network_configuration() -> None:
    made = plan(network(), NATIVE)
    warnings: list[str] = []
    found = json.loads(describe(made).render("onos", warn=warnings.append))
    mac = made.node("s1").interfaces[0].mac.replace(":", "")
    switch = f"of:0000{mac}"
    assert found["devices"][switch] == {"basic": {"name": "s1", "driver": "ovs"}}
    assert found["devices"]["device:p2"]["basic"] == {
        "name": "p2",
        "driver": "bmv2",
        "managementAddress": "grpc://127.0.0.1:9560?device_id=4",
    }
    assert {f"{switch}/3-device:p1/1", f"device:p1/1-{switch}/3"} <= set(found["links"])
    worker = made.node("w1").interfaces[0]
    assert found["hosts"][f"{worker.mac.upper()}/None"]["basic"] == {
        "name": "w1",
        "ips": [made.node("w1").endpoint],
        "locations": [f"{switch}/2"],
    }
    assert {one.partition(":")[0] for one in warnings} == {"w2-nic", "p1"}
    assert "ONOS would control nothing" in _warned(describe(plan(triangle())), "onos")[0]


def _warned(description: Any, form: str) -> list[str]:
    warnings: list[str] = []
    description.render(form, warn=warnings.append)
    return warnings


def tree() -> Topology:
    return Topology(
        name="tree",
        nodes=[ControlPlane("c1"), Worker("w1"), Programmed("p2", ports=["9560:9559"]),
               Router("r1"), Host("h1")],
        links=[Link("c1", "p2"), Link("p2", "r1"), Link("w1", "r1"), Link("h1", "r1")],
    )  # fmt: skip


def test_the_go_file_of_k8s_inc() -> None:
    made = plan(tree())
    warnings: list[str] = []
    text = describe(made).render(
        "k8s-inc",
        function="Tree",
        artifacts={"telemetry": ["/t.p4info.txt", "/t.json"]},
        implements={"telemetry": ["inc.kntp.com/v1alpha1/telemetry"]},
        warn=warnings.append,
    )
    assert warnings == []
    lines = text.splitlines()
    assert "func Tree() (*model.Topology, []*model.P4ProgramDetails) {" in lines
    at = lines.index("\t\tmodel.NewBmv2IncSwitch(")
    one, other = made.node("p2").interfaces
    assert [line.strip() for line in lines[at + 1 : at + 8]] == [
        '"p2",',
        "[]*model.Link{",
        f'model.NewLink("c1", "{one.mac}", "{one.addresses[0].partition("/")[0]}", 30),',
        f'model.NewLink("r1", "{other.mac}", "{other.addresses[0].partition("/")[0]}", 30),',
        "},",
        '"127.0.0.1:9560",',
        '"telemetry",',
    ]
    kinds = [line.strip() for line in lines if line.startswith("\t\t&model.")]
    assert kinds == ["&model.Host{"] * 2 + ["&model.NetDevice{", "&model.ExternalDevice{"]
    assert '\t\t\t\t\tP4InfoPath:     "/t.p4info.txt",' in lines
    assert '[]string{"inc.kntp.com/v1alpha1/telemetry"},' in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"artifacts": {"forward": ["a", "b"]}}, "found 'forward'; the programs are telemetry"),
        ({"implements": {"x": ["y"]}}, "found 'x'; the programs are telemetry"),
        ({"function": "a b"}, "found 'a b'; expected a name in Go"),
    ],
)
def test_what_k8s_inc_cannot_hold_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        describe(plan(tree())).render("k8s-inc", **given)


def test_ports_that_k8s_inc_would_confuse_are_refused() -> None:
    twice = tree().with_(links=[Link("p2", "r1", name="again")])
    with pytest.raises(DescriptionError, match=r"p2: found the neighbours c1, r1, r1 at 3 ports"):
        describe(plan(twice)).render("k8s-inc")
    with pytest.raises(DescriptionError, match=r"w2-nic: found the ports 0, 1"):
        describe(plan(network(), NATIVE)).render("k8s-inc")


def test_an_unknown_node_or_form_is_told() -> None:
    found = describe(plan(triangle()))
    with pytest.raises(DescriptionError, match="no node 'r9'; it has c1, w1"):
        found.node("r9")
    with pytest.raises(DescriptionError, match="'xml'; expected one of json, yaml, dot, onos"):
        found.render("xml")
    with pytest.raises(DescriptionError, match="function is an option of the form k8s-inc alone"):
        found.render("dot", function="x")


def test_the_command_takes_what_other_commands_take(tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text("name: pair\nnodes: {h1: host, s1: ovs-switch}\nlinks: [[h1, s1]]\n")

    def run(*words: str) -> Any:
        return CliRunner().invoke(kinda, ["describe", *words])

    assert valid(json.loads(run(str(file)).stdout))["topology"] == "pair"
    assert json.loads(run(str(file), "--engine", "direct").stdout)["engine"] == "direct"
    assert run(str(file), "-f", "dot").stdout.startswith('graph "pair" {')
    onos = run(str(file), "-f", "onos")
    assert next(iter(json.loads(onos.stdout)["devices"])).startswith("of:0000")
    for words, message in (
        (["--engine", "direct"], "--engine is for a plan: give FILE_OR_OBJECT"),
        ([str(file), "-t", "1"], "not both"),
        ([str(file), "-f", "k8s-inc", "--artifacts", "x"], "expected PROGRAM="),
        ([str(file), "-f", "k8s-inc", "--artifacts", "x=y"], "expected P4INFO,JSON"),
    ):
        refused = run(*words)
        assert refused.exit_code == 2
        assert message in refused.output
