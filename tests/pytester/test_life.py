"""Broken testbeds, keeping, Ctrl-C, and what is printed of it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from pytest_kinda.host.journal import JournalWriter
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
    result.stdout.no_fnmatch_line("*During handling of the above*")
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
            "*0.0* s  before the first step",
        ]
    )


def test_the_first_lines_say_versions_and_what_there_is(suite: Suite) -> None:
    suite.write(test_x=TWO)
    lines = suite.run().outlines
    (versions,) = (line for line in lines if line.startswith("kinda: 0."))
    assert re.search(r"\(kathara \d.*, docker \d.*, kubernetes \d.*; Linux \d", versions)
    # Without the rights, or an engine, it says that.
    (there,) = (line for line in lines if line.startswith("kinda: ") and line != versions)
    if os.geteuid() == 0:
        assert re.search(r"tunnel drivers .*; delay and loss by (netem|ours|none)", there)


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


def test_junit_names_versions_testbed_and_build_time(suite: Suite) -> None:
    suite.write(test_x=TWO)
    suite.run("--junitxml=out.xml")
    text = (suite.pytester.path / "out.xml").read_text()
    assert text.count('name="kinda_testbed" value="paper-a"') == 2
    assert len(re.findall(r'name="kinda_build_seconds" value="\d+\.\d"', text)) == 2
    assert re.search(r'name="kinda_versions" value="[^"]*kathara 3\.8', text)


def test_a_kept_testbed_ends_with_lines_that_can_be_copied(suite: Suite) -> None:
    suite.write(test_x=TWO)
    result = suite.run("--kinda-keep-on-failure", "-k", "test_2", "test_x.py")
    options = " ".join(QUICK)
    lines = [line.partition(" --basetemp")[0] for line in result.outlines]  # pytester's own
    at = next(at for at, line in enumerate(lines) if "a was kept" in line)
    assert lines[at + 1 : at + 6] == [
        "testbed  paper-a",
        "nodes    h1 h2",
        "enter    kinda exec -t paper-a h1 -- bash",
        f"reuse    pytest --kinda-reuse {options} -k test_2 test_x.py",
        "remove   kinda clean paper-a",
    ]


def left_by_a_crash(state: Path) -> Path:
    """What a build leaves that was killed with its keeper, an hour ago."""
    directory = state / "pytest-kinda" / "testbeds" / "dead01"
    directory.mkdir(parents=True)
    writer = JournalWriter(directory)
    writer.append([{"meta": {"testbed": "dead01"}}, {"note": {"topology": "old"}}])
    writer.close()
    os.utime(directory, (time.time() - 3600,) * 2)
    return directory


def test_the_next_run_offers_to_remove_what_a_crash_left(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    left = left_by_a_crash(tmp_path / "state")
    suite.write(test_x=TWO, test_z="def test_without_a_topology(): pass\n")
    offer = "*a crash has left testbed dead01 (old): --kinda-clean or `kinda clean dead01` removes*"
    suite.run("test_x.py").stdout.fnmatch_lines([offer])
    suite.run("test_z.py").stdout.no_fnmatch_line(offer)
    assert left.exists()
    result = suite.run("test_x.py", "--kinda-clean")
    result.stdout.no_fnmatch_line(offer)
    result.stdout.fnmatch_lines(["*dead01 (old), left by a crash: removed*"])
    assert not left.exists()
