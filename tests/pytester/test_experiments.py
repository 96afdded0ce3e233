"""Experiments: trials and their order, rows that survive, comparisons at the end, gates."""

from __future__ import annotations

import signal

import pytest

from pytest_kinda.experiment import read_rows, results_of
from pytest_kinda.experiment.rows import Row
from tests.pytester.conftest import QUICK, Suite

PLAIN = """
MIDDLE = {"slow": 10.0, "quick": 5.0}

@pytest.mark.kinda_experiment(arms=["slow", "quick"], repetitions=6, seed=7, bound="10%")
def test_time(trial):
    trial.record("time", MIDDLE[trial.arm] + trial.random.random(), "ms")
"""


def rows_of(suite: Suite, folder: str = ".kinda/experiments") -> list[Row]:
    return read_rows(suite.pytester.path / folder)


def order_of(result: pytest.RunResult) -> list[str]:
    return [one.partition("[")[2].partition("]")[0] for one in result.outlines if "PASSED" in one]


def test_a_marked_test_runs_once_for_each_arm_in_blocks_that_the_seed_draws(suite: Suite) -> None:
    suite.write(test_x=PLAIN)
    result = suite.run("-v")
    result.assert_outcomes(passed=14)
    order = order_of(result)
    assert {*order[:2]} == {"slow-warmup1", "quick-warmup1"}
    for block in range(1, 7):
        assert {*order[2 * block : 2 * block + 2]} == {f"slow-{block}", f"quick-{block}"}
    assert len({order[at].partition("-")[0] for at in range(2, 14, 2)}) == 2, "never drawn anew"
    ends = [row for row in rows_of(suite) if row.row == "end"]
    assert [row.order for row in ends] == [*range(1, 15)]
    assert {len({row.seed for row in ends if row.repetition == 3})} == {1}
    assert {row.outcome for row in ends} == {"passed"}
    result.stdout.fnmatch_lines(
        [
            "*kinda: experiments*",
            "test_x.py::test_time: 2 arms x 6 repetitions, seed 7",
            "*metric  arm    n  median  95% interval*",
            "*time    slow   6  10.*",
            "  time: quick beside slow: -4*%*, p 0.031, 6 pairs: better*",
            "rows: .kinda/experiments/*",
        ]
    )
    assert (suite.pytester.path / ".kinda" / ".gitignore").read_text() == "*\n"
    assert order_of(suite.run("-v", "-k", "slow")) == [one for one in order if "slow" in one]


def test_other_orders_are_put_right_and_cases_run_one_after_the_other(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A, B)
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.kinda_experiment(arms={"few": 3, "many": 9}, repetitions=2, warmup=0)
def test_1(kinda, size, trial):
    trial.record("got", trial.value * size, better="higher")

def test_between(): pass
"""
    )
    suite.pytester.makepyfile(
        shuffling="""
import random, pytest
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    random.Random(4).shuffle(items)
"""
    )
    result = suite.run("-v", "-p", "shuffling")
    result.assert_outcomes(passed=17)
    assert sorted(suite.builds) == ["build a", "build b", "close a", "close b"]
    ends = [row for row in rows_of(suite) if row.row == "end"]
    assert [row.order for row in ends] == [1, 2, 3, 4] * 4
    assert len({row.case for row in ends[:4]}) == 1
    assert {row.case for row in ends} == {"a-1", "a-2", "b-1", "b-2"}
    assert {row.topology for row in ends} == {"a", "b"}
    assert len({row.topology_hash for row in ends}) == 2
    assert {row.testbed for row in ends} == {"paper-a", "paper-b"}
    values = {(row.case, row.arm, row.value) for row in rows_of(suite) if row.row == "value"}
    assert ("b-2", "many", 18.0) in values


def test_a_failed_trial_is_a_row_and_so_is_one_without_a_testbed(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.kinda_experiment(arms=["a", "b"], repetitions=2, warmup=0)
def test_1(trial):
    trial.record("time", 1.0, "s")
    assert (trial.arm, trial.repetition) != ("b", 2), "it broke"

@pytest.mark.topology(BAD)
@pytest.mark.kinda_experiment(["a"], repetitions=2, warmup=0)
def test_2(kinda, trial): pass

@pytest.mark.kinda_experiment(arms=["a"], repetitions=1, warmup=0)
def test_3(trial): pytest.skip("no such thing here")
"""
    )
    result = suite.run()
    result.assert_outcomes(passed=3, failed=1, errors=1, skipped=2)
    found = {
        (row.experiment[-6:], row.arm, row.repetition): (row.outcome, row.reason)
        for row in rows_of(suite)
        if row.row == "end"
    }
    assert found["test_1", "b", 1] == ("passed", None)
    assert found["test_1", "b", 2][0] == "failed"
    assert str(found["test_1", "b", 2][1]).startswith("call: AssertionError: it broke")
    assert found["test_2", "a", 1] == ("failed", "setup: testbed bad is broken")
    assert found["test_2", "a", 2][0] == "skipped"
    assert "no such interface: eth7" in str(found["test_2", "a", 2][1])
    assert found["test_3", "a", 1] == ("skipped", "no such thing here")
    result.stdout.fnmatch_lines(["*b, repetition 2: failed: call: AssertionError: it broke"])


