"""A program with as much of v1model as one can hold, packet by packet as BMv2 sent it."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dpkt
import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import P4ControlError, ProgramError
from pytest_kinda.p4 import FileSwitch, Frame, compile_program
from pytest_kinda.p4.commands import run_commands
from tests.support import bmv2
from tests.support import p4_programs as p4
from tests.support.p4_features import COMMANDS, features
from tests.support.p4_record import by_bmv2, packets, recorded


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return p4.written(tmp_path_factory.mktemp("p4"), features())


@pytest.fixture(scope="module")
def switch(path: Path) -> Iterator[FileSwitch]:
    with p4.started(path) as found:
        yield found


def _same(
    found: Mapping[int, Sequence[bytes]], wanted: Mapping[int, Sequence[bytes]]
) -> dict[int, list[str]]:
    """By port, what only one of the two sent. BMv2's threads may change the order on a port."""
    different = {}
    for port in {*found, *wanted}:
        mine, other = Counter(found.get(port, ())), Counter(wanted.get(port, ()))
        if mine != other:
            different[port] = [one.hex() for one in ((mine - other) + (other - mine))]
    return different


def test_every_packet_leaves_as_bmv2_sent_it(switch: FileSwitch) -> None:
    frames, wanted = bmv2.load(recorded("features"))
    switch.control.reset()
    run_commands(COMMANDS, switch.control)
    found = bmv2.by_port(switch.send(frames))
    assert len(frames) == 300
    assert not _same(found, wanted)


def test_counters_and_registers_say_what_went_through(switch: FileSwitch) -> None:
    switch.control.reset()
    run_commands(COMMANDS, switch.control)
    assert switch.control.register("cells").read(3) == 100
    start = (0).to_bytes(1, "big") + b"\x00\x03" + bytes(8) + bytes(16)
    switch.send([Frame(1, start)] * 5)
    assert switch.control.register("cells").read(3) == 105
    assert switch.control.counter("kinds").read(0) == switch.control.counter("kinds").read_all()[0]
    assert switch.control.counter("kinds").read(0).packets == 5
    assert switch.control.counter("kinds").read(0).bytes == 5 * len(start)
    switch.control.counter("kinds").reset()
    assert switch.control.counter("kinds").read(0).packets == 0
    with pytest.raises(P4ControlError, match="expected indexes 0 to 15"):
        switch.control.register("cells").read(16)
    with pytest.raises(P4ControlError, match=r"counts the entries of Ingress\.lpm"):
        switch.control.counter("lpm_hits")


def test_reset_puts_everything_back(switch: FileSwitch) -> None:
    run_commands("register_write cells 1 5\ntable_set_default exact by_exact 7", switch.control)
    switch.control.reset()
    assert switch.control.register("cells").read_all() == [0] * 16
    assert switch.control.table("exact").dump().default == ("NoAction", {})
    assert not switch.control.table("lpm").dump().entries
    frames = [Frame(1, bytes([9]) + bytes(26)), Frame(1, bytes([10]) + bytes(26))]
    assert [frame.port for frame in switch.send(frames)] == [2]  # no group, no session
    assert switch.control.statistics().received == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("table_add nowhere by_lpm 1 => 1", "no table 'nowhere'"),
        ("table_add lpm by_lpm 10.0.0.0 => 1", "expected VALUE/LENGTH"),
        ("table_add lpm by_lpm 10.0.0.0/8 1", "no =>"),
        ("table_add ternary by_ternary 1&&&1 0&&&0 1 => 1", "1 parameters and a priority"),
        ("table_add lpm by_lpm 10.0.0.0/8 => 1 2", "2 parameters; by_lpm has value"),
        ("table_add range by_range 1 1 => 1 1", "expected FIRST->LAST"),
        ("set_crc16_parameters 1", "the command set_crc16_parameters is not covered"),
        ("set_queue_rate 1 600", "outside its range"),
        ("table_clear a#b # ab", "no table 'a#b'"),
        ("mc_node_associate 5 0", "no multicast group 5"),
        ("register_write cells x 1", "invalid literal"),
    ],
)
def test_a_wrong_line_of_a_command_file_is_named(switch: FileSwitch, line: str, said: str) -> None:
    with pytest.raises(P4ControlError) as caught:
        run_commands(f"# commands\n\n{line}\n", switch.control, name="r1.txt")
    assert str(caught.value).startswith("r1.txt:3: ")
    assert said in str(caught.value)


