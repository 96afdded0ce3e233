"""Networks of devices alone: built, opened from elsewhere, undone, whatever ends the build."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.build import catalogue
from pytest_kinda.build.builder import build
from pytest_kinda.build.undo import undo_testbed
from pytest_kinda.errors import BuildError, HostError, KindaError
from pytest_kinda.host.journal import Journal
from pytest_kinda.plan.values import CommandSpec, DeviceSpec, FileSpec, Plan, ReadySpec
from tests.support.builds import await_true, journal_lines, plan_of, start_building
from tests.support.machine import Snapshot


def with_device(plan: Plan, name: str, device: DeviceSpec) -> Plan:
    nodes = tuple(replace(one, device=device) if one.name == name else one for one in plan.nodes)
    return replace(plan, nodes=nodes)


def silent(line: str) -> None:
    pass


def test_hosts_reach_each_other_across_the_router(
    testbed_id: str, engine: Any, same_machine: Snapshot
) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id)
    address = standing.plan.node("h2").interfaces[0].addresses[0].partition("/")[0]
    finished = standing.execution("h1").run(["ping", "-n", "-c", "1", "-W", "2", address])
    assert finished.rc == 0
    assert b"ttl=63" in finished.stdout
    assert standing.keeper.undo(silent) == ()
    assert not standing.directory.exists()


def test_another_process_opens_and_cleans_it(testbed_id: str, engine: Any) -> None:
    build(plan_of("PAIR", engine), name=testbed_id, keep=True)
    (known,) = catalogue.testbeds()
    assert (known.id, known.topology, known.state) == (testbed_id, "pair", "complete")
    opened = catalogue.open_standing(testbed_id)
    assert opened.plan == plan_of("PAIR", engine)
    assert opened.execution("r1").run(["cat"], stdin=b"x" * 300000).stdout == b"x" * 300000
    assert catalogue.clean(testbed_id, silent) == ()
    with pytest.raises(KindaError, match="known: none"):
        catalogue.open_standing(testbed_id)


def restart_by_hand(container: str) -> None:
    argv = ["docker", "restart", "-t", "0", container]
    subprocess.run(argv, check=True, capture_output=True)


def test_a_kept_testbed_is_wired_again_with_nobody_there(testbed_id: str, engine: Any) -> None:
    build(plan_of("PAIR", engine), name=testbed_id, keep=True).keeper.release()  # type: ignore[attr-defined]
    opened = catalogue.open_standing(testbed_id)
    before = opened.places["r1"]
    restart_by_hand(opened.containers["r1"])
    address = opened.plan.node("h2").interfaces[0].addresses[0].partition("/")[0]
    ping = ["ping", "-n", "-c", "1", "-W", "1", address]
    await_true(lambda: opened.execution("h1").run(ping).rc == 0, "a packet across r1", 20)
    # whoever opens it now knows the namespaces of now
    assert catalogue.open_standing(testbed_id).places["r1"].started > before.started
    assert catalogue.clean(testbed_id, silent) == ()


def test_an_undo_in_the_middle_of_restarts_leaves_nothing(
    testbed_id: str, engine: Any, same_machine: Snapshot
) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id)
    argv = ["docker", "restart", "-t", "0", *standing.containers.values()]
    restarting = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_true(lambda: bool(standing.keeper.restarts()), "the first of them to be seen", 20)
    assert standing.keeper.undo(silent) == ()
    restarting.wait(30)
    assert not standing.directory.exists()


def test_sigkill_of_all_in_the_middle_of_restarts_leaves_what_clean_removes(
    testbed_id: str, engine: Any, same_machine: Snapshot
) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id)
    argv = ["docker", "restart", "-t", "0", *standing.containers.values()]
    restarting = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_true(lambda: bool(standing.keeper.restarts()), "the first of them to be seen", 20)
    os.kill(int(Journal.read(standing.directory).meta["pid"]), signal.SIGKILL)
    assert undo_testbed(standing.directory, silent) == ()
    restarting.wait(30)


def test_files_commands_and_readiness_come_in_their_order(testbed_id: str, engine: Any) -> None:
    device = DeviceSpec(
        files=(FileSpec("/srv/a", text="from the plan"),),
        startup=(CommandSpec(("cp", "/srv/a", "/srv/b")), CommandSpec(("false",), check=False)),
        ready=(ReadySpec(("cat", "/srv/b")),),
    )
    standing = build(with_device(plan_of("PAIR", engine), "h1", device), name=testbed_id)
    assert standing.execution("h1").run(["cat", "/srv/b"]).stdout == b"from the plan"
    assert standing.keeper.undo(silent) == ()


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            DeviceSpec(startup=(CommandSpec(("ls", "/none")),)),
            r"devices: h1: start-up command 'ls /none' ended with status \d+: .*No such file",
        ),
        (
            DeviceSpec(ready=(ReadySpec(("test", "-e", "/none"), 0.3, "the file"),)),
            r"h1: the file; last seen: status 1",
        ),
        (DeviceSpec(image="kinda/none:1"), r"kinda/none:1"),
    ],
)
def test_a_build_that_fails_undoes_itself_and_says_why(
    testbed_id: str, engine: Any, state_home: Path, device: DeviceSpec, expected: str
) -> None:
    with pytest.raises(BuildError, match=expected) as caught:
        build(with_device(plan_of("PAIR", engine), "h1", device), name=testbed_id)
    logs = state_home / "pytest-kinda" / "logs" / testbed_id
    assert str(logs) in caught.value.remedy
    assert (logs / "keeper.log").exists()
    assert list((state_home / "pytest-kinda" / "testbeds").iterdir()) == []


def test_the_direct_engine_gives_capabilities(testbed_id: str, state_home: Path) -> None:
    device = DeviceSpec(capabilities=("SYS_TIME",))
    standing = build(with_device(plan_of("PAIR", "direct"), "h1", device), name=testbed_id)
    status = standing.execution("h1").run(["grep", "CapEff", "/proc/self/status"])
    assert int(status.stdout.split()[1], 16) >> 25 & 1
    assert standing.keeper.undo(silent) == ()


def test_the_undo_program_can_be_run_at_any_time_and_again(testbed_id: str, engine: Any) -> None:
    standing = build(plan_of("PAIR", engine), name=testbed_id)
    directory = standing.directory
    assert undo_testbed(directory, silent) == ()
    assert undo_testbed(directory, silent) == ()
    assert standing.keeper.undo(silent) == ()
    with pytest.raises(HostError):
        standing.connect()


def test_ctrl_c_in_the_build_undoes_it(testbed_id: str, engine: Any, state_home: Path) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        await_true(lambda: journal_lines(directory) >= 3, "the lab's line in the journal")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in output
    assert process.returncode != 0
    assert not directory.exists()


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5])
def test_sigkill_of_the_build_is_undone_by_the_keeper(
    testbed_id: str, engine: Any, state_home: Path, lines: int
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        await_true(lambda: journal_lines(directory) >= lines, f"{lines} lines in the journal")
        process.kill()
    await_true(lambda: not directory.exists(), "the undo by the keeper", 15)


def test_sigkill_of_build_and_keeper_leaves_what_clean_removes(
    testbed_id: str, engine: Any, state_home: Path
) -> None:
    directory = state_home / "pytest-kinda" / "testbeds" / testbed_id
    with start_building("PAIR", testbed_id, engine) as process:
        assert process.stdout is not None
        await_true(lambda: process.stdout.readline() == "built\n", "the build")
        os.kill(int(Journal.read(directory).meta["pid"]), signal.SIGKILL)
        process.kill()
    (known,) = catalogue.testbeds()
    assert known.state == "abandoned"
    assert catalogue.clean(testbed_id, silent) == ()
