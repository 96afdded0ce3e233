"""Compares the native engine with BMv2 on compiled programs, packet by packet.

``python -m tests.support.p4_corpus FOLDER [-n PACKETS] [-s SEED] [-o DONE] [-t TESTS]`` takes every
JSON file of a folder: random entries, members, meters and value sets, random packets, then the
packets of each port. Where they differ BMv2 runs once more: what it does not send again itself
(random numbers, races of its threads, fields of invalid headers) is no difference. It needs BMv2
(see ``tests/support/bmv2.py``). ``DONE`` keeps what was done, so that a run can go on. ``TESTS`` is
a folder of p4c's packet tests, which native runs as well (see ``tests/support/p4_stf.py``). With
``--sanitize`` native is compiled with the address sanitizer.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_kinda.errors import KindaError, NotCoveredError
from pytest_kinda.p4 import FileSwitch, Frame, compile_program, read_program, translate
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.program import Key, Program, Table
from tests.support import bmv2
from tests.support.p4_programs import ADDRESS, QUICK
from tests.support.p4_stf import tested

PORTS = range(8)
VALUES = (0, 1, 2, 3, 0x0A000001, 0x0A000002, 0x0800, 6, 17, 4, 5, 80, 0xFF, 0xFFFF)
SLOW = "0.00000001"  # so slow that a meter earns nothing while the packets come


# ---- entries ----


def commands(program: Program, dice: random.Random) -> str:
    """Random entries of every table, and what they need, as runtime commands."""
    lines = ["mc_mgrp_create 1", "mc_node_create 0 1 2", "mc_node_create 7 3"]
    lines += ["mc_node_associate 1 0", "mc_node_associate 1 1"]
    lines += ["mirroring_add 1 4", "mirroring_add 2 5"]
    for profile in program.profiles:
        names = {program.actions_by_id[one].name: one for one in profile.actions}
        for _ in range(5):
            name = dice.choice(sorted(names))
            lines.append(f"act_prof_create_member {profile.name} {name} "
                         f"{_parameters(program, names[name], dice)}".strip())  # fmt: skip
        if profile.selector is not None:
            for group in range(2):
                lines.append(f"act_prof_create_group {profile.name}")
                lines += [
                    f"act_prof_add_member_to_group {profile.name} {member} {group}"
                    for member in sorted(dice.sample(range(5), 3))
                ]
    for value_set in program.value_sets:
        lines += [
            f"pvs_add {value_set.name} {dice.choice(VALUES) & ((1 << value_set.width) - 1):#x}"
            for _ in range(3)
        ]
    for meters in program.meters:
        if meters.table is None:
            burst = dice.randrange(1, 400)
            rates = f"{SLOW}:{burst} {SLOW}:{burst * 2}"
            lines.append(f"meter_array_set_rates {meters.name} {rates}")
    for table in program.tables:
        lines += _entries(program, table, dice)
    return "\n".join(lines) + "\n"


def _entries(program: Program, table: Table, dice: random.Random) -> Iterator[str]:
    selects = any(p.name == table.profile and p.selector is not None for p in program.profiles)
    if not table.keys:
        if table.profile is not None:
            group = selects and dice.random() < 0.7
            with_group = "_with_group" if group else ""
            yield f"table_indirect_set_default{with_group} {table.name} {dice.randrange(2)}"
        return
    if table.entries is not None:
        return
    seen = set()
    handle = 0
    for number in range(6):
        match = tuple(_match(key, dice) for key in table.keys)
        if match in seen:
            continue
        seen.add(match)
        priority = [str(number + 1)] if table.match in ("ternary", "range") else []
        if table.profile is not None:
            group = selects and dice.random() < 0.7
            words = ["table_indirect_add" + ("_with_group" if group else ""), table.name]
            yield " ".join([*words, *match, "=>", str(dice.randrange(2)), *priority])
        else:
            action = dice.choice(table.actions)
            words = ["table_add", table.name, program.actions_by_id[action].name, *match, "=>"]
            yield " ".join([*words, *_parameters(program, action, dice).split(), *priority])
        if table.meter is not None:
            burst = dice.randrange(1, 30)
            yield f"meter_set_rates {table.meter} {handle} {SLOW}:{burst} {SLOW}:{burst * 2}"
        handle += 1


def _parameters(program: Program, action: int, dice: random.Random) -> str:
    widths = [one.width for one in program.actions_by_id[action].parameters]
    values = (dice.choice((0, 1, 2, 3, 4, dice.getrandbits(8))) for _ in widths)
    return " ".join(
        hex(value & ((1 << width) - 1)) for value, width in zip(values, widths, strict=True)
    )


def _match(key: Key, dice: random.Random) -> str:
    every = (1 << key.width) - 1
    value = dice.randrange(2) if key.target.field == "$valid$" else dice.choice(VALUES) & every
    if key.match == "exact":
        return hex(value)
    if key.match == "lpm":
        length = dice.choice([one for one in (0, 8, 24, key.width) if one <= key.width])
        return f"{value & (((1 << length) - 1) << (key.width - length)):#x}/{length}"
    if key.match == "ternary":
        return f"{value:#x}&&&{dice.choice((0, every, 0xFF & every)):#x}"
    return f"{value:#x}->{max(value, dice.choice(VALUES) & every):#x}"


# ---- packets ----


def packet(dice: random.Random) -> bytes:
    """A packet: Ethernet with IPv4 and TCP, UDP or others in it, cut, odd, or nothing but bytes."""
    if dice.random() < 0.4:
        return bmv2.bytes_of(dice, dice.randrange(14, 160))
    kind = dice.choice((*([0x800] * 8), 0x806, 0x86DD, 0x8100))
    data = bytes([0, 0, 0, 0, 0, dice.randrange(3)]) * 2 + struct.pack("!H", kind)
    if kind == 0x8100:
        data += struct.pack("!HH", dice.randrange(4), 0x800)
    if kind in (0x800, 0x8100):
        data += _ipv4(dice)
    else:
        data += bmv2.bytes_of(dice, 60)
    if dice.random() < 0.15:
        data = data[: dice.randrange(14, len(data) + 1)]
    return data


def _ipv4(dice: random.Random) -> bytes:
    body = bytes(dice.getrandbits(8) for _ in range(dice.randrange(0, 90)))
    protocol = dice.choice((6, 6, 17, 17, 1, 47, 253))
    words = dice.choice((5, 5, 5, 5, 5, 5, 6, 15, 4))
    ports = struct.pack("!HH", *(dice.choice((80, 0, 1, 5, 0xFFFF)) for _ in range(2)))
    layer = ports + bytes(4)
    if protocol == 6:
        offset = dice.choice((0x50, 0x60, 0x80))
        options = dice.choice((b"", b"\1\1\1\0", b"\2\4\5\xb4", b"\3\3\7\0", b"\5\x0a"))
        layer = ports + struct.pack("!IIBBHHH", 1, 2, offset, 2, 100, 0, 0) + options
    elif protocol == 17:
        layer = ports + struct.pack("!HH", 8 + len(body), dice.choice((0, 99)))
    options = bytes(max(0, 4 * (words - 5)))
    length = 20 + len(options) + len(layer) + len(body)
    head = struct.pack("!BBHHHBBH", 0x40 | words, dice.choice((0, 0x80, 0x5C)), length, 1, 0,
                       dice.choice((64, 1, 0)), protocol, 0)  # fmt: skip
    address = (b"\x0a\0\0\1", b"\x0a\0\0\2", b"\0\0\0\1")
    return head + dice.choice(address) + dice.choice(address) + options + layer + body


# ---- both ----


def compared(path: Path, cache: Path, count: int, seed: int, flags: Sequence[str] = QUICK) -> str:
    """One program's result, in a word or more: same, differs, refused, or what went wrong."""
    try:
        program = read_program(path)
        binary = compile_program(translate(program), cache, flags=flags)
    except NotCoveredError as problem:
        return f"refused {problem.construct} ({problem.where})"
    except KindaError as problem:
        return f"failed {str(problem)[:700]}"
    dice = random.Random(seed)
    given = commands(program, dice)
    result = _compared(path, program, binary, given, count, dice)
    if result.startswith("bmv2"):  # some entries end it
        again = _compared(path, program, binary, "", count, dice)
        result = result if again.startswith("bmv2") else f"{again} without entries"
    return result


