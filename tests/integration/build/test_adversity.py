"""Builds and removals against odds: no room, names of others, full disks, two cleaners at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.build import catalogue
from pytest_kinda.build.builder import build
from pytest_kinda.build.labels import TESTBED_LABEL
from pytest_kinda.errors import BuildError, HostError, KindaError
from pytest_kinda.host.client import Keeper
from pytest_kinda.operations import HOST, SetSysctl
from pytest_kinda.plan import plan
from pytest_kinda.testbed import Testbed
from tests.integration.build.conftest import bearing
from tests.support.builds import await_true, plan_of


def standing_in(state_home: Path) -> list[str]:
    directory = state_home / "pytest-kinda" / "testbeds"
    return [one.name for one in directory.iterdir()] if directory.exists() else []


def test_what_does_not_fit_is_refused_before_anything_is_made(
    testbed_id: str, state_home: Path
) -> None:
    workers = [f"w{number}" for number in range(400)]
    huge = Topology(
        name="huge",
        nodes=[ControlPlane("c1"), Router("r1"), *map(Worker, workers)],
        links=[Link(name, "r1") for name in ("c1", *workers)],
    )
    planned = plan(huge)
    with pytest.raises(BuildError, match=r"room: memory: 401 Kubernetes nodes and 1 devices"):
        build(planned, name=testbed_id)
    assert standing_in(state_home) == []


def test_a_name_that_others_bear_is_refused_and_theirs_stands(
    testbed_id: str, state_home: Path
) -> None:
    made = subprocess.run(
        ["docker", "create", "--label", f"{TESTBED_LABEL}={testbed_id}", "kinda/base:1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        with pytest.raises(BuildError, match=f"the name {testbed_id} is taken: "):
            build(plan_of("PAIR", "direct"), name=testbed_id)
        listed = subprocess.run(
            ["docker", "ps", "-aq", "--no-trunc"], capture_output=True, text=True, check=True
        )
        assert made in listed.stdout
        assert standing_in(state_home) == []
    finally:
        subprocess.run(["docker", "rm", "-f", made], capture_output=True, check=True)


@pytest.mark.parametrize("victim", ["h1", "r1"])
def test_a_container_removed_by_hand_hinders_no_removal(
    testbed_id: str, state_home: Path, engine: str, victim: str
) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id, keep=True)
    try:
        argv = ["docker", "rm", "-f", standing.containers[victim]]
        subprocess.run(argv, capture_output=True, check=True)
    finally:
        assert catalogue.clean(testbed_id, lambda line: None) == ()
    assert standing_in(state_home) == []


def test_two_cleaners_at_once_remove_one_testbed(testbed_id: str, state_home: Path) -> None:
    standing = build(plan_of("PAIR", "direct"), name=testbed_id, keep=True)
    os.kill(int(standing.keeper.hello()["pid"]), 9)  # type: ignore[attr-defined]
    argv = [sys.executable, "-m", "pytest_kinda.build.undo", str(standing.directory)]
    cleaners = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    said = [one.communicate(timeout=60)[0] for one in cleaners]
    assert [one.returncode for one in cleaners] == [0, 0, 0], said
    assert "left: " not in "".join(said)
    assert sum("removed 3 containers" in one for one in said) == 1
    assert standing_in(state_home) == []


def test_two_cleaners_share_the_undo_of_a_keeper(testbed_id: str, state_home: Path) -> None:
    build(plan_of("PAIR", "direct"), name=testbed_id, keep=True)

    def clean(_: int) -> tuple[str, ...]:
        try:
            return catalogue.clean(testbed_id, lambda line: None)
        except KindaError as error:  # it came after the removal
            return () if "there is no testbed" in error.message else (error.message,)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(clean, range(3))) == [(), (), ()]
    assert standing_in(state_home) == []


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory on a file system of its own, which can be filled."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "kinda-test", str(disk)]
    subprocess.run(mount, check=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(disk))
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take every last byte."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def test_a_disk_that_is_full_before_the_build_is_named(testbed_id: str, small_disk: Path) -> None:
    (small_disk / "pytest-kinda").mkdir(0o700)
    (small_disk / "pytest-kinda" / "testbeds").mkdir(0o700)
    fill(small_disk)
    with pytest.raises(BuildError, match=r"room: disk: .*disk/pytest-kinda/testbeds has 0 MB free"):
        build(plan_of("PAIR", "direct"), name=testbed_id)
    assert standing_in(small_disk) == []


def test_a_disk_that_fills_while_journalling_stops_what_is_made_and_no_removal(
    testbed_id: str, small_disk: Path
) -> None:
    standing = build(plan_of("PAIR", "direct"), name=testbed_id, keep=True)
    keeper = standing.keeper
    assert isinstance(keeper, Keeper)
    fill(small_disk)
    before = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()

    def make() -> None:
        for _ in range(100):  # the last block of the file may have room for some lines
            keeper.apply([SetSysctl(HOST, "net.ipv4.ip_default_ttl", before.strip())], {})

    with pytest.raises(HostError, match=r"journal could not be written: No space left") as told:
        make()
    assert "set XDG_STATE_HOME" in told.value.remedy

    def note() -> None:
        while True:  # until not even the shortest line fits, such as those about what is gone
            keeper.note()

    with pytest.raises(HostError, match="No space left"):
        note()
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == before
    # The undo needs no disk: what stood is removed with the disk still full.
    assert catalogue.clean(testbed_id, lambda line: None) == ()
    assert bearing(testbed_id) == []
    assert standing_in(small_disk) == []


def test_a_watch_that_dies_again_and_again_is_told(testbed_id: str, state_home: Path) -> None:
    standing = build(plan_of("PAIR", "direct"), name=testbed_id, keep=True)
    keeper = standing.keeper
    assert isinstance(keeper, Keeper)
    try:
        dead: set[int] = set()

        def killed_until_broken() -> bool:
            (watch,) = keeper.tended()
            if watch["pid"] not in dead and not watch["broken"]:
                dead.add(watch["pid"])
                os.kill(watch["pid"], 9)
            return bool(watch["broken"])

        await_true(killed_until_broken, "the keeper to give it up", 30)
        assert len(dead) == 6
        testbed = Testbed(standing)
        with pytest.raises(KindaError, match=r"watch .* ended after .* status -9 and was not star"):
            testbed.put_back()
        with pytest.raises(HostError, match=r"r1 was started and has no links: the watch"):
            testbed.device("r1").restart()
    finally:
        assert catalogue.clean(testbed_id, lambda line: None) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("taken", "named"), [("net_admin", "CAP_NET_ADMIN"), ("sys_admin", "CAP_SYS_ADMIN")]
)
def test_without_a_right_that_it_needs_a_build_says_which(
    testbed_id: str, state_home: Path, taken: str, named: str
) -> None:
    argv = [sys.executable, "-m", "tests.support.builds", "PAIR", testbed_id, "direct"]
    done = subprocess.run(
        ["setpriv", "--bounding-set", f"-{taken}", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=60,
    )
    assert f"network namespaces and links need {named}, which" in done.stderr
    assert "remedy: run it as root" in done.stderr
    assert standing_in(state_home) == []
