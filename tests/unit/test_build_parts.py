"""Directories, progress and files for containers: the parts of a build that need no Docker."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from pathlib import Path

import pytest

from pytest_kinda.build import directories
from pytest_kinda.build.devices import archive
from pytest_kinda.build.directories import find_testbed_directory, new_testbed_directory
from pytest_kinda.build.kathara import as_declared
from pytest_kinda.build.progress import Lines, step
from pytest_kinda.errors import KindaError
from pytest_kinda.generators import fat_tree
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import FileSpec


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_testbeds_directory_is_private_and_its_own() -> None:
    directory = new_testbed_directory("ab12")
    assert directory == directories.testbeds_directory() / "ab12"
    assert directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(KindaError, match="kinda clean ab12"):
        new_testbed_directory("ab12")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "x" * 25, "../a"])
def test_names_that_no_container_can_have(name: str) -> None:
    with pytest.raises(KindaError, match="no name for a testbed"):
        new_testbed_directory(name)


def test_a_testbed_is_found_by_id_and_by_directory() -> None:
    directory = new_testbed_directory("ab12")
    (directory / "journal.jsonl").touch()
    assert find_testbed_directory("ab12") == directory
    assert find_testbed_directory(directory) == directory
    with pytest.raises(KindaError, match="known: ab12"):
        find_testbed_directory("cd34")


def test_only_the_newest_logs_are_kept() -> None:
    for number in range(25):
        at = directories.logs_directory(f"t{number}")
        os.utime(at, (number, number))
    kept = sorted(one.name for one in at.parent.iterdir())
    assert kept == sorted(f"t{number}" for number in range(5, 25))


def test_a_line_per_step() -> None:
    stream = io.StringIO()
    with step(Lines(stream), "wiring"):
        pass
    with pytest.raises(ValueError, match="no"), step(Lines(stream), "devices"):
        raise ValueError("no\nmore")
    assert stream.getvalue() == "kinda: wiring (0.0 s)\nkinda: devices FAILED: no\n"


def test_files_travel_as_an_archive() -> None:
    files = (
        FileSpec("/etc/a", text="text", mode=0o600),
        FileSpec("/b", base64=base64.b64encode(b"\0\xff").decode()),
    )
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as tar:
        found = {one.name: (one.mode, tar.extractfile(one).read()) for one in tar}  # type: ignore[union-attr]
    assert found == {"etc/a": (0o600, b"text"), "b": (0o644, b"\0\xff")}


def test_limits_of_containers_are_plain_numbers() -> None:
    """A size of the package is a number that writes itself with its name."""
    from pytest_kinda import Host, Topology
    from pytest_kinda.build.kathara import _options
    from pytest_kinda.build.nodes import limits_of
    from pytest_kinda.plan import plan
    from tests.support.declared import mixed

    host = plan(Topology("t", [Host("h1", memory="128MiB", cpus=0.5)])).node("h1")
    assert host.device is not None
    options = _options(host, host.device)
    assert ("mem", "134217728b") in options
    assert ("cpus", 0.5) in options
    worker = plan(mixed()).node("w1")
    assert str(limits_of(worker, 3)) == "{'Memory': 1073741824, 'MemorySwap': 1073741824}"


def test_a_control_plane_weighs_as_much_as_all_nodes() -> None:
    from pytest_kinda.build.nodes import limits_of
    from pytest_kinda.plan import plan
    from tests.support.declared import mixed

    control = plan(mixed()).node("c1")
    assert limits_of(control, 3)["CpuShares"] == 3 * 1024
    assert limits_of(control, 5000)["CpuShares"] == 262144


def test_what_kathara_says_has_the_names_that_were_declared() -> None:
    made = plan(fat_tree(2, leaves="hosts"))
    router, link = made.node("a1-1"), made.segment("a1-1--core1")
    assert router.engine_name != "a1-1"
    said = f"Device with name `{router.engine_name}` already exists on {link.engine_name}."
    assert as_declared(made, said) == "Device with name `a1-1` already exists on a1-1--core1."
    part = f"x{router.engine_name} core1"
    assert as_declared(made, part) == part