def _compared(
    path: Path, program: Program, binary: Path, given: str, count: int, dice: random.Random
) -> str:
    frames = [Frame(dice.choice((1, 2, 3, 4)), packet(dice)) for _ in range(count)]
    with FileSwitch(program, binary) as switch:
        try:
            run_commands(given, switch.control)
        except KindaError as problem:
            return f"commands {problem}"
        found = bmv2.by_port(one for one in switch.send(frames) if one.port in PORTS)
    try:
        reference = _by_bmv2(path, frames, given)
        parts = _differences(found, reference)
        counts = f"{sum(map(len, found.values()))} {sum(map(len, reference.values()))}"
        if not parts:
            return f"same {counts}"
        itself = _differences(reference, _by_bmv2(path, frames, given), "bmv2 ", "again")
    except AssertionError as problem:
        return f"bmv2 {str(problem)[:300]}"
    return "".join([f"{'unstable' if itself else 'differs'} {counts}", *parts, *itself])


def _by_bmv2(path: Path, frames: Sequence[Frame], given: str) -> dict[int, list[bytes]]:
    for start in (4, 10, 30):
        with tempfile.TemporaryDirectory() as name, contextlib.suppress(bmv2.TooSlow):
            return bmv2.run_bmv2(
                path, frames, PORTS, Path(name), commands=given, start=start, still=1.5
            )
    raise AssertionError("too slow")


