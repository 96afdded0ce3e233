"""Entries and packets for ``tests/data/p4/unions.json`` and ``objects.json``."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

from tests.support import p4_programs as p4
from tests.support.bmv2 import bytes_of

FOLDER = Path(__file__).parent.parent / "data" / "p4"
OBJECTS = FOLDER / "objects.json"

# So slow a rate that no meter earns anything while the packets come; a set of 17 bits, because
# the CLI of BMv2 1.15.5 makes values of others a byte too long.
OBJECT_COMMANDS = """
act_prof_create_member shared_ways profile 0x11
act_prof_create_member shared_ways profile_twice 0x11
act_prof_create_member shared_ways profile 0x33
act_prof_modify_member shared_ways profile 2 0x44
table_indirect_add by_profile 0 => 0
table_indirect_add by_profile 1 => 1
table_indirect_add by_profile 2 => 1
table_indirect_add by_profile 3 => 2
table_indirect_set_default by_profile 0

act_prof_create_member ways select_way 1
act_prof_create_member ways select_way 2
act_prof_create_member ways select_way 3
act_prof_create_member ways drop
act_prof_create_member ways select_way 5
act_prof_delete_member ways 1
act_prof_create_member ways select_way 6
act_prof_create_group ways
act_prof_create_group ways
act_prof_add_member_to_group ways 4 0
act_prof_add_member_to_group ways 0 0
act_prof_add_member_to_group ways 2 0
act_prof_add_member_to_group ways 1 0
act_prof_remove_member_from_group ways 2 0
act_prof_add_member_to_group ways 0 1
act_prof_add_member_to_group ways 1 1
act_prof_add_member_to_group ways 2 1
act_prof_add_member_to_group ways 3 1
act_prof_add_member_to_group ways 4 1
table_indirect_add_with_group by_selector 0&&&0xfc => 0 1
table_indirect_add_with_group by_selector 0&&&0xf0 => 1 2
table_indirect_add by_selector 0x10&&&0xf0 => 4 3
table_indirect_set_default by_selector 2

act_prof_create_member others again 1
act_prof_create_member others again 2
act_prof_create_member others again 3
act_prof_create_group others
act_prof_add_member_to_group others 0 0
act_prof_add_member_to_group others 1 0
act_prof_add_member_to_group others 2 0
table_indirect_set_default_with_group by_default 0
table_indirect_add by_default 7 => 1

table_add by_meter metered 1 => 0x61
table_add by_meter metered 2 => 0x62
table_add by_meter metered 3 => 0x63
meter_set_rates entry_rate 0 0.00000001:3 0.00000002:9
meter_set_rates entry_rate 1 0.00000001:0 0.00000002:2
meter_array_set_rates rates 0.00000001:5 0.00000001:20
meter_set_rates rates 3 0.00000001:0 0.00000001:0
meter_set_rates byte_rates 1 0.00000001:100 0.00000002:300
meter_set_rates byte_rates 4 0.00000001:50 0.00000001:50

table_add learning learn 1 =>
table_add learning learn 2 =>

pvs_add Parse.flows 0x10102
pvs_add Parse.flows 0x00003
pvs_add Parse.flows 0x1ffff
pvs_remove Parse.flows 0x1ffff
pvs_add Parse.pairs 0x0202
pvs_add Parse.pairs 0x07ff
"""


def object_frame(dice: random.Random) -> bytes:
    """A packet for ``objects.json``; some are cut."""
    kind = dice.choice((0, 1, 2, 3, 4, 9, 0x10, 0x1F, 0x20))
    flow = dice.choice((0x10102, 3, 0x1FFFF, dice.getrandbits(17), dice.getrandbits(17)))
    high, low = dice.choice(((1, 2), (1, 7), (3, 0x1FF), (dice.getrandbits(6), 9)))
    cell = dice.choice((*range(8), 1, 2, 3))
    data = struct.pack("!BIB", kind, flow << 15 | high << 9 | low, cell)
    data += bytes_of(dice, dice.randrange(8, 40))
    return data[: dice.randrange(2, 6)] + bytes(8) if dice.random() < 0.05 else data


def unions() -> dict[str, Any]:
    """``unions.json``, with a select that BMv2 can run and that p4c does not write rightly."""
    found: dict[str, Any] = json.loads((FOLDER / "unions.json").read_text())
    states = {one["name"]: one for one in found["parsers"][0]["parse_states"]}
    field = {"type": "union_stack_field", "value": ["options", "small", "data"]}
    end = {"type": "hexstr", "value": "0xff", "mask": None, "next_state": None}
    states["option_small"]["transition_key"] = [field]
    states["option_small"]["transitions"].insert(0, end)
    return found


def union_frame(dice: random.Random) -> bytes:
    """A packet for ``unions.json``: options of every kind, too many, cut."""
    kind = dice.choice((0, 1, 2, 4, 9, *(step << 4 | 3 for step in range(7))))
    count = dice.choice((0, 1, 2, 2, 3, 3, 4, 5))
    data = bytes([kind, count])
    if kind & 0x0F == 3:
        data += b"".join(_option(dice) for _ in range(count))
    elif kind == 4:
        value = bytes_of(dice, dice.randrange(5))
        other = dice.choice((value, bytes(2) + value, bytes_of(dice, 3)))
        data += bytes([1, len(value)]) + value + bytes([1, len(other)]) + other
    data += bytes_of(dice, dice.randrange(12, 30))
    return data[: dice.randrange(2, len(data))] if dice.random() < 0.1 else data


def _option(dice: random.Random) -> bytes:
    kind = dice.choice((1, 1, 2, 3, 3, 7))
    if kind == 1:
        return bytes([1, dice.choice((0, 5, 0xFF))])
    if kind == 2:
        return bytes([2]) + bytes_of(dice, 3)
    size = dice.choice((0, 1, 4, 8, 9))
    return bytes([kind, size]) + bytes_of(dice, size)


ALGORITHMS = (
    "csum16", "cksum16", "identity", "xxh64", "bmv2_hash", "xor16", "xor32", "crcCCITT",
    "crc16", "crc32", "crc8_custom", "crc16_custom", "crc32_custom", "crc64_custom",
)  # fmt: skip


def hashes() -> dict[str, Any]:
    """A program that writes every hash of a header and the payload into another header."""
    types = {
        "result": [[name, 64, False] for name in ALGORITHMS],
        "start": [["one", 8, False], ["two", 40, False]],
    }
    inputs = [
        p4.field("start", "one"),
        p4.field("start", "two"),
        {"type": "payload", "value": None},
    ]
    calls = [p4.call("add_header", {"type": "header", "value": "result"})]
    calls += [
        p4.call(
            "modify_field_with_hash_based_offset",
            p4.field("result", name),
            p4.hexstr(0),
            {"type": "calculation", "value": f"calc_{name}"},
            p4.hexstr(0xFFFFFFFFFFFFFFFF),
        )
        for name in ALGORITHMS
    ]
    action = p4.action(0, "hash", calls)
    content = p4.program(types, [action], [p4.table("t", [action])])
    content["calculations"] = [
        {"name": f"calc_{name}", "id": i, "algo": name, "input": inputs}
        for i, name in enumerate(ALGORITHMS)
    ]
    state = content["parsers"][0]["parse_states"][0]
    state["parser_ops"] = state["parser_ops"][1:]
    return content


def hash_frame(dice: random.Random) -> bytes:
    """A packet for ``hashes``, of every length."""
    return bytes_of(dice, dice.randrange(14, 120))
