"""Results in other forms: PerfData, pictures; what edges of an application got."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment import results_of
from pytest_kinda.experiment.app_graph import (
    EdgeResult,
    EdgeWish,
    GraphResult,
    app_graph,
    order_of,
)
from pytest_kinda.experiment.plotting import plot
from pytest_kinda.experiment.rows import RowFile
from tests.support.experiments import rows


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "x.jsonl"
    with RowFile(path) as file:
        file.append(rows({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, None]}, case="triangle"))
    return path


def test_perfdata_has_an_item_for_each_arm(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "perf.json"
    assert (
        CliRunner().invoke(kinda, ["compare", str(run), "--perfdata", str(target)]).exit_code == 0
    )
    data = json.loads(target.read_text())
    assert data["version"] == "v1"
    first, second = data["dataItems"]
    assert first["data"]["Average"] == first["data"]["Perc50"] == 2.0
    assert first["data"]["Perc99"] == 3.0
    assert first["unit"] == "ms"
    assert first["labels"] == {
        "Name": "time",
        "Arm": "a",
        "Experiment": "test_x.py::test_y",
        "Case": "triangle",
    }
    assert second["data"]["Perc50"] == 4.0


def test_a_box_for_each_arm(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    result = CliRunner().invoke(
        kinda, ["plot", str(run), "-o", str(tmp_path / "out"), "--format", "svg", "--json"]
    )
    (picture,) = json.loads(result.stdout)["pictures"]
    assert picture.endswith("test_y-triangle-time.svg")
    text = Path(picture).read_text()
    for word in ("n = 3", "n = 2", "time [ms]", "test_y[triangle]"):
        assert f"<!-- {word}" in text
    png = CliRunner().invoke(kinda, ["plot", str(run), "-o", str(tmp_path)])
    assert Path(png.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    none = CliRunner().invoke(kinda, ["plot", str(run), "-m", "weather", "-o", str(tmp_path)])
    assert none.exit_code == 2


def test_plotting_without_matplotlib_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (results,) = results_of(rows({"a": [1.0]}))
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ExperimentError, match=r"pytest-kinda\[plot\]"):
        plot(results, results.metrics[0], tmp_path / "x.png")
    with pytest.raises(ExperimentError, match=r"found the suffix '.bmp'"):
        plot(results, results.metrics[0], tmp_path / "x.bmp")


def test_what_others_send_to_is_made_first_except_in_a_circle() -> None:
    wishes = [EdgeWish("web", "cart"), EdgeWish("cart", "store"), EdgeWish("web", "store")]
    assert order_of(wishes) == ["store", "cart", "web"]
    assert order_of([*wishes, EdgeWish("store", "web")]) == ["web", "cart", "store"]


def edge(got: float, latency_ms: float, **wish: int) -> EdgeResult:
    return EdgeResult(EdgeWish("web", "cart", **wish), "w1", "w2", got, latency_ms)


def test_an_edge_is_satisfied_by_what_it_asked_for() -> None:
    assert edge(9.6e6, 3.0, rate=10_000_000, latency=3_000_000).satisfied
    assert not edge(9e6, 3.0, rate=10_000_000).satisfied
    assert not edge(9e6, 3.1, latency=3_000_000).satisfied
    found = GraphResult((edge(1e6, 8.0), edge(1e6, 3.0, latency=1_000_000)))
    assert not found
    assert (found.satisfied, found.rate, found.worst_latency_ms) == (0.5, 2e6, 8.0)
    assert "web -> cart  w1 -> w2  1 Mbit/s, 3 ms  (asked for 1 ms)  NOT SATISFIED" in str(found)


@pytest.mark.parametrize(
    ("edges", "told"),
    [([], "found no edge"), ([("web", "cart", {"speed": "1mbit"})], "found \\['speed'\\]")],
)
def test_a_graph_that_is_none_is_refused_before_anything_runs(
    edges: list[object], told: str
) -> None:
    with pytest.raises(ExperimentError, match=told):
        app_graph(None, edges)  # type: ignore[arg-type]
