"""After every way to end, the machine is as it was: containers, links, rules, processes.

The file's name puts it before the tests that hold a testbed for the whole session. Each test runs a
pytest of its own on a small suite and compares snapshots of the machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRASH_LIMIT = 15.0
"""Seconds after a SIGKILL of pytest within which the keeper has removed everything."""

SUITE = """
import os, pathlib, time
import pytest
from tests.support.topologies import {topology}

@pytest.mark.topology({topology})
def test_it(kinda):
    pathlib.Path("standing").write_text(kinda.id)
    {body}
"""
Same = Callable[[float], float]
WAITS = "time.sleep(300)"


class Suite:
    """One pytest process on a suite of one test."""

    def __init__(self, directory: Path, topology: str, body: str = "pass") -> None:
        self.directory = directory
        (directory / "test_inner.py").write_text(SUITE.format(topology=topology, body=body))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        # A file, not a pipe: a pipe that nobody reads would stop a talkative process.
        with (self.directory / "out.txt").open("wb") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-p",
                    "no:cacheprovider",
                    "-c",
                    "/dev/null",
                    "--rootdir",
                    str(self.directory),
                    *arguments,
                    "test_inner.py",
                ],
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), "KINDA_TEST_RECORD": ""},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    @property
    def output(self) -> str:
        return (self.directory / "out.txt").read_text(errors="replace")

    def run(self, limit: float = 120.0) -> int:
        return self.start().wait(limit)

    def await_text(self, text: str, limit: float = 120.0) -> None:
        self._await(lambda: text in self.output, f"{text!r} in the output", limit)

    def await_standing(self, limit: float = 180.0) -> str:
        path = self.directory / "standing"
        self._await(lambda: path.exists() and path.read_text() != "", "the test to run", limit)
        return path.read_text()

    def _await(self, condition: Callable[[], bool], what: str, limit: float) -> None:
        assert self.process is not None
        end = time.monotonic() + limit
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"waited for {what}; it printed:\n{self.output}")
            time.sleep(0.05)

    def keepers(self) -> list[int]:
        """The keepers of this suite's state directory."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, ValueError):
                continue
            here = os.environ["XDG_STATE_HOME"].encode()
            if b"pytest_kinda.host" in argv and any(one.startswith(here) for one in argv):
                found.append(int(entry.name))
        return found


@pytest.fixture
def ended(request: pytest.FixtureRequest) -> Iterator[list[Suite]]:
    """Suites whose process is ended if the test could not."""
    suites: list[Suite] = []
    yield suites
    for suite in suites:
        if suite.process is not None and suite.process.poll() is None:
            suite.process.send_signal(signal.SIGINT)
            try:
                suite.process.wait(60)
            except subprocess.TimeoutExpired:
                suite.process.kill()
                suite.process.wait()


@pytest.fixture(autouse=True)
def _alone(state_home: Path) -> None:
    """Each test has a state directory of its own."""


def left_directories() -> list[str]:
    directory = Path(os.environ["XDG_STATE_HOME"]) / "pytest-kinda" / "testbeds"
    return sorted(one.name for one in directory.iterdir()) if directory.exists() else []


def test_after_success(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "PAIR")
    ended.append(suite)
    assert suite.run() == 0, suite.output
    same_machine(2)
    assert left_directories() == []
    assert "where the time went" in suite.output


def test_after_a_failing_test(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "PAIR", "assert False")
    ended.append(suite)
    assert suite.run() == 1, suite.output
    same_machine(2)
    assert left_directories() == []


