"""The Docker Engine restarts, crashes or is gone under a testbed: an engine of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kinda.build import catalogue
from pytest_kinda.build.builder import build
from pytest_kinda.build.progress import Silent
from pytest_kinda.errors import BuildError
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed.reuse import attach_to
from tests.support.builds import await_true, journal_lines, plan_of, start_building
from tests.support.machine import await_same, snapshot
from tests.support.private_engine import PrivateEngine
from tests.support.topologies import PAIR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="no dockerd on this machine"),
]
NAME = "restarts"


@pytest.fixture(scope="module")
def started() -> Iterator[PrivateEngine]:
    folder = tempfile.mkdtemp(prefix="kinda-")  # short: a socket's path has at most 107 bytes
    engine = PrivateEngine(Path(folder))
    before = snapshot(Path(folder))
    try:
        engine.start()
        engine.load()
        yield engine
    finally:
        engine.remove()
    await_same(before, Path(folder), 5)


@pytest.fixture
def private(
    started: PrivateEngine, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateEngine]:
    """The engine that builds and removals use; nothing is left on it after the test."""
    monkeypatch.setenv("DOCKER_HOST", started.address)
    yield started
    assert started.docker("ps", "-aq").stdout == b""
    assert list((state_home / "pytest-kinda" / "testbeds").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_testbed_whose_engine_restarted_is_damaged_and_removed(
    private: PrivateEngine, how: signal.Signals
) -> None:
    build(plan_of("PAIR", "direct"), name=NAME, keep=True)
    private.end(how)
    private.start()
    with pytest.raises(BuildError, match=f"testbed {NAME} is damaged"):
        attach_to(PAIR, PlanOptions(engine="direct"), Silent(), which=NAME)
    assert catalogue.clean(NAME, lambda line: None) == ()


def test_without_an_engine_the_journal_stays_for_another_try(
    private: PrivateEngine, state_home: Path
) -> None:
    build(plan_of("PAIR", "direct"), name=NAME, keep=True)
    private.end()
    left = catalogue.clean(NAME, lambda line: None)
    assert any("does not answer" in one for one in left)
    await_true(
        lambda: [one.state for one in catalogue.testbeds()] == ["abandoned"],
        "the keeper's end, with the testbed still listed",
    )
    private.start()
    assert catalogue.clean(NAME, lambda line: None) == ()


def test_an_engine_that_ends_during_a_build_leaves_what_clean_removes(
    private: PrivateEngine, state_home: Path
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / NAME
    with start_building("PAIR", NAME, "direct") as process:
        await_true(lambda: journal_lines(directory) >= 3, "the devices in the journal")
        private.end(signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    private.start()
    assert "BuildError" in said
    assert f"kinda clean {NAME}" in said
    assert catalogue.clean(NAME, lambda line: None) == ()
