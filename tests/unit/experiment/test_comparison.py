"""Verdicts: what is said of a difference, what is not, and why."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment import Comparison, compare_arms, compare_runs, results_of
from pytest_kinda.experiment.comparison import refused
from pytest_kinda.experiment.rows import RowFile
from pytest_kinda.experiment.telling import text
from tests.support.experiments import rows


def noisy(middle: float, spread: float, count: int = 8, seed: int = 1) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(middle, spread) for _ in range(count)]


def compared(one: Sequence[float | None], other: Sequence[float | None], **more: str) -> Comparison:
    (results,) = results_of(rows({"a": one, "b": other}, **more))
    (found,) = compare_arms(results)
    return found


def test_better_and_worse_depend_on_which_values_are_good() -> None:
    slow, quick = noisy(10, 0.2), noisy(8, 0.2, seed=2)
    found = compared(slow, quick)
    assert (found.verdict, found.p, found.count) == ("better", 2 / 2**8, 8)
    assert compared(quick, slow).verdict == "worse"
    assert compared(slow, quick, better="higher", unit="bit/s").verdict == "worse"
    assert str(found).startswith("time: b beside a: -18.8% [-2")
    assert str(found).endswith("p 0.0078, 8 pairs: better")


def test_a_bound_divides_what_matters_from_what_does_not() -> None:
    one = noisy(10, 0.1)
    little = [value * 1.02 for value in one]
    assert compared(one, little).verdict == "worse"
    found = compared(one, little, bound="5%")
    assert found.told == "no difference beyond 5%"
    much = [value * 1.2 for value in one]
    assert compared(one, much, bound="5%").verdict == "worse"
    assert compared(one, much, bound="0.5").verdict == "worse"
    assert compared(one, much, bound="3").told == "no difference beyond 3 ms"


def test_values_in_pairs_tell_what_drifting_machines_hide() -> None:
    drift = noisy(100, 40)
    found = compared(drift, [value - 1 - 0.1 * (at % 2) for at, value in enumerate(drift)])
    assert found.verdict == "better"


@pytest.mark.parametrize(
    ("one", "other", "bound", "reason"),
    [
        (noisy(10, 4), noisy(10, 4, seed=2), "5%", "too noisy: ±"),
        (noisy(10, 4), noisy(10, 4, seed=2), "5%", "repetitions would do"),
        (noisy(10, 4), noisy(10, 4, seed=2), "0%", "no change is within the interval"),
        (noisy(10, 0.2, 5), noisy(5, 0.2, 5), "0%", "5 pairs can show nothing at 95%, 6 can"),
        (noisy(10, 0.2), noisy(11, 0.2, seed=2), "10%", "on either side of 10%"),
        ([0.0, 1.0] * 4, [2.0, 3.0] * 4, "10%", "state the bound in its unit"),
        ([None] * 8, noisy(1, 0.1), "0%", "no values"),
    ],
)
def test_what_cannot_be_told_says_why(
    one: list[float | None], other: list[float | None], bound: str, reason: str
) -> None:
    found = compared(one, other, bound=bound)
    assert found.verdict == "inconclusive"
    assert reason in found.told


def test_values_that_never_differ_are_no_difference_and_costs_may_be_zero() -> None:
    assert compared([14.0] * 8, [14.0] * 8).told == "no difference"
    assert compared([0.0] * 8, [3.0] * 8, unit="").verdict == "worse"


def test_failed_trials_leave_their_pairs_and_are_told() -> None:
    slow: list[float | None] = [*noisy(10, 0.2)]
    slow[2] = None
    (results,) = results_of(rows({"a": slow, "b": noisy(8, 0.2)}, repetitions=9))
    (found,) = compare_arms(results)
    assert (found.count, found.verdict) == (7, "better")
    told = "\n".join(text(results, [found]))
    assert "a, repetition 3: failed: boom" in told
    assert "2 of 18 trials are missing" in told


def test_warm_ups_count_nowhere_and_trials_tried_again_count_once() -> None:
    warm = rows({"a": [999.0], "b": [1.0]}, warmup=True, arms=["a", "b"], repetitions=8)
    again = rows({"a": [5.0], "b": []}, arms=["a", "b"], repetitions=8)
    (results,) = results_of([*warm, *rows({"a": [1.0] * 8, "b": [1.0] * 8}), *again])
    (metric,) = results.metrics
    assert metric.values["a"][1] == 5.0
    assert sum(len(values) for values in metric.values.values()) == 16


def test_many_comparisons_make_each_one_harder_but_not_the_primary_one() -> None:
    one, other = noisy(10, 1), noisy(9, 1.2, seed=5)
    some = [*rows({"a": one, "b": other})]
    for number in range(4):
        some += rows({"a": one, "b": other}, metric=f"other{number}")
    (results,) = results_of(some)
    found = compare_arms(results)
    assert [one.primary for one in found] == [True, False, False, False, False]
    first, second = found[0].p, found[1].p
    assert first is not None
    assert second == pytest.approx(min(1.0, 4 * first))
    (alone,) = results_of(rows({"a": one, "b": other}, primary="another"))
    assert not compare_arms(alone)[0].primary
    assert "no trial recorded the primary metric 'another'" in "\n".join(text(alone, []))


def test_a_machine_that_was_too_busy_is_told_with_the_verdict() -> None:
    some = rows({"a": noisy(10, 0.2), "b": noisy(8, 0.2)}, disturbed="no processor was free")
    (results,) = results_of(some)
    assert compare_arms(results)[0].told == "better (the machine was too busy in 16 trials)"


def test_one_metric_has_one_unit() -> None:
    some = [*rows({"a": [1.0]}), *rows({"a": [1.0]}, unit="s")]
    with pytest.raises(ExperimentError, match="in one unit in all trials"):
        results_of(some)


OLD = {"run": "20250101T000000Z-1"}


def test_a_run_beside_an_earlier_one_of_the_same_setting() -> None:
    old = results_of(rows({"a": noisy(10, 0.2, 6)}, **OLD))
    (found,) = compare_runs(old, results_of(rows({"a": noisy(12, 0.2, 7), "z": [1.0]})))
    assert (found.verdict, found.paired, found.reference_count) == ("worse", False, 6)
    assert "a beside a of 20250101T000000Z-1" in str(found)
    assert "6 and 7: worse" in str(found)
    assert refused([found], "worse") == [found]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("topology_hash", {"topology_hash": "abc"}),
        ("scheduler", {"scheduler": "mine"}),
        ("host_class", {"host_class": "aarch64, 4 CPUs"}),
        ("linux", {"versions": {"linux": "6.2", "pytest-kinda": "0.1.0"}}),
    ],
)
def test_runs_of_different_settings_are_not_comparable(name: str, other: dict[str, str]) -> None:
    old = results_of(rows({"a": noisy(10, 0.2)}, **OLD))
    new = results_of(rows({"a": noisy(12, 0.2)}, **other))
    (found,) = compare_runs(old, new)
    assert (found.verdict, found.p) == ("not comparable", None)
    assert found.reason.startswith(name)
    assert refused([found], "worse") == []
    assert refused([found], "inconclusive") == [found]
    (found,) = compare_runs(old, new, across=[name])
    assert found.verdict == "worse"


def test_runs_that_share_nothing_and_settings_that_are_none_are_refused() -> None:
    old, new = results_of(rows({"a": [1.0]})), results_of(rows({"a": [1.0]}, case="other"))
    with pytest.raises(ExperimentError, match="no experiment in common"):
        compare_runs(old, new)
    assert compare_runs(old, results_of(rows({"z": [1.0]}))) == []
    with pytest.raises(ExperimentError, match="found 'weather'; expected one of topology_hash"):
        compare_runs(old, new, across=["weather"])


def test_the_command_compares_arms_and_runs(tmp_path: Path) -> None:
    for name, middle in (("old", 10.0), ("new", 12.0)):
        with RowFile(tmp_path / name / "x.jsonl") as file:
            file.append(rows({"a": noisy(middle, 0.2), "b": noisy(middle - 2, 0.2)}))
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    run = CliRunner().invoke
    arms = run(kinda, ["compare", old])
    assert "2 arms x 8 repetitions, seed 1" in arms.stdout
    assert "time: b beside a: -20.1%" in arms.stdout
    assert run(kinda, ["compare", old, "--gate", "worse"]).exit_code == 0
    both = run(kinda, ["compare", old, new, "--json", "--gate", "worse"])
    assert both.exit_code == 1
    found = json.loads(both.stdout)["comparisons"]
    assert [(one["arm"], one["verdict"]) for one in found] == [("a", "worse"), ("b", "worse")]
    assert found[0]["effect"]["relative"]["estimate"] == pytest.approx(0.2, abs=0.05)
    assert run(kinda, ["compare", str(tmp_path / "none")]).exit_code == 1