def _differences(
    one: Mapping[int, Sequence[bytes]],
    two: Mapping[int, Sequence[bytes]],
    first: str = "native",
    second: str = "bmv2 ",
) -> list[str]:
    """A line for each of a few packets that only one of them sent."""
    parts = []
    for port in PORTS:
        mine, other = Counter(one.get(port, ())), Counter(two.get(port, ()))
        parts += [f"\n  {first} {port} {data.hex()}" for data in list(mine - other)[:2]]
        parts += [f"\n  {second} {port} {data.hex()}" for data in list(other - mine)[:2]]
    return parts


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", "--packets", type=int, default=400)
    parser.add_argument("-s", "--seed", type=int, default=1)
    parser.add_argument("-o", "--done", type=Path)
    parser.add_argument("-t", "--tests", type=Path)
    parser.add_argument("--sanitize", action="store_true")
    given = parser.parse_args()
    flags = (*QUICK, *(ADDRESS if given.sanitize else ()))
    done: dict[str, str] = {}
    if given.done and given.done.exists():
        for line in given.done.read_text().splitlines():
            if not line.startswith(" "):
                done[line.split()[0]] = line.split()[1]
    with tempfile.TemporaryDirectory() as cache:
        for path in sorted(given.folder.glob("*.json")):
            if path.stem in done:
                continue
            result = compared(path, Path(cache), given.packets, given.seed, flags)
            test = given.tests / f"{path.stem}.stf" if given.tests else None
            if test and test.exists():
                result += f"\n  packet tests {tested(path, test, Path(cache), flags)}"
            done[path.stem] = result.split()[0]
            print(path.stem, result, flush=True)
            if given.done:
                with given.done.open("a") as file:
                    file.write(f"{path.stem} {result}\n")
    print(len(done), "programs:", dict(Counter(done.values())))


if __name__ == "__main__":
    main()
