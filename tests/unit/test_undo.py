"""The undo program: what it does with journals of all kinds, where Docker is not needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kinda.build.kathara import lab_hash
from pytest_kinda.build.labels import bridge_name
from pytest_kinda.build.undo import _delete_bridge, forward_rules, main, stands, undo_testbed
from pytest_kinda.host.journal import JournalWriter
from pytest_kinda.host.namespaces import start_time


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "t1"
    found.mkdir()
    return found


def silent(line: str) -> None:
    pass


def test_a_testbed_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert undo_testbed(tmp_path / "never", silent) == ()


def test_a_directory_without_a_journal_goes(directory: Path) -> None:
    assert undo_testbed(directory, silent) == ()
    assert not directory.exists()


def test_a_process_that_was_journalled_is_killed(directory: Path) -> None:
    mark = f"test-{os.getpid()}"
    with subprocess.Popen(
        ["sleep", "60"], start_new_session=True, env={**os.environ, "KINDA_CHILD": mark}
    ) as child:
        JournalWriter(directory).record([{"undo": "process", "mark": mark}])
        assert undo_testbed(directory, silent) == ()
        assert child.wait(5) == -9
    assert not directory.exists()


def test_an_error_stops_nothing_and_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{directory}/none.sock")
    writer = JournalWriter(directory)
    writer.record([{"undo": "kathara-lab", "lab_hash": "x"}, {"undo": "operation", "operation": 1}])
    assert main([str(directory)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("left: ") for line in lines)
    assert "does not answer" in lines[0]
    assert "no operation" in lines[1]
    assert (directory / "journal.jsonl").exists()


def test_the_program_needs_a_directory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kinda.build.undo"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_only_rules_of_the_bridges_are_found() -> None:
    listing = (
        "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n"
        "-A FORWARD -i kt-1 -o kt-1 -j ACCEPT\n-A FORWARD -i kt-12 -o kt-12 -j ACCEPT\n"
    )
    assert forward_rules(listing, {"kt-1"}) == [
        ["FORWARD", "-i", "kt-1", "-o", "kt-1", "-j", "ACCEPT"]
    ]


def test_names_are_what_kathara_makes_of_them() -> None:
    lab = pytest.importorskip("Kathara.model.Lab")
    assert lab.Lab("kinda-ab12cd").hash == lab_hash("ab12cd")
    assert bridge_name("0123456789abcdef") == "kt-0123456789ab"


def test_only_places_that_stand_need_the_kernel() -> None:
    here = {"container": "c", "pid": os.getpid(), "started": start_time(os.getpid())}
    gone = {**here, "started": 1}
    host = {"container": "", "pid": 0, "started": 0}
    assert not stands({"places": {"a": gone, "b": gone}})
    assert stands({"places": {"a": gone, "b": here}})
    assert stands({"places": {"a": gone, "@host": host}})
    assert stands({"places": {}})


def test_the_undo_program_starts_without_what_it_may_not_need() -> None:
    code = "import sys, pytest_kinda.build.undo; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pyroute2", "networkx", "docker"} & set(done.stdout.split())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_bridge_that_goes_at_the_same_moment_is_no_error() -> None:
    # The plugin removes it between our look and our removal: found by killing a removal.
    _delete_bridge("kt-never000000")