def test_after_ctrl_c_in_a_test(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "PAIR", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_standing()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 2, suite.output
    same_machine(2)
    assert left_directories() == []
    assert "undo" in suite.output


@pytest.mark.parametrize(
    "step",
    [
        "network (3 devices) ...",
        pytest.param("wiring ...", marks=pytest.mark.slow),
        pytest.param("devices ...", marks=pytest.mark.slow),
    ],
)
def test_after_ctrl_c_in_the_build(
    tmp_path: Path, same_machine: Same, ended: list[Suite], step: str
) -> None:
    suite = Suite(tmp_path, "PAIR", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_text(step)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 2, suite.output
    same_machine(2)
    assert left_directories() == []


def test_after_sigkill_in_a_test(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "PAIR", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_standing()
    process.kill()
    process.wait()
    same_machine(CRASH_LIMIT)
    assert left_directories() == []


def test_after_sigkill_in_the_build(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "PAIR", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_text("network")
    process.kill()
    process.wait()
    same_machine(CRASH_LIMIT)
    assert left_directories() == []


def test_after_sigkill_of_pytest_and_keeper_kinda_clean_removes_all(
    tmp_path: Path, same_machine: Same, ended: list[Suite]
) -> None:
    suite = Suite(tmp_path, "PAIR", WAITS)
    ended.append(suite)
    process = suite.start()
    testbed = suite.await_standing()
    keepers = suite.keepers()
    assert len(keepers) == 1
    # Stopped first, so that neither can act on the other's end.
    for pid in (*keepers, process.pid):
        os.kill(pid, signal.SIGSTOP)
    for pid in (*keepers, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert left_directories() == [testbed]
    kinda = [sys.executable, "-c", "from pytest_kinda.cli import main; main()"]
    listed = subprocess.run([*kinda, "ls"], capture_output=True, text=True, check=True)
    assert "abandoned" in listed.stdout
    cleaned = subprocess.run([*kinda, "clean"], capture_output=True, text=True, check=False)
    assert cleaned.returncode == 0, cleaned.stderr
    assert f"{testbed}: removed" in cleaned.stdout
    same_machine(2)
    assert left_directories() == []


def test_a_kept_testbed_stays_until_it_is_removed(
    tmp_path: Path, same_machine: Same, ended: list[Suite]
) -> None:
    suite = Suite(tmp_path, "PAIR")
    ended.append(suite)
    assert suite.start("--kinda-keep").wait(120) == 0, suite.output
    testbed = (tmp_path / "standing").read_text()
    kinda = [sys.executable, "-c", "from pytest_kinda.cli import main; main()"]
    try:
        assert f"kinda clean {testbed}" in suite.output
        told = subprocess.run(
            [*kinda, "h1", "ip", "-br", "addr"], capture_output=True, text=True, check=True
        )
        assert "eth0" in told.stdout
    finally:
        removed = subprocess.run(
            [*kinda, "clean", testbed], capture_output=True, text=True, check=False
        )
    assert removed.returncode == 0, removed.stderr
    same_machine(2)


def test_a_kept_testbed_is_reused_until_its_topology_changes(
    tmp_path: Path, same_machine: Same, ended: list[Suite]
) -> None:
    suite = Suite(tmp_path, "PAIR")
    ended.append(suite)
    kinda = [sys.executable, "-c", "from pytest_kinda.cli import main; main()"]
    try:
        assert suite.start("--kinda-reuse").wait(120) == 0, suite.output
        first = (tmp_path / "standing").read_text()
        assert suite.start("--kinda-reuse").wait(120) == 0, suite.output
        assert f"reusing testbed {first}" in suite.output
        assert (tmp_path / "standing").read_text() == first
        assert suite.start("--kinda-reuse", "--kinda-pool=10.77.0.0/16").wait(120) == 0
        assert f"testbed {first} is stale" in suite.output
        assert (tmp_path / "standing").read_text() != first
    finally:
        removed = subprocess.run(
            [*kinda, "clean", "--all"], capture_output=True, text=True, check=False
        )
    assert removed.returncode == 0, removed.stderr
    same_machine(2)


def test_the_triangle_after_sigkill(tmp_path: Path, same_machine: Same, ended: list[Suite]) -> None:
    suite = Suite(tmp_path, "TRIANGLE", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_standing()
    process.kill()
    process.wait()
    print(f"removed in {same_machine(CRASH_LIMIT):.1f} s")
    assert left_directories() == []
    # Network and cluster were made at the same time: it was wired while kind was still at work.
    said = suite.output
    cluster = re.search(r"kind cluster \(3 nodes\) \d", said)
    assert cluster is not None
    assert said.index("kind cluster (3 nodes) ...") < said.index("wiring ...") < cluster.start()


@pytest.mark.slow
def test_a_larger_one_after_sigkill_takes_ten_seconds_more_than_its_teardown(
    tmp_path: Path, same_machine: Same, ended: list[Suite]
) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole, killed = Suite(folders[0], "STAR"), Suite(folders[1], "STAR", WAITS)
    ended += [whole, killed]
    assert whole.start("--kinda-engine=direct").wait(120) == 0, whole.output
    taken = re.search(r"undo (\d+\.\d) s", whole.output)
    assert taken is not None
    process = killed.start("--kinda-engine=direct")
    killed.await_standing()
    process.kill()
    process.wait()
    print(f"teardown {taken[1]} s, after SIGKILL {same_machine(float(taken[1]) + 10):.1f} s")
    assert left_directories() == []


@pytest.mark.slow
def test_the_triangle_after_ctrl_c_while_kind_creates(
    tmp_path: Path, same_machine: Same, ended: list[Suite]
) -> None:
    suite = Suite(tmp_path, "TRIANGLE", WAITS)
    ended.append(suite)
    process = suite.start()
    suite.await_text("kind cluster")
    suite.await_text("wiring")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 2, suite.output
    same_machine(5)
    assert left_directories() == []
