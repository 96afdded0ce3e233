from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import ControlPlane, Device, Host, Link, Router, Topology, Worker
from pytest_kinda.devices import Command
from pytest_kinda.errors import KindaError, TopologyError
from pytest_kinda.generators import fat_tree, grid
from pytest_kinda.readers import parse, read, schema, to_data, to_yaml
from tests.support.declared import mixed, triangle

TRIANGLE = """\
name: triangle
nodes:
  c1: control-plane
  w1: {kind: worker}
  w2: worker
  r1: router
  r2: router
links:
  - [c1, r1]
  - [w1, r1]
  - ends: [w2, r2]
  - {ends: [r1, r2], rate: 100mbit}
"""


def test_a_file_says_what_python_says() -> None:
    assert parse(TRIANGLE) == triangle()


def everything() -> Topology:
    return Topology(
        "all",
        [
            ControlPlane("c1", labels={"a": "1", "b": "true"}),
            Worker("w1", cpus=0.5, memory="512MiB", kubeadm_patches=["kind: X\na: b\n"]),
            Router("r1", routing=None),
            Device(
                "d1",
                image="x:1",
                env={"A": "no"},
                files={"/a": "one\ntwo\n"},
                startup_commands=["echo 1", ["echo", "2"], Command("false", check=False)],
                sysctls={"net.ipv4.ip_forward": "1"},
                privileged=True,
                healthcheck=["true"],
            ),
            Host("h1", healthcheck="test -e /a"),
        ],
        [
            Link("c1", "r1", ipv4="10.1.0.0/24", mtu=1400),
            Link("w1", "r1", ipv4=("10.2.0.1/24", "10.2.0.2/24"), interfaces=("eth1", None)),
            Link("d1", "r1", name="slow", delay="1.5ms", loss="0.1%", a_to_b={"loss": "0%"}),
        ],
    )


@pytest.mark.parametrize(
    "topology", [triangle(), mixed(), everything(), grid(2, 2), fat_tree(4)], ids=str
)
def test_there_and_back(topology: Topology) -> None:
    import jsonschema

    assert parse(to_yaml(topology)) == topology
    data = to_data(topology)
    assert parse(json.dumps(data), source="x.json") == topology
    jsonschema.validate(data, schema())


def test_json_with_tabs(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    path.write_text(json.dumps(to_data(triangle()), indent="\t"))
    assert read(path) == triangle()


def test_files_are_relative_to_the_file_and_it_gives_the_name(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a").write_text("A")
    path = tmp_path / "lab.yaml"
    path.write_text(
        "nodes:\n  h1:\n    kind: host\n    files: {/etc/conf: {from: conf}, /b: B}\n"
        "    mounts: ['conf:/mnt']\n"
    )
    found = read(path)
    assert found.name == "lab"
    host = found.node("h1")
    assert isinstance(host, Host)
    assert dict(host.files) == {"/b": "B", "/etc/conf/a": "A"}
    assert host.mounts == (f"{tmp_path}/conf:/mnt",)


@pytest.mark.parametrize(
    ("text", "line", "column", "parts"),
    [
        ("nodes: [", 1, 9, ["YAML"]),
        ("", 1, 1, ["a mapping"]),
        ("links: []\n", 1, 1, ["nodes"]),
        ("nodes: {r1: router}\nlink: []\n", 2, 1, ["'link'", "did you mean 'links'"]),
        ("nodes:\n  r1: rooter\n", 2, 7, ["kind", "'rooter'", "did you mean 'router'"]),
        ("nodes:\n  r1: {imagee: x}\n", 2, 3, ["no kind"]),
        ("nodes:\n  h1: {kind: host, imagee: x}\n", 2, 20, ["'imagee'", "'image'"]),
        ("nodes:\n  h1: {kind: host, cpus: many}\n", 2, 26, ["cpus", "a number"]),
        ("nodes:\n  h1: {kind: host, privileged: 1}\n", 2, 32, ["privileged", "true or false"]),
        ("nodes:\n  h1: {kind: host, memory: 3q}\n", 2, 28, ["memory", "3q", "mib"]),
        ("nodes:\n  h1: {kind: host, env: [a]}\n", 2, 25, ["env", "a mapping"]),
        ("nodes:\n  h1: {kind: host, ports: [x]}\n", 2, 27, ["ports", "HOST:CONTAINER"]),
        (
            "nodes:\n  r1: {kind: router, routing: x}\n",
            2,
            31,
            ["routing", "static, ospf, bgp, rip, null"],
        ),
        ("nodes:\n  r1: router\n  r1: host\n", 3, 3, ["line 2 has it"]),
        ("nodes:\n  R1: router\n", 2, 3, ["R1", "a-z"]),
        ("nodes: {a: host, b: host}\nlinks:\n- [a, c]\n", 3, 7, ["'c'", "unknown node"]),
        ("nodes: {a: host, b: host}\nlinks:\n- [a]\n", 3, 3, ["two nodes"]),
        ("nodes: {a: host, b: host}\nlinks:\n- {ends: [a, b], rate: 5}\n", 3, 24, ["rate", "'5'"]),
        ("nodes: {a: host, b: host}\nlinks:\n- {ends: [a, b], rat: 5}\n", 3, 18, ["did you mean"]),
        ("nodes: {a: host, b: host}\nlinks:\n- {rate: 5mbit}\n", 3, 3, ["ends"]),
        (
            "nodes: {a: host, b: host}\nlinks:\n- ends: [a, b]\n  a_to_b: {rate: 1}\n",
            4,
            11,
            ["a_to_b", "'1'"],
        ),
        ("nodes: {w1: worker}\n", 1, 9, ["links", "none"]),
        ("a: &a [*a]\n", 1, 4, ["alias"]),
    ],
    ids=str,
)
def test_each_mistake_has_its_line_and_column(
    text: str, line: int, column: int, parts: list[str]
) -> None:
    with pytest.raises(TopologyError) as caught:
        parse(text, source="lab.yaml")
    found = [str(one) for one in caught.value.problems]
    place = f"lab.yaml:{line}:{column}: "
    assert any(one.startswith(place) and all(p in one for p in parts) for one in found), found


def test_mistakes_are_reported_together() -> None:
    with pytest.raises(TopologyError) as caught:
        parse("nodes: {a: hosst, b: {kind: host, cpus: x}}\nlinks: [[a], 5]\n")
    assert len(caught.value.problems) == 4


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="no-such"):
        read(tmp_path / "no-such.yaml")


def test_what_a_file_cannot_say_is_refused() -> None:
    with pytest.raises(KindaError, match="bytes"):
        to_yaml(Topology("t", [Host("h1", files={"/a": b"\xff"})]))


@pytest.mark.parametrize(
    "data",
    [
        {"nodes": {}},
        {"nodes": {"a": "rooter"}},
        {"nodes": {"a": {"kind": "host", "imagee": "x"}}},
        {"nodes": {"a": "host", "b": "host"}, "links": [["a"]]},
        {"nodes": {"a": "host", "b": "host"}, "links": [{"ends": ["a", "b"], "rate": 5}]},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(data: Any) -> None:
    import jsonschema

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())
    with pytest.raises(TopologyError):
        parse(json.dumps(data))
