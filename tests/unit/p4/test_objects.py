"""Unions, action profiles, meters, value sets, digests: packet by packet as BMv2 sent it."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4 import Control, FileSwitch, Frame
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.control import Group, Member, Rate
from pytest_kinda.p4.sockets import SocketChannel
from tests.support import bmv2, p4_objects
from tests.support import p4_programs as p4
from tests.support.p4_record import by_bmv2, packets, recorded


@pytest.fixture(scope="module")
def switch() -> Iterator[FileSwitch]:
    with p4.started(p4_objects.OBJECTS) as found:
        yield found


@pytest.fixture(autouse=True)
def _back_to_the_start(switch: FileSwitch) -> None:
    switch.control.reset()


def test_unions_leave_as_bmv2_sent_them(tmp_path: Path) -> None:
    frames, wanted = bmv2.load(recorded("unions"))
    with p4.started(p4.written(tmp_path, p4_objects.unions())) as switch:
        found = bmv2.by_port(switch.send(frames))
    assert found == wanted
    assert len(wanted[2]) == 300


def test_profiles_meters_and_value_sets_do_what_they_do_in_bmv2(switch: FileSwitch) -> None:
    frames, wanted = bmv2.load(recorded("objects"))
    run_commands(p4_objects.OBJECT_COMMANDS, switch.control)
    assert bmv2.by_port(switch.send(frames)) == wanted
    results = [data[:8] for data in wanted[2]]
    assert {one[4] for one in results} == {0, 1, 2}  # every colour
    assert {one[5] for one in results} == {0, 1, 2, 9}
    assert {one[7] for one in results} == set(range(6))  # no set, each alone, both, (1, 7)
    assert {one[1] for one in results} == {1, 3, 5, 6}


def test_every_hash_is_that_of_bmv2(tmp_path: Path) -> None:
    frames, wanted = bmv2.load(recorded("hashes"))
    with p4.started(p4.written(tmp_path, p4_objects.hashes())) as switch:
        assert bmv2.by_port(switch.send(frames)) == wanted
    assert len(wanted[0]) == len(frames) == 60


def _frame(kind: int = 1, flow: int = 5, high: int = 1, low: int = 2, cell: int = 0) -> Frame:
    start = struct.pack("!BIB", kind, flow << 15 | high << 9 | low, cell)
    return Frame(1, start + bytes(20))


def test_members_are_shared_and_stay_while_they_are_used(switch: FileSwitch) -> None:
    profile, table = switch.control.profile("shared_ways"), switch.control.table("by_profile")
    first = profile.add("profile", {"value": 3})
    second = profile.add("profile_twice", {"value": 4})
    one = table.add({"kind": 1}, first)
    table.add({"kind": 2}, first)
    table.default(second)

    def seen() -> list[int]:
        return [one.data[0] for one in switch.send([_frame(1), _frame(2), _frame(3)])]

    assert seen() == [3, 3, 8]
    profile.modify(first, "profile_twice", {"value": 5})
    assert seen() == [10, 10, 8]
    table.modify(one, second)
    assert seen() == [8, 10, 8]
    dumped = table.dump()
    assert [entry.choice for entry in dumped.entries] == [second, first]
    assert (dumped.default, dumped.default_choice) == (None, second)
    assert profile.dump().members == {
        first: ("In.profile_twice", {"value": 5}),
        second: ("In.profile_twice", {"value": 4}),
    }
    for member in (first, second):
        with pytest.raises(P4ControlError, match="an entry or a group still has the member"):
            profile.delete(member)
    table.clear()
    profile.delete(first)
    table.default_reset()
    profile.delete(second)
    assert not profile.dump().members
    assert seen() == [0, 0, 0]


def test_a_group_chooses_one_member_for_a_flow_and_an_empty_one_nothing(
    switch: FileSwitch,
) -> None:
    profile, table = switch.control.profile("ways"), switch.control.table("by_selector")
    members = [profile.add("select_way", {"value": value}) for value in (1, 2, 3)]
    group, empty = profile.add_group(members), profile.add_group()
    table.add({}, group, priority=1)
    flows = [_frame(flow=flow) for flow in range(60)]
    chosen = [one.data[1] for one in switch.send(flows)]
    assert set(chosen) == {1, 2, 3}
    assert [one.data[1] for one in switch.send(flows)] == chosen
    profile.leave(group, members[0])
    after = [one.data[1] for one in switch.send(flows)]
    assert set(after) == {2, 3}
    assert profile.dump().groups == {group: tuple(members[1:]), empty: ()}
    with pytest.raises(P4ControlError, match="the group has no such member"):
        profile.leave(group, members[0])
    with pytest.raises(P4ControlError, match="the group has this member already"):
        profile.join(group, members[1])
    with pytest.raises(P4ControlError, match="an entry still has the group"):
        profile.delete_group(group)
    table.clear()
    table.default(empty)
    assert switch.send(flows)[0].data[1] == 0
    profile.delete_group(group)


def test_what_a_table_does_not_take_is_said(switch: FileSwitch) -> None:
    control = switch.control
    with pytest.raises(P4ControlError, match=r"action profile In\.shared_ways.*a Member"):
        control.table("by_profile").add({"kind": 1}, "profile", {"value": 1})
    with pytest.raises(P4ControlError, match="no action profile: found Member"):
        control.table("by_meter").add({"cell": 1}, Member(0))
    with pytest.raises(P4ControlError, match="no member has this handle"):
        control.table("by_profile").add({"kind": 1}, Member(7))
    with pytest.raises(P4ControlError, match="the profile has no groups"):
        control.table("by_profile").add({"kind": 1}, Group(0))
    with pytest.raises(P4ControlError, match="the profile has no groups"):
        control.profile("shared_ways").add_group()
    with pytest.raises(P4ControlError, match=r"has In\.profile, In\.profile_twice"):
        control.profile("shared_ways").add("drop")
    with pytest.raises(P4ControlError, match="no meter 'rate'"):
        control.meter("rate")
    with pytest.raises(P4ControlError, match="the committed rate is above the peak rate"):
        control.meter("In.rates").set(0, Rate(2, 1), Rate(1, 1))
    with pytest.raises(P4ControlError, match="outside its range"):
        control.meter("In.rates").set(8, Rate(1, 1), Rate(1, 1))
    with pytest.raises(P4ControlError, match="no entry has this handle"):
        control.meter("entry_rate").set(0, Rate(1, 1), Rate(1, 1))
    with pytest.raises(P4ControlError, match=r"expected 2 parts of \(6, 9\) bits"):
        control.value_set("pairs").add((1, 2, 3))
    with pytest.raises(P4ControlError, match="the table's entries have no timeout"):
        control.table("learning").idle()


def test_meters_colour_packets_and_are_set_back(switch: FileSwitch) -> None:
    meter, table = switch.control.meter("In.rates"), switch.control.table("by_meter")
    assert meter.rates(3) is None
    meter.set(3, Rate(0, 2), Rate(0, 5))
    assert meter.rates(3) == (Rate(0, 2), Rate(0, 5))

    def colours(place: int, count: int = 7) -> list[int]:
        return [one.data[place] for one in switch.send([_frame(cell=3)] * count)]

    assert colours(4) == [0, 0, 1, 1, 1, 2, 2]
    meter.reset(3)
    assert colours(4) == [0] * 7
    entry = table.add({"cell": 3}, "metered", {"value": 1})
    switch.control.meter("entry_rate").set(entry, Rate(0, 1), Rate(0, 2))
    assert colours(5, 4) == [0, 1, 2, 2]
    switch.control.meter("byte_rates").set_all(Rate(0, 26), Rate(0, 3 * 26))
    assert colours(6, 4) == [0, 1, 1, 2]
    switch.control.reset()
    assert meter.rates(3) is None


def test_value_sets_take_natural_values(switch: FileSwitch) -> None:
    flows, pairs = switch.control.value_set("flows"), switch.control.value_set("pairs")
    flows.add(7, "0x1fffe", 7)
    pairs.add((1, 7), (63, 511))
    assert flows.values() == {(7,), (0x1FFFE,)}
    assert pairs.values() == {(1, 7), (63, 511)}
    known = [_frame(flow=7), _frame(high=1, low=7), _frame(flow=0x1FFFE, high=63, low=511)]
    assert [one.data[7] for one in switch.send(known)] == [1, 2, 3]
    flows.remove(7)
    pairs.clear()
    assert [one.data[7] for one in switch.send(known)] == [0, 4, 1]
    with pytest.raises(P4ControlError, match="the set has no such value"):
        flows.remove(7)


def test_digests_wait_until_they_are_taken(switch: FileSwitch) -> None:
    digest = switch.control.digest("seen_t")
    switch.control.table("learning").add({"kind": 1}, "learn")
    switch.send([_frame(flow=9, high=5), _frame(flow=9, high=5), _frame(2, 8), _frame(flow=1)])
    taken = digest.take()
    assert taken.samples == ((9, 5, 1), (1, 1, 1))  # flow, high, port: each once
    assert digest.take().samples == ()
    switch.send([_frame(flow=flow) for flow in range(1030)])
    taken = digest.take()
    assert (len(taken.samples), taken.samples[0], taken.lost) == (1024, (0, 1, 1), 6)
    assert digest.take().lost == 0


def test_an_entry_that_no_packet_hits_is_idle(switch: FileSwitch, tmp_path: Path) -> None:
    """Time stands where packets come from a test: another process, without a port."""
    program = switch.control.program
    path = tmp_path / "control.sock"
    words = [str(p4.binary(p4_objects.OBJECTS)), "--socket", str(path)]
    with subprocess.Popen(words) as process:
        wait_until(lambda: "" if path.exists() else "no socket", "the switch", limit=10)
        with SocketChannel(path) as channel:
            table = Control(program, channel).table("by_meter")
            short = table.add({"cell": 1}, "metered", {"value": 1})
            long = table.add({"cell": 2}, "metered", {"value": 1})
            table.add({"cell": 3}, "metered", {"value": 1})
            table.set_timeout(short, 1)
            table.set_timeout(long, 600_000)
            wait_until(lambda: "" if table.idle() else "none", "an idle entry", limit=10)
            assert table.idle() == [short]
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.slow
@pytest.mark.beside
def test_no_packet_and_no_command_ends_it() -> None:
    """Under the address and undefined-behaviour sanitizers: either would end the process."""
    dice = random.Random(5)
    with p4.started(p4_objects.OBJECTS, p4.SANITIZED) as switch:
        run_commands(p4_objects.OBJECT_COMMANDS, switch.control)
        for _ in range(20):
            frames = [
                Frame(dice.randrange(600), bmv2.bytes_of(dice, dice.randrange(200)))
                for _ in range(200)
            ]
            frames += [Frame(1, p4_objects.object_frame(dice)) for _ in range(800)]
            switch.send(frames)
            switch.ask([_nonsense(dice) for _ in range(300)])
            switch.control.digest("seen_t").take()
        switch.control.reset()
        run_commands(p4_objects.OBJECT_COMMANDS, switch.control)


def _nonsense(dice: random.Random) -> str:
    """A command that is nearly right: known words, small numbers."""
    words = [str(dice.choice((0, 0, 1, 2, 3, 5, -1, 99, "m", "g", "ff", "1e9", "nan", "x")))
             for _ in range(dice.randrange(8))]  # fmt: skip
    return " ".join([dice.choice(COMMANDS), *words])


COMMANDS = (
    "add", "modify", "delete", "default", "default-reset", "dump", "clear", "timeout", "idle",
    "member-add", "member-modify", "member-delete", "group-add", "group-delete", "group-join",
    "group-leave", "profile-dump", "value-add", "value-remove", "value-clear", "value-read",
    "meter-read", "meter-write", "digest-take", "add 0 0 01 ff m", "add 1 1 01 ff g",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.beside
def test_no_packet_with_unions_ends_it(tmp_path: Path) -> None:
    """As above, for unions, their stacks and varbit fields."""
    dice = random.Random(6)
    path = p4.written(tmp_path, p4_objects.unions())
    with p4.started(path, p4.SANITIZED) as switch:
        for _ in range(10):
            frames = [Frame(1, bmv2.bytes_of(dice, dice.randrange(120))) for _ in range(500)] + [
                Frame(1, p4_objects.union_frame(dice)) for _ in range(1000)
            ]
            assert len(switch.send(frames)) == 1500


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.skipif(not bmv2.find_simple_switch(), reason="no simple_switch (BMv2)")
def test_bmv2_itself_does_the_same(switch: FileSwitch, tmp_path: Path) -> None:
    frames = [Frame(1, one.data) for one in packets(11, 600, p4_objects.object_frame)]
    run_commands(p4_objects.OBJECT_COMMANDS, switch.control)
    wanted = by_bmv2(frames, p4_objects.OBJECTS, p4_objects.OBJECT_COMMANDS)
    assert bmv2.by_port(switch.send(frames)) == wanted
    frames = packets(11, 600, p4_objects.union_frame)
    with p4.started(p4.written(tmp_path, p4_objects.unions())) as other:
        found = bmv2.by_port(other.send(frames))
    assert found == by_bmv2(frames, p4_objects.unions(), "")
