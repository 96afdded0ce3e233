"""`kinda graph`, `kinda schema`, and topology files on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.readers import read, to_yaml
from tests.support.declared import triangle


@pytest.fixture
def lab(tmp_path: Path) -> str:
    path = tmp_path / "lab.yaml"
    path.write_text(to_yaml(triangle()))
    return str(path)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(kinda, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_plan_takes_a_file(lab: str) -> None:
    assert json.loads(run("plan", lab, "--json"))["topology"] == "triangle"


def test_a_mistake_in_a_file_is_shown_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("nodes: {r1: rooter}\n")
    done = CliRunner().invoke(kinda, ["plan", str(path)])
    assert done.exit_code == 1
    assert f"{path}:1:13: node r1: kind: found 'rooter'" in done.output


def test_graph_prints_and_writes(lab: str, tmp_path: Path) -> None:
    assert run("graph", lab).startswith("graph TD\n")
    assert "10.9.0.13/30" not in run("graph", lab, "-f", "dot")
    assert "10.9.0.13/30" in run("graph", lab, "-f", "dot", "--addresses")
    assert run("graph", lab, "-o", str(tmp_path / "a.svg")) == ""
    assert (tmp_path / "a.svg").read_text().startswith("<svg ")
    for arguments, message in (
        (["-o", str(tmp_path / "a.gif")], "expected .svg"),
        (["-f", "png"], "-o FILE.png"),
    ):
        done = CliRunner().invoke(kinda, ["graph", lab, *arguments])
        assert done.exit_code == 2
        assert message in done.output


def test_a_graph_as_json_is_a_file_of_the_topology(lab: str, tmp_path: Path) -> None:
    (tmp_path / "again.json").write_text(run("graph", lab, "--json"))
    assert read(tmp_path / "again.json") == triangle()
    done = CliRunner().invoke(kinda, ["graph", lab, "--json", "-f", "dot"])
    assert (done.exit_code, "no -o and no -f" in done.output) == (2, True)


def test_schema_is_json() -> None:
    assert json.loads(run("schema"))["title"] == "pytest-kinda topology"
    assert run("schema", "--json") == run("schema")
