"""Where pods were and what links carried: from a trial to rows, and to a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.cli.commands import kinda
from pytest_kinda.experiment import Row
from pytest_kinda.experiment.maps import drawn, maps_of
from pytest_kinda.experiment.rows import RowFile
from pytest_kinda.plan import signature
from pytest_kinda.plan.values import PlanOptions
from pytest_kinda.readers import to_data
from tests.support.experiments import row

SMALL = Topology(
    name="small",
    nodes=[ControlPlane("c1"), Worker("w1"), Worker("w2"), Router("r1")],
    links=[Link("c1", "r1"), Link("w1", "r1"), Link("w2", "r1", rate="10mbit")],
)


def trials() -> Iterator[Row]:
    digest = signature(SMALL, PlanOptions())
    for arm, repetition, node, outcome in (
        ("a", 1, "w1", "passed"),
        ("a", 2, "w2", "passed"),
        ("a", 3, "w2", "failed"),
        ("b", 1, "w2", "passed"),
    ):
        one = row(arm=arm, repetition=repetition, topology="small", topology_hash=digest)
        yield replace(one, row="place", pod="web-1", workload="web", node=node)
        value = 8e6 if node == "w2" else 0.0
        told = {"link": "w2--r1", "value": value, "unit": "bit/s"}
        yield replace(one, row="load", node="w2", **told)
        yield replace(one, row="load", node="r1", **{**told, "value": 1e6})
        yield replace(one, outcome=outcome)


def test_a_map_says_how_often_pods_were_where_and_the_mean_load_of_links() -> None:
    first, second = maps_of(trials())
    assert (first.arm, first.trials) == ("a", 2)
    assert first.places == {("w1", "web"): 1, ("w2", "web"): 1}
    assert first.loads == {("w2--r1", "w2"): 4e6, ("w2--r1", "r1"): 1e6}
    shown = drawn(SMALL, first)
    assert {one.name: one.notes for one in shown.vertices}["w2"] == ("web 1/2",)
    assert [one.label for one in shown.edges] == ["", "", "10mbit: w2 4, r1 1 Mbit/s"]
    assert [one.weight for one in shown.edges] == [0, 0, 1]
    assert {one.name: one.notes for one in drawn(SMALL, second).vertices}["w2"] == ("web",)


def test_the_command_draws_on_the_topology_of_the_rows_only(tmp_path: Path) -> None:
    rows, file, other = (tmp_path / name for name in ("x.jsonl", "small.yaml", "other.yaml"))
    with RowFile(rows) as written:
        written.append(trials())
    file.write_text(json.dumps(to_data(SMALL)))
    slower = [*SMALL.links[:2], Link("w2", "r1", rate="9mbit")]
    other.write_text(json.dumps(to_data(Topology("small", nodes=SMALL.nodes, links=slower))))

    def run(path: Path) -> tuple[int, str]:
        found = CliRunner().invoke(
            kinda, ["plot", str(rows), "--map", str(path), "-o", str(tmp_path)]
        )
        return found.exit_code, found.output

    status, told = run(file)
    assert (status, len(told.split())) == (0, 2), told
    text = (tmp_path / "test_y-a-map.svg").read_text()
    assert "web 1/2" in text
    assert "w2 4, r1 1 Mbit/s" in text
    assert 'stroke="#c33" stroke-width="7.3"' in text
    status, told = run(other)
    assert status != 0
    assert "the rows are of small, and another one" in told


def test_a_comparison_as_tables_for_a_job_summary(tmp_path: Path) -> None:
    rows = tmp_path / "x.jsonl"
    with RowFile(rows) as written:
        for arm, values in {"a": (1.0, 2.0), "b": (4.0, 5.0)}.items():
            for number, value in enumerate(values, start=1):
                one = row(arm=arm, repetition=number, repetitions=2, case="x|y")
                told = {"metric": "time", "unit": "ms", "better": "lower", "value": value}
                written.append([replace(one, row="value", **told), replace(one, outcome="passed")])
    text = CliRunner().invoke(kinda, ["compare", str(rows), "--markdown"]).stdout
    lines = text.splitlines()
    assert lines[0] == r"### test_x.py::test_y\[x\|y]: 2 arms x 2 repetitions, seed 1"
    tables = [line for line in lines if line.startswith("|")]
    assert tables[1] == "|---|---|---|---|---|---|"
    assert tables[2].startswith(r"| **time** | b | a | +200% \[")
    assert "inconclusive (2 pairs can show nothing" in tables[2]
    assert tables[-1].startswith("| time | b | 2 | 4.5 |")


@pytest.mark.parametrize(
    "told",
    [
        {"row": "place", "pod": "web-1", "workload": "web", "node": "w1"},
        {"row": "load", "link": "w2--r1", "node": "w2", "value": 1.0, "unit": "bit/s"},
    ],
)
def test_places_and_loads_fit_the_schema_whole_only(told: dict[str, object]) -> None:
    import jsonschema

    from pytest_kinda.experiment.rows import row_to_json
    from pytest_kinda.experiment.schema import schema

    validator = jsonschema.Draft202012Validator(schema())
    whole = row_to_json(row(**told))
    assert validator.is_valid(whole)
    for name in told:
        if name != "row":
            assert not validator.is_valid({**whole, name: None}), name