@pytest.mark.slow
@pytest.mark.beside
def test_the_command_runs_a_program_on_files(path: Path, tmp_path: Path) -> None:
    frames, wanted = bmv2.load(recorded("features"))
    arguments = ["p4", "run", str(path), "-o", str(tmp_path / "out")]
    for port in (1, 2, 3, 4):
        mine = [(i, frame.data) for i, frame in enumerate(frames) if frame.port == port]
        bmv2.write_pcap(tmp_path / f"{port}.pcap", mine)
        arguments += ["-i", f"{port}={tmp_path}/{port}.pcap"]
    (tmp_path / "commands.txt").write_text(COMMANDS)
    done = CliRunner().invoke(kinda, [*arguments, "-c", str(tmp_path / "commands.txt")])
    assert done.exit_code == 0, done.output
    assert "300 in, 314 out" in done.output
    found = {}
    for file in (tmp_path / "out").iterdir():
        with file.open("rb") as opened:
            found[int(file.stem)] = [bytes(data) for _, data in dpkt.pcap.Reader(opened)]
    assert not _same(found, wanted)


def test_the_command_says_what_is_not_covered(tmp_path: Path) -> None:
    content = features()
    content["extern_instances"] = [{"name": "allowed", "id": 0}]
    done = CliRunner().invoke(kinda, ["p4", "compile", str(p4.written(tmp_path, content))])
    assert done.exit_code == 1
    assert "does not cover instances of externs (allowed)" in done.output


@pytest.mark.slow
@pytest.mark.beside
def test_no_packet_and_no_command_ends_it(path: Path) -> None:
    """Under the address and undefined-behaviour sanitizers: either would end the process."""
    dice = random.Random(3)
    with p4.started(path, p4.SANITIZED) as switch:
        run_commands(COMMANDS, switch.control)
        for _ in range(20):
            frames = [
                Frame(dice.randrange(600), bmv2.bytes_of(dice, dice.randrange(200)))
                for _ in range(500)
            ]
            switch.send([*frames, *packets(dice.getrandbits(32), 500)])
            lines = ["".join(chr(dice.randrange(32, 127)) for _ in range(30)) for _ in range(50)]
            switch.ask([f"{dice.choice(WORDS)} {dice.randrange(5)} {line}" for line in lines])
        switch.send([Frame(1, bytes([9]) + bytes(65534)), Frame(1, b"")])
        assert switch.control.statistics().received == 20002


WORDS = ("add", "modify", "delete", "default", "dump", "register-write", "group", "mirror", "clear")


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.skipif(not bmv2.find_simple_switch(), reason="no simple_switch (BMv2)")
def test_bmv2_itself_sends_the_same(switch: FileSwitch) -> None:
    frames = packets(20261127, 1000)
    switch.control.reset()
    run_commands(COMMANDS, switch.control)
    assert not _same(bmv2.by_port(switch.send(frames)), by_bmv2(frames))


def test_what_is_compiled_is_kept_by_content(tmp_path: Path) -> None:
    source = "int main(void) { return 7; }"
    made = compile_program(source, tmp_path)
    changed = made.stat().st_mtime_ns
    assert subprocess.run([made], check=False).returncode == 7
    assert compile_program(source, tmp_path) == made
    assert made.stat().st_mtime_ns == changed
    assert compile_program(source + "\n", tmp_path) != made
    with pytest.raises(ProgramError, match="ended with status 1"):
        compile_program("int main(void) { return nothing; }", tmp_path)
    assert not list(tmp_path.glob("compiling-*"))


