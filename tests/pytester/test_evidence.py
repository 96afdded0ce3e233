"""What a failed test leaves: evidence, captures, a pause. On a testbed without Docker."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.pytester.conftest import CONFTEST, QUICK, Suite

MORE = """
from pathlib import Path
from types import SimpleNamespace

class Recording:
    drops = 3
    def __init__(self, where, path, log):
        self.where, self.path, self.log = where, Path(path), log
    def start(self):
        self.path.write_text("packets of %s" % self.where)
        self.log("capture")
    def stop(self):
        self.log("captured")

def evidence(self, folder, *, limit):
    self.log("evidence")
    if self.name == "b":
        raise RuntimeError("the engine is gone")
    Path(folder, "summary.txt").write_text("paper")
    return (
        SimpleNamespace(name="summary.txt", problem=""),
        SimpleNamespace(name="log.txt", problem="h2 is paused"),
    )

def capture(self, where, *, path, allow_drops):
    assert allow_drops
    return Recording(where, path, self.log)

Paper.evidence, Paper.capture = evidence, capture
"""

TESTS = """
@pytest.mark.topology(A)
def test_well(kinda): pass
@pytest.mark.topology(A)
def test_wrong(kinda): assert 1 == 2
"""


@pytest.fixture
def suite(suite: Suite) -> Suite:
    suite.pytester.makeconftest(CONFTEST + MORE)
    return suite


def artifacts(suite: Suite) -> list[str]:
    root = suite.pytester.path / ".kinda"
    return sorted(f"{path.parent.name.rpartition('-')[0]}/{path.name}" for path in root.glob("*/*"))


def test_a_failed_test_leaves_evidence(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    result = suite.run("--junitxml=out.xml")
    result.assert_outcomes(passed=1, failed=1)
    assert artifacts(suite) == ["test_x.py-test_wrong-a/summary.txt"]
    at = suite.log.index("evidence a")
    assert suite.log[at - 1 :] == ["begin test_wrong a", "evidence a", "close a"]
    result.stdout.fnmatch_lines(
        [
            "*assert 1 == 2*",
            "*kinda evidence*",
            "*test_x.py-test_wrong-a-* (1 files, *",
            "*log.txt: missing: h2 is paused*",
            "*kinda: what failed tests left*",
            ".kinda/test_x.py-test_wrong-a-*  test_x.py::test_wrong*",
        ]
    )
    assert (suite.pytester.path / ".kinda/.gitignore").read_text() == "*\n"
    assert 'name="kinda_artifacts" value=' in (suite.pytester.path / "out.xml").read_text()


def test_evidence_that_cannot_be_had_does_not_hide_the_failure(suite: Suite) -> None:
    suite.write(test_x=TESTS.replace("A", "B"))
    result = suite.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*assert 1 == 2*", "*could not be collected: RuntimeError: the engine is gone*"]
    )


def test_where_and_when_can_be_chosen(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    suite.run("--kinda-artifacts-when=never")
    assert "evidence a" not in suite.log
    assert not (suite.pytester.path / ".kinda").exists()
    suite.run("--kinda-artifacts-when=always", "--kinda-artifacts=other")
    assert suite.log.count("evidence a") == 2
    assert len(list((suite.pytester.path / "other").glob("*/summary.txt"))) == 2


def test_a_fixture_that_fails_leaves_evidence_once(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.fixture
def broken(kinda):
    yield
    raise OSError("in the teardown")
@pytest.mark.topology(A)
def test_both(kinda, broken): assert 0
"""
    )
    suite.run().assert_outcomes(failed=1, errors=1)
    assert suite.log.count("evidence a") == 1


