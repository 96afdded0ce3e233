"""What a switch says that it holds, beside what its declared commands make of it on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kinda.devices.p4_entries import Recorder
from pytest_kinda.p4 import Control, FileSwitch, Frame
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.state import declared_state, differences
from tests.support import p4_objects
from tests.support import p4_programs as p4

PUNT = Path(__file__).parents[2] / "data" / "p4" / "punt.json"


@pytest.fixture(scope="module")
def objects() -> Iterator[FileSwitch]:
    with p4.started(p4_objects.OBJECTS) as found:
        yield found


@pytest.fixture(scope="module")
def punt() -> Iterator[FileSwitch]:
    with p4.started(PUNT) as found:
        yield found


def on_paper(switch: FileSwitch, commands: str) -> list[str]:
    recorder = Recorder()
    run_commands(commands, Control(switch.control.program, recorder))
    return recorder.lines


def otherwise(switch: FileSwitch, commands: str) -> list[str]:
    program = switch.control.program
    wanted = declared_state(program, on_paper(switch, commands))
    return differences(program, wanted, switch.control.state())


def test_a_switch_at_its_start_holds_what_its_program_declares(objects: FileSwitch) -> None:
    program = objects.control.program
    assert differences(program, declared_state(program, []), objects.control.reset()) == []


def test_every_kind_of_command_is_known_on_paper(objects: FileSwitch) -> None:
    objects.control.reset()
    assert otherwise(objects, p4_objects.OBJECT_COMMANDS)  # it has not been told yet
    run_commands(p4_objects.OBJECT_COMMANDS, objects.control)
    assert otherwise(objects, p4_objects.OBJECT_COMMANDS) == []


COMMANDS = """\
table_add known forward 02:00:00:00:00:01 => 1 0
table_add known forward 02:00:00:00:00:02 => 2 0
table_add known flood ff:ff:ff:ff:ff:ff => 7
table_modify known forward 0 => 3 1
table_delete known 1
table_add known drop 02:00:00:00:00:09 =>
table_set_default known drop
register_write last_source 3 0xabc
register_write last_source 4 0
mirroring_add 5 2
mirroring_add_mc 6 7
mc_mgrp_create 7
mc_node_create 1 2 3
mc_node_associate 7 0
set_queue_rate 1000 2
set_queue_depth 10
meter_set_rates rates 2 0.001:5 0.002:6
"""


def test_entries_arrays_copies_and_queues_on_paper(punt: FileSwitch) -> None:
    punt.control.reset()
    run_commands(COMMANDS, punt.control)
    assert otherwise(punt, COMMANDS) == []
    assert punt.control.state()["register", 0, 3] == "abc"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("register_write last_source 2 9", "register of PuntIngress.last_source 2: found '9', exp"),
        ("table_set_default known drop", "default of PuntIngress.known: found "),
        ("mirroring_add 5 3", "mirror 5: found '3 0', expected nothing"),
        ("mc_mgrp_create 9\nmc_node_create 0 1\nmc_node_associate 9 0", "group 9: found '1 0'"),
        ("meter_set_rates rates 1 1:2 1:2", "meter of PuntIngress.rates 1: found '1 2 1 2'"),
        ("set_queue_rate 10 3", "queue 3 0: found '100000000 64'"),
        ("table_add known drop 02:00:00:00:00:07 =>", "entry of PuntIngress.known"),
    ],
)
def test_whatever_a_test_leaves_is_told_and_reset(punt: FileSwitch, change: str, told: str) -> None:
    punt.control.reset()
    run_commands(change, punt.control)
    assert otherwise(punt, "")[0].startswith(told)
    punt.control.reset()
    assert otherwise(punt, "") == []


def test_what_packets_leave_is_told_and_reset(punt: FileSwitch) -> None:
    punt.control.reset()
    (out,) = punt.send([Frame(3, bytes(6) + b"\2\0\0\0\0\5" + b"\x08\0" + bytes(46))])
    assert (out.port, out.data[:3].hex()) == (510, "018001")
    assert {one.partition(":")[0] for one in otherwise(punt, "")} == {
        "counter of PuntIngress.received 3",
        "register of PuntIngress.last_source 3",
        "statistics",
    }
    punt.control.reset()
    assert otherwise(punt, "") == []