def test_what_is_dropped_is_what_the_call_names(tmp_path: Path) -> None:
    """A control may have a copy of the standard metadata, and drop in that."""
    copied = [["egress_spec", 9, False], ["mcast_grp", 16, False], ["pad", 7, False]]
    port = p4.field("standard_metadata", "egress_spec")
    calls = [
        p4.assign(port, p4.hexstr(3)),
        p4.call("mark_to_drop", {"type": "header", "value": "copy"}),
        p4.call("_jump_if_zero", p4.field("h", "a"), p4.hexstr(4)),
        p4.assign(port, p4.field("copy", "egress_spec")),
    ]
    action = p4.action(0, "drop", calls)
    content = p4.program({"h": [["a", 8, False]]}, [action], [p4.table("t", [action])])
    content["header_types"].append({"name": "copy_t", "id": 2, "fields": copied})
    content["headers"].append({"name": "copy", "id": 2, "header_type": "copy_t", "metadata": True})
    with p4.started(p4.written(tmp_path, content)) as switch:
        out = switch.send([Frame(1, b"\0a"), Frame(1, b"\1b")])
        assert [(frame.port, frame.data) for frame in out] == [(3, b"\0a")]
        assert switch.control.statistics().dropped_by_program == 1


@pytest.mark.parametrize("name", ["assert", "assume"])
def test_a_packet_that_fails_an_assertion_is_dropped_and_does_nothing_more(
    name: str, tmp_path: Path
) -> None:
    """BMv2 ends instead: a switch in a testbed goes on, and counts."""
    cells = {"type": "register_array", "value": "cells"}
    holds = p4.op("b2d", p4.op("!=", p4.field("h", "a"), p4.hexstr(1)))
    calls = [
        p4.call(name, holds),
        p4.call("register_write", cells, p4.hexstr(0), p4.field("h", "a")),
    ]
    action = p4.action(0, "check", calls)
    content = p4.program({"h": [["a", 8, False]]}, [action], [p4.table("t", [action])])
    content["register_arrays"] = [{"name": "cells", "id": 0, "size": 1, "bitwidth": 8}]
    parsed = p4.op("b2d", p4.op("!=", p4.field("h", "a"), p4.hexstr(2)))
    content["parsers"][0]["parse_states"][0]["parser_ops"].append(
        {"op": "primitive", "parameters": [p4.call(name, parsed)]}
    )
    with p4.started(p4.written(tmp_path, content)) as switch:
        out = switch.send([Frame(1, bytes([value]) + b"xyz") for value in (5, 1, 2, 0)])
        assert [frame.data[0] for frame in out] == [5, 0]
        out = switch.send([Frame(1, b"\7xyz"), Frame(1, b"\1xyz"), Frame(1, b"\2xyz")])
        assert switch.control.register("cells").read(0) == 7
        assert switch.control.statistics().failed_assertion == 4


def test_a_header_may_be_chosen_by_a_condition(tmp_path: Path) -> None:
    choice = p4.op("==", p4.field("h", "a"), p4.hexstr(1))
    one, two = ({"type": "header", "value": name} for name in ("one", "two"))
    chosen = p4.call(
        "assign_header", {"type": "header", "value": "out"}, p4.op("?", choice, one, two)
    )
    field = {"op": "access_field", "left": p4.op("?", choice, two, one), "right": 0}
    read = p4.assign(p4.field("h", "b"), {"type": "expression", "value": field})
    action = p4.action(0, "choose", [chosen, read])
    types = {"h": [["a", 8, False], ["b", 8, False]]} | {
        name: [["v", 8, 0]] for name in ("one", "two", "out")
    }
    for kind in ("two", "out"):
        types[kind] = types["one"]
    content = p4.program(types, [action], [p4.table("t", [action])])
    for header in content["headers"][2:4]:
        header["header_type"] = "one"
    with p4.started(p4.written(tmp_path, content)) as switch:
        out = switch.send([Frame(1, b"\1.xyz"), Frame(1, b"\2.xyz")])
    assert [frame.data for frame in out] == [b"\1yxyx", b"\2xxyy"]
