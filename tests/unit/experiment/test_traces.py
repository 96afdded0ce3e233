"""Traces: what is read of a file, how it is scaled, when it arrives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment import Arrival, trace
from pytest_kinda.experiment.traces import SYNTHETIC
from tests.support.synthetic_trace import HEADER, made

# lines of the format, made up: the last one never found a node
OPENB = f"""{HEADER}
late,8000,16384,1,1000,T4,LS,Running,500,900,600
early,12000,24576,2,1000,,BE,Failed,100,150,100
waits,500,,0,0,,,Pending,700,800,
stays,250,128,0,0,,LS,Running,800,,801
"""


@pytest.fixture
def openb(tmp_path: Path) -> Path:
    path = tmp_path / "openb.csv"
    path.write_text(OPENB)
    return path


def test_the_openb_format(openb: Path) -> None:
    found = trace(openb, gpu="example.com/gpu")
    assert [(one.time, one.name, one.duration, one.group) for one in found] == [
        (0.0, "early", 50.0, "BE"),
        (400.0, "late", 300.0, "LS"),
        (600.0, "waits", 100.0, ""),
        (700.0, "stays", None, "LS"),
    ]
    early, late, waits, _ = found
    assert early.requests == {"cpu": "12000m", "memory": "24576Mi", "example.com/gpu": "2"}
    assert late.requests["example.com/gpu"] == "1"
    assert waits.requests == {"cpu": "500m"}
    assert found.seconds == 700.0


def test_scale_window_limit_gaps_and_sizes(openb: Path) -> None:
    names = [one.name for one in trace(openb, window=(100, 700))]
    assert names == ["late", "waits"]
    assert [one.name for one in trace(openb, window=(100, 701), limit=1)] == ["late"]
    scaled = trace(openb, scale=0.01, longest_gap=3.0, shrink=0.01)
    assert [one.time for one in scaled] == pytest.approx([0.0, 3.0, 5.0, 6.0])
    assert [one.duration for one in scaled] == pytest.approx([0.5, 3.0, 1.0, None])
    assert scaled.arrivals[0].requests == {"cpu": "120m", "memory": "246Mi"}
    assert scaled.arrivals[2].requests == {"cpu": "5m"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,cpu_milli\n", "openb.csv:1: lacks the columns creation_time, deletion_time"),
        (OPENB.replace("8000", "eight"), "openb.csv:2: invalid literal"),
        (OPENB.replace(",500,900", ",soon,900"), "openb.csv:2: could not convert"),
    ],
)
def test_what_is_no_trace_says_where(openb: Path, text: str, told: str) -> None:
    openb.write_text(text)
    with pytest.raises(ExperimentError, match=told):
        trace(openb)
    with pytest.raises(ExperimentError, match="No such file"):
        trace(openb.with_name("other.csv"))
    with pytest.raises(ExperimentError, match="scale: found 0"):
        trace(openb, scale=0)


def test_our_own_trace_is_what_its_generator_makes() -> None:
    assert SYNTHETIC.read_text() == made()
    found = trace()
    assert len(found) == 200
    assert 1800 < found.seconds < 3600
    assert all(one.duration and one.duration > 0 for one in found)


def test_a_replay_keeps_to_the_times_and_ends_what_has_an_end() -> None:
    seen: list[tuple[float, str]] = []
    started = time.monotonic()

    def note(what: str, one: Arrival) -> None:
        seen.append((time.monotonic() - started, f"{what} {one.name}"))

    some = trace([Arrival(5.0, "b", duration=0.05), Arrival(5.1, "c"), Arrival(4.95, "a")])
    found = some.replay(lambda one: note("begin", one), lambda one: note("end", one))
    assert [what for _, what in seen] == ["begin a", "begin b", "end b", "begin c"]
    assert [at for at, _ in seen] == pytest.approx([0.0, 0.05, 0.1, 0.15], abs=0.2)
    assert all(at >= due for (at, _), due in zip(seen, (0.0, 0.05, 0.1, 0.15), strict=True))
    assert [one.arrival.name for one in found] == ["a", "b", "c"]
    assert all(0 <= one.late < 0.2 for one in found)


def test_what_an_arrival_raises_ends_the_replay() -> None:
    def refuse(one: Arrival) -> None:
        raise LookupError(one.name)

    with pytest.raises(LookupError, match="a"):
        trace([Arrival(0.0, "a"), Arrival(60.0, "b")]).replay(refuse)
