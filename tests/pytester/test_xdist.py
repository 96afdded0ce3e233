"""Under pytest-xdist the tests of one topology stay on one worker."""

from __future__ import annotations

import pytest

from tests.pytester.conftest import QUICK, Suite

MODULE = """
import os

@pytest.mark.topology(A, B)
@pytest.mark.parametrize("number", range(4))
def test_where(kinda, number):
    kinda.log("on %s" % os.environ["PYTEST_XDIST_WORKER"])
"""


def test_loadgroup_keeps_a_topology_on_one_worker(suite: Suite) -> None:
    suite.write(test_x=MODULE)
    result = suite.pytester.runpytest_subprocess(*QUICK, "-n", "2", "--dist", "loadgroup")
    result.assert_outcomes(passed=8)
    assert sorted(suite.builds) == ["build a", "build b", "close a", "close b"]
    for name in "ab":
        places = {line for line in suite.log if line.startswith("on ") and line.endswith(name)}
        assert len(places) == 1
    result.stdout.fnmatch_lines(["*where the time went*", "?: build *s, tests *"])


@pytest.mark.parametrize("mode", ["load", "loadscope", "worksteal"])
def test_another_mode_is_refused_with_the_remedy(suite: Suite, mode: str) -> None:
    suite.write(test_x=MODULE)
    result = suite.pytester.runpytest_subprocess(*QUICK, "-n", "2", "--dist", mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "remedy: run with `--dist loadgroup`" in result.stdout.str() + result.stderr.str()
    assert suite.log == []


def test_tests_without_topologies_may_be_spread_in_any_mode(suite: Suite) -> None:
    suite.write(test_x="@pytest.mark.parametrize('n', range(4))\ndef test_1(n): pass\n")
    suite.pytester.runpytest_subprocess(*QUICK, "-n", "2", "--dist", "load").assert_outcomes(
        passed=4
    )