def test_rows_survive_kill_9_in_the_middle(suite: Suite) -> None:
    suite.write(
        test_x="""
import os, signal

@pytest.mark.kinda_experiment(arms=["a", "b"], repetitions=8, warmup=0)
def test_1(trial):
    trial.record("time", trial.repetition, "s")
    if trial.repetition == 4:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    result = suite.pytester.runpytest_subprocess(*QUICK)
    assert result.ret == -signal.SIGKILL
    found = rows_of(suite)
    assert [row.row for row in found] == ["value", "end"] * 6 + ["value"]
    (results,) = results_of(found)
    assert results.missing == 10
    assert [len(values) for values in results.metrics[0].values.values()] == [3, 3]


@pytest.mark.slow
@pytest.mark.beside
def test_an_interrupted_trial_says_so_and_what_is_left_is_compared(suite: Suite) -> None:
    suite.write(
        test_x=PLAIN
        + """
    if trial.repetition == 4:
        raise KeyboardInterrupt
"""
    )
    result = suite.pytester.runpytest_subprocess(*QUICK)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    last = rows_of(suite)[-1]
    assert (last.repetition, last.outcome) == (4, "interrupted")
    result.stdout.fnmatch_lines(
        ["*5 of 12 trials are missing*", "*inconclusive (3 pairs can show nothing at 95%, 6 can*"]
    )


def test_a_baseline_is_compared_and_a_gate_refuses_only_when_asked(suite: Suite) -> None:
    suite.write(test_x=PLAIN)
    suite.run("--kinda-results=old").assert_outcomes(passed=14)
    # of another size: Python takes a file of the same second and size for the one it has compiled
    suite.write(test_x=PLAIN.replace("5.0", "9.00"))
    options = ("--kinda-results=new", "--kinda-baseline=old")
    worse = "  time: quick beside quick of *, 6 and 6: worse*"
    free = suite.run(*options)
    assert free.ret == 0
    free.stdout.fnmatch_lines(["  time: slow beside slow of *: no difference beyond 10%", worse])
    gated = suite.run(*options, "--kinda-gate=worse")
    gated.assert_outcomes(passed=14)
    assert gated.ret == pytest.ExitCode.TESTS_FAILED
    gated.stdout.fnmatch_lines(["--kinda-gate=worse refuses: time: quick beside quick of *"])
    assert suite.run("--kinda-gate=worse").ret == 0
    lost = suite.run("--kinda-baseline=nowhere")
    assert lost.ret == pytest.ExitCode.USAGE_ERROR
    assert "--kinda-baseline" in lost.stderr.str()
    few = suite.run("--kinda-repetitions=2", "--kinda-gate=inconclusive")
    few.assert_outcomes(passed=6)
    assert few.ret == pytest.ExitCode.TESTS_FAILED


NO_EXPERIMENTS = {
    "arms='ab'": "arms: found 'ab'; expected names",
    "arms=[]": "arms: found ()",
    "arms=['a', 'a']": "expected names that differ",
    "arms=['a b']": "expected letters, digits and",
    "arms=['a'], repetitions=0": "repetitions: found 0; expected a whole number from 1",
    "arms=['a'], bound='much'": "bound: found 'much'",
    "arms=['a'], rounds=3": "found 'rounds'; expected arms, repetitions",
    "arms=['a'], confidence=95": "confidence: found 95",
}


def test_marks_that_make_no_experiment_are_refused(suite: Suite) -> None:
    text = "@pytest.mark.kinda_experiment({})\ndef test_1(trial): pass\n"
    suite.write(**{f"test_{at}": text.format(mark) for at, mark in enumerate(NO_EXPERIMENTS)})
    result = suite.run("--collect-only")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    for told in NO_EXPERIMENTS.values():
        assert told in result.stdout.str()


def test_trial_without_the_mark_and_the_mark_without_trial_are_refused(suite: Suite) -> None:
    suite.write(test_x="def test_1(trial): pass\n")
    suite.run().stdout.fnmatch_lines(["*this test uses `trial` but is no experiment*"])
    suite.write(test_x="@pytest.mark.kinda_experiment(arms=['a'])\ndef test_1(): pass\n")
    assert "expected it among its arguments" in suite.run().stdout.str()
    suite.write(
        test_x="""
pytestmark = pytest.mark.kinda_experiment(arms=["a"], repetitions=1, warmup=0)
def test_1(trial): pass
def test_of_another_kind(): pass
"""
    )
    suite.run().assert_outcomes(passed=2)


def test_what_is_recorded_is_one_number_that_means_something(suite: Suite) -> None:
    suite.write(
        test_x="""
from pytest_kinda.errors import ExperimentError

@pytest.mark.kinda_experiment(arms=["a"], repetitions=1, warmup=0)
def test_1(trial):
    for args, told in [
        (("x", float("nan")), "a finite number"),
        (("x", None), "a finite number"),
        (("x", 1, "cats"), "better: found None for the unit 'cats'"),
        (("", 1), "a name"),
    ]:
        with pytest.raises(ExperimentError, match=told):
            trial.record(*args)
    trial.record("x", 1, "bit/s")
    with pytest.raises(ExperimentError, match="their median"):
        trial.record("x", 2, "bit/s")
    assert trial.values == {"x": 1.0}
"""
    )
    suite.run().assert_outcomes(passed=1)
    (value, _) = rows_of(suite)
    assert (value.better, value.unit, value.metric) == ("higher", "bit/s", "x")


def test_rows_tell_the_scheduler_under_test(suite: Suite) -> None:
    suite.write(
        test_x="""
class Scheduler:
    name = "mine"

@pytest.fixture
def kinda_scheduler(): return Scheduler()

@pytest.mark.kinda_experiment(arms=["fixture", "own"], repetitions=1, warmup=0)
def test_1(trial, kinda_scheduler):
    if trial.arm == "own":
        trial.scheduler = "other"
"""
    )
    suite.run().assert_outcomes(passed=2)
    assert {row.arm: row.scheduler for row in rows_of(suite)} == {"fixture": "mine", "own": "other"}


@pytest.mark.slow
@pytest.mark.beside
def test_under_xdist_an_experiment_stays_on_one_worker(suite: Suite) -> None:
    module = PLAIN + "    trial.record('pid', __import__('os').getpid(), better='lower')\n"
    suite.write(test_x=module, test_y=module)
    refused = suite.pytester.runpytest_subprocess(*QUICK, "-n", "2", "--dist", "load")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "would run trials of one experiment side by side" in (
        refused.stdout.str() + refused.stderr.str()
    )
    result = suite.pytester.runpytest_subprocess(*QUICK, "-n", "2", "--dist", "loadgroup")
    result.assert_outcomes(passed=28)
    for experiment in ("test_x", "test_y"):
        result.stdout.fnmatch_lines([f"{experiment}.py::test_time: 2 arms x 6 repetitions, seed 7"])
        found = [row for row in rows_of(suite) if row.experiment.startswith(experiment)]
        assert len({row.value for row in found if row.metric == "pid"}) == 1
        assert [row.order for row in found if row.row == "end"] == [*range(1, 15)]
