"""What is refused before a build: no room, a name that is taken, another user's testbed."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Host, Link, Router, Topology, Worker
from pytest_kinda.build import catalogue, room
from pytest_kinda.build.directories import find_testbed_directory
from pytest_kinda.build.room import Room, needed, shortages
from pytest_kinda.errors import KindaError
from pytest_kinda.host.journal import JournalWriter
from pytest_kinda.plan import plan


def star(workers: int) -> Topology:
    names = [f"w{number}" for number in range(workers)]
    return Topology(
        name="star",
        nodes=[ControlPlane("c1"), Router("r1"), *map(Worker, names)],
        links=[Link("r1", name) for name in ("c1", *names)],
    )


@pytest.mark.parametrize(
    ("has", "text", "remedy"),
    [
        (Room(memory=10**9), "memory: 4 Kubernetes nodes and 1 devices take about 1.0 GB", "fewer"),
        (Room(disk=10**8, docker_directory="/d"), "/d has 100 MB free", "file system of /d"),
        (Room(state_disk=10**6, state_directory="/s"), "/s has 1 MB free", "XDG_STATE_HOME"),
        (Room(inotify=20), "take about 72 instances, 20 are left", "kinda setup --only limits"),
    ],
)
def test_what_is_lacking_is_named_with_what_to_do(has: Room, text: str, remedy: str) -> None:
    planned = plan(star(3))
    ((found, told),) = shortages(planned, needed(planned), has)
    assert text in found
    assert remedy in told


def test_where_there_is_room_or_nothing_can_be_known_nothing_is_lacking() -> None:
    planned = plan(star(3))
    assert shortages(planned, needed(planned), Room()) == []
    assert shortages(planned, needed(planned), Room(10**11, 10**11, 10**11, 1000)) == []


def test_each_control_plane_and_the_balancer_before_them_take_memory() -> None:
    one, three = (plan(Topology("t", list(map(ControlPlane, names)), [])) for names in ("a", "abc"))
    assert (needed(three).memory or 0) > 3 * (needed(one).memory or 0)


def test_devices_alone_need_no_inotify_instances() -> None:
    pair = Topology(name="p", nodes=[Host("a"), Host("b")], links=[Link("a", "b")])
    assert needed(plan(pair)).inotify == 0


def test_inotify_instances_are_tried_and_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert room.free_instances(5) == 5
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_limit_of_open_files_is_not_taken_for_that_of_instances() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 70, hard))
    try:
        assert room.free_instances(100) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A testbed of another user in the very state directory of this one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    directory = tmp_path / "pytest-kinda" / "testbeds" / "theirs"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_text(json.dumps({"nodes": []}))
    JournalWriter(directory).append([{"meta": {"testbed": "theirs"}}])
    os.utime(directory, (time.time() - 3600,) * 2)
    return directory


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_testbed_of_another_user_is_neither_listed_nor_touched(others: Path) -> None:
    assert [one.id for one in catalogue.testbeds()] == ["theirs"]
    os.chown(others, 12345, 12345)
    assert catalogue.testbeds() == []
    for name in ("theirs", others):
        with pytest.raises(KindaError, match="belongs to user 12345; this is user 0"):
            find_testbed_directory(name)
        with pytest.raises(KindaError, match="belongs to user 12345"):
            catalogue.clean(name, print)
    assert (others / "journal.jsonl").exists()


def test_what_a_removal_left_that_was_killed_at_its_very_end_is_cleaned(others: Path) -> None:
    (others / "journal.jsonl").unlink()
    assert catalogue.clean("theirs", print) == ()
    assert not others.exists()


def test_what_begins_in_another_process_right_now_is_not_abandoned(others: Path) -> None:
    (others / "journal.jsonl").unlink()
    assert [one.state for one in catalogue.testbeds()] == ["building"]
    os.utime(others, (time.time() - 3600,) * 2)
    assert [one.state for one in catalogue.testbeds()] == ["abandoned"]
