"""Broken testbeds, keeping, Ctrl-C, and what is printed of it."""

from __future__ import annotations

import re

from tests.pytester.conftest import QUICK, Suite

TWO = """
@pytest.mark.topology(A)
def test_1(kinda): pass
@pytest.mark.topology(A)
def test_2(kinda): assert kinda.name == "other"
"""


def test_a_broken_testbed_is_reported_once(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(BAD)
def test_1(kinda): pass
@pytest.mark.topology(BAD)
def test_2(kinda): pass
@pytest.mark.topology(A)
def test_3(kinda): pass
"""
    )
    result = suite.run("-rs")
    result.assert_outcomes(errors=1, skipped=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*testbed bad is broken*",
            "*step: wiring*",
            "*cause: no such interface: eth7*",
            "*remedy: declare it*",
            "*SKIPPED*testbed broken: bad: wiring: no such interface: eth7*",
        ]
    )


def test_where_the_time_went(suite: Suite) -> None:
    suite.write(test_x=TWO)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "kinda a: paper 0.2 s",
            "*kinda: where the time went*",
            "a: build *s, tests *s, undo *s",
            "*0.25 s  paper",
        ]
    )


def test_quiet_says_nothing_of_it(suite: Suite) -> None:
    suite.write(test_x=TWO)
    result = suite.run("-q")
    result.stdout.no_fnmatch_line("*kinda a:*")
    result.stdout.no_fnmatch_line("*where the time went*")


def test_keep_says_how_to_enter_and_how_to_remove(suite: Suite) -> None:
    suite.write(test_x=TWO)
    result = suite.run("--kinda-keep")
    assert suite.log[-1] == "keep a"
    assert suite.builds == ["build a"]
    result.stdout.fnmatch_lines(
        [
            "*a was kept*",
            "enter*h1 -- bash",
            "reuse    pytest --kinda-reuse*",
            "remove*kinda clean paper-a",
        ]
    )


def test_keep_on_failure_keeps_only_what_failed(suite: Suite) -> None:
    suite.write(
        test_x=TWO,
        test_y="""
@pytest.mark.topology(B)
def test_fine(kinda): pass
""",
    )
    suite.run("--kinda-keep-on-failure")
    assert "keep a" in suite.log
    assert "close b" in suite.log
    assert "keep b" not in suite.log


def test_ctrl_c_in_a_test_undoes(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A)
def test_1(kinda): raise KeyboardInterrupt
"""
    )
    result = suite.pytester.runpytest_subprocess(*QUICK)
    assert result.ret == 2
    assert suite.builds == ["build a", "close a"]
    result.stdout.fnmatch_lines(["kinda a: undo *s"])


def test_junit_names_the_topology(suite: Suite) -> None:
    suite.write(test_x=TWO)
    suite.run("--junitxml=out.xml")
    text = (suite.pytester.path / "out.xml").read_text()
    assert text.count('name="kinda_topology" value="a"') == 2
    assert re.search(r'name="kinda_engine" value="kathara"', text)
