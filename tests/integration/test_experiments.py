"""An experiment on a network that stands: the example of the documentation, and what clean is."""

from __future__ import annotations

import pytest

from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment import compare_arms, read_rows, results_of
from pytest_kinda.experiment.cleanliness import await_clean, unreached
from tests.pytester.conftest import QUICK
from tests.support.documents import examples
from tests.support.topologies import PAIR_DIRECT

pytestmark = [pytest.mark.slow, pytest.mark.beside]


def test_the_documented_experiment(pytester):
    (text,) = [one for one in examples().values() if "def test_initial_window" in one]
    pytester.makepyfile(test_window=text)
    result = pytester.runpytest_subprocess(*QUICK, "--kinda-repetitions=6", timeout=150)
    result.assert_outcomes(passed=14)
    result.stdout.fnmatch_lines(
        [
            "test_window.py::test_initial_window[[]far-direct[]]: 2 arms x 6 repetitions, seed 1",
            "  page: two-segments beside ten-segments: +*%*, p 0.*, 6 pairs: *",
        ]
    )
    found = read_rows(pytester.path / ".kinda" / "experiments")
    page, _ = compare_arms(results_of(found)[0])
    # two round trips of 20 ms; one trial beside much other work makes six pairs too noisy
    assert 20 < page.effect.difference.estimate < 70
    assert page.verdict == "worse" or "too busy" in page.reason
    assert len(found) == 14 * 3
    assert {(one.topology, one.engine, one.kubernetes) for one in found} == {
        ("far", "direct", None)
    }
    assert len({one.testbed for one in found}) == 1
    ends = [one for one in found if one.row == "end"]
    assert all(one.load_busy is not None and one.load_busy > 0 for one in ends)


@pytest.mark.topology(PAIR_DIRECT)
def test_what_is_not_clean_is_told(kinda):
    assert unreached(kinda) == frozenset()
    await_clean(kinda)
    with (
        kinda.link("r1", "h2").down(),
        pytest.raises(ExperimentError, match=r"faults in force: .*r1--h2"),
    ):
        await_clean(kinda)
    kinda.exec("r1", "ip", "route", "add", "blackhole", kinda.node("h2").ip)
    try:
        with pytest.raises(ExperimentError, match="h1 does not reach h2"):
            await_clean(kinda)
        await_clean(kinda, unreached(kinda))
    finally:
        kinda.exec("r1", "ip", "route", "del", "blackhole", kinda.node("h2").ip)
    await_clean(kinda)