def test_captures_of_failed_tests_are_kept(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    result = suite.run("--kinda-pcap=h1--h2", "--kinda-pcap=h1:eth0")
    result.assert_outcomes(passed=1, failed=1)
    assert artifacts(suite) == [
        "test_x.py-test_wrong-a/capture.pcapng",
        "test_x.py-test_wrong-a/summary.txt",
    ]
    (kept,) = (suite.pytester.path / ".kinda").glob("*/*.pcapng")
    assert kept.read_text() == "packets of ['h1--h2', 'h1:eth0']"
    assert suite.log.count("capture a") == suite.log.count("captured a") == 2
    assert suite.log.index("close a") > len(suite.log) - 1 - suite.log[::-1].index("captured a")
    result.stdout.fnmatch_lines(["*test_wrong* (the capture lost 3 packets)"])


def test_captures_of_all_tests_can_be_kept(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    suite.run("--kinda-pcap=all", "--kinda-pcap-keep=always", "--kinda-artifacts-when=never")
    assert artifacts(suite) == [
        "test_x.py-test_well-a/capture.pcapng",
        "test_x.py-test_wrong-a/capture.pcapng",
    ]


def test_a_capture_of_nothing_that_exists_is_told_before_the_build(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    result = suite.run("--kinda-pcap=h1--h3")
    result.assert_outcomes(errors=2)
    assert suite.log == []
    result.stdout.fnmatch_lines(["*found 'h1--h3', which topology a has not*link (h1--h2)*h1, h2*"])


@pytest.mark.parametrize("option", ["--kinda-shell-on-error", "--kinda-pause-on-failure"])
def test_talking_to_a_person_needs_the_terminal(suite: Suite, option: str) -> None:
    suite.write(test_x=TESTS)
    result = suite.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option}: found that pytest captures*expected -s*"])


def test_pause_waits_while_the_testbed_is_as_it_was(suite: Suite) -> None:
    suite.write(test_x=TESTS)
    result = suite.pytester.run(
        sys.executable, "-m", "pytest", *QUICK, "-s", "--kinda-pause-on-error", stdin=b"\n"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*kinda: test_x.py::test_wrong* failed in its call*",
            "*assert 1 == 2*",
            "enter    kinda -t paper-a NODE bash",
            "Enter goes on:*",
        ]
    )
    result.stdout.no_fnmatch_line("*standard input has ended*")


def test_a_shell_finds_the_testbed(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "shell on $KINDA_TESTBED"; tail -n 1 log.txt; exit 3\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    suite.write(test_x=TESTS)
    result = suite.pytester.runpytest_subprocess(*QUICK, "-s", "--kinda-shell-on-error")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["shell on paper-a", "evidence a"])


VERIFY = """
class Found:
    problems = ("rate of h1--h2",)
    def __init__(self, well): self.well = well
    def __bool__(self): return self.well
    def __str__(self): return "rate h1--h2 as measured"

def verify(self, *, measure):
    assert measure
    self.log("verify")
    return Found(self.name == "a")

Paper.verify = verify
"""


def test_each_build_is_verified_and_the_table_is_in_the_report(suite: Suite) -> None:
    suite.pytester.makeconftest(CONFTEST + VERIFY)
    suite.write(test_x=TESTS.replace("assert 1 == 2", "pass"))
    result = suite.run("--kinda-verify")
    result.assert_outcomes(passed=2)
    assert suite.log.count("verify a") == 1
    result.stdout.fnmatch_lines(["*kinda: a is as declared*", "rate h1--h2 as measured"])


def test_a_build_that_is_not_what_was_declared_is_broken(suite: Suite) -> None:
    suite.pytester.makeconftest(CONFTEST + VERIFY)
    suite.write(test_x=TESTS.replace("A", "B"))
    result = suite.run("--kinda-verify")
    result.assert_outcomes(errors=1, skipped=1)
    assert suite.log == ["build b", "verify b", "close b"]
    result.stdout.fnmatch_lines(
        ["*step: verify*", "*not what was declared*", "*kinda: b is NOT as declared*"]
    )


def test_a_machine_that_is_too_busy_is_told(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not "from pytest_kinda.testbed import load": an earlier run inside this process may have left
    # the package with an attribute that is not the module that the next one will import.
    load = importlib.import_module("pytest_kinda.testbed.load")
    loads = iter([load.Load(2.0), load.Load(3.0, saturated_seconds=2.5)])
    monkeypatch.setattr(load.LoadWatch, "load", property(lambda self: next(loads)))
    suite.write(test_x=TESTS)
    result = suite.run("--junitxml=out.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*kinda machine*",
            "too busy to be faithful: no processor was free for 2.5 of 3.0 s",
            "*kinda: the machine was too busy to be faithful*",
            "test_x.py::test_wrong*: no processor was free for 2.5 of 3.0 s",
        ]
    )
    junit = (suite.pytester.path / "out.xml").read_text()
    assert junit.count('name="kinda_load" value="no processor was free') == 1


def test_a_build_that_fails_leaves_its_logs(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "kind.log").write_text("no room")
    suite.pytester.makeconftest(
        CONFTEST.replace(
            'remedy="declare it")',
            f'remedy="declare it", logs=__import__("pathlib").Path({str(tmp_path)!r}))',
        )
    )
    suite.write(test_x=TESTS.replace("A)", "BAD)"))
    result = suite.run()
    result.assert_outcomes(errors=1, skipped=1)
    (log,) = (suite.pytester.path / ".kinda").glob("*/build/*.log")
    assert "test_well" in log.parent.parent.name
    assert log.read_text() == "no room"
    result.stdout.fnmatch_lines(["*kinda evidence*", "  build/kind.log"])
