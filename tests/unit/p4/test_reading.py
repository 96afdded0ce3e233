"""What is refused, and how the refusal names the construct and its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import NotCoveredError, P4ControlError, ProgramError
from pytest_kinda.p4 import read_program, translate
from pytest_kinda.p4.program import FieldRef, Key, MatchValue
from pytest_kinda.p4.values import match_value
from tests.support import p4_programs as p4

TYPES = {"h": [["a", 16, False], ["b", 16, False], ["o", 12, False], ["p", 4, False]]}


def _made(*calls: Any, **changes: Any) -> dict[str, Any]:
    action = p4.action(0, "act", calls)
    return p4.program(TYPES, [action], [p4.table("t", [action])], **changes)


def _with_table(**changes: Any) -> dict[str, Any]:
    action = p4.action(0, "act", [])
    return p4.program(TYPES, [action], [p4.table("t", [action], **changes)])


def _with_state(**changes: Any) -> dict[str, Any]:
    content = _made()
    state = content["parsers"][0]["parse_states"][0]
    state |= {"source_info": {"filename": "dir/made.p4", "line": 11}} | changes
    return content


def _lpm(name: str) -> list[dict[str, Any]]:
    return [{"match_type": "lpm", "name": name, "target": ["h", name], "mask": None}]


REFUSED = {
    "primitive": (_made(p4.call("teleport", p4.hexstr(1), p4.hexstr(1), line=42)),
                  "the primitive teleport", "made.p4:42"),
    "operation": (_made(p4.assign(p4.field("h", "a"), p4.op("max", p4.hexstr(1), p4.hexstr(2)))),
                  "the operation 'max'", "made.p4:7"),
    "extern": (_made(extern_instances=[{"name": "x"}]), "instances of externs (x)", "made.json"),
    "value set": (_made(parse_vsets=[{"name": "v", "compressed_bitwidth": 129}]),
                  "the value set v of 129 bits", "made.json"),
    "masked set": (_with_state(transitions=[{"type": "parse_vset", "value": "v", "mask": "0xff",
                                             "next_state": None}]),
                   "a mask over a parser value set", "made.p4:11"),
    "profile": (_with_table(type="indirect", action_profile="p"),
                "declared entries of the table t, which has an action profile", "made.json"),
    "table type": (_with_table(type="odd"), "the table t of type 'odd'", "made.json"),
    "direct meter": (_with_table(direct_meters="m"), "the meter 'm', which is missing",
                     "made.json"),
    "three rates": (_made(meter_arrays=[{"name": "m", "type": "bytes", "rate_count": 3}]),
                    "the meter m of 3 rates", "made.json"),
    "selector": (_made(pipelines=[{"name": "ingress", "init_table": None, "tables": [],
                                   "conditionals": [], "action_profiles": [
                                       {"name": "p", "selector": {"algo": "crc16", "input": [
                                           {"type": "payload"}]}}]}]),
                 "a payload in the selector of p", "made.json"),
    "digest": (_made(learn_lists=[{"name": "d", "id": 1, "elements": [
                   {"type": "hexstr", "value": "0x1"}]}]),
               "a hexstr in the digest d", "made.json"),
    "odd lpm": (_with_table(key=_lpm("o"), match_type="lpm"), "lpm match on 12 bits", "made.json"),
    "parser operation": (_with_state(parser_ops=[{"op": "leap", "parameters": []}]),
                         "the parser operation 'leap'", "made.p4:11"),
    "hash": (_made(calculations=[{"name": "c", "id": 0, "algo": "xxh3", "input": []}]),
             "the hash algorithm xxh3", "c"),
    "wide register": (_made(register_arrays=[{"name": "r", "size": 1, "bitwidth": 129}]),
                      "registers of 129 bits", "made.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_covered_is_refused_with_its_name_and_place(name: str, tmp_path: Path) -> None:
    content, construct, where = REFUSED[name]
    with pytest.raises(NotCoveredError) as caught:
        translate(read_program(p4.written(tmp_path, content)))
    assert construct in caught.value.construct
    assert caught.value.where.startswith(where)
    assert "does not cover" in str(caught.value)


def _broken(part: str, value: Any) -> dict[str, Any]:
    content = _made()
    content[part] = value
    return content


BROKEN = {
    "no version": (_broken("__meta__", {}), r"__meta__.*expected an object with 'version'"),
    "a later format": (_broken("__meta__", {"version": [3, 0]}), r"expected format version 2\.x"),
    "no headers": ({"__meta__": {"version": [2, 23]}}, "expected an object with 'header_types'"),
    "a missing field": (_made(p4.assign(p4.field("h", "zz"), p4.hexstr(1))), "a field of h"),
    "a missing header": (_made(p4.assign(p4.field("x", "a"), p4.hexstr(1))), "a header that"),
    "a missing union": (_made(p4.assign(p4.field("h", "a"), p4.op(
                            "valid_union", {"type": "header_union", "value": "u"}))),
                        "expected a header union that the program has"),
    "a missing value set": (_with_state(transitions=[{"type": "parse_vset", "value": "v",
                                                      "mask": None, "next_state": None}]),
                            "expected a value set that the program has"),
    "a missing profile": (_with_table(type="indirect", action_profile="p", default_entry=None),
                          "expected an action profile that the program has"),
    "a missing state": (_with_state(transitions=[{"value": "default", "next_state": "gone"}]),
                        "no parser state 'gone'"),
    "a missing node": (_with_table(next_tables={"act": "gone"}), "goes to 'gone'"),
    "text for a number": (_with_table(max_size="many"), "found 'many'; expected a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_program_is_an_error_with_its_place(name: str, tmp_path: Path) -> None:
    content, said = BROKEN[name]
    with pytest.raises(ProgramError, match=said):
        translate(read_program(p4.written(tmp_path, content)))


def test_a_file_that_is_no_json_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "router.p4"
    path.write_text("control Ingress() { }")
    with pytest.raises(ProgramError, match=r"router\.p4: cannot be read as JSON"):
        read_program(path)


def test_the_same_program_gives_the_same_c(tmp_path: Path) -> None:
    path = p4.written(tmp_path, _made(p4.assign(p4.field("h", "a"), p4.hexstr(1))))
    assert translate(read_program(path)) == translate(read_program(path))


def _key(match: str, width: int = 32) -> Key:
    return Key("h.k", match, FieldRef("h", "k"), width, None)


@pytest.mark.parametrize(
    ("match", "width", "given", "wanted"),
    [
        ("exact", 32, "10.0.0.1", MatchValue(0x0A000001, 0xFFFFFFFF)),
        ("exact", 48, "02:00:00:00:00:0a", MatchValue(0x02000000000A, (1 << 48) - 1)),
        ("exact", 128, "fd00::1", MatchValue((0xFD00 << 112) + 1, (1 << 128) - 1)),
        ("exact", 16, b"\x01\x02", MatchValue(0x0102, 0xFFFF)),
        ("exact", 16, "0x1f", MatchValue(31, 0xFFFF)),
        ("lpm", 32, "10.1.2.3/8", MatchValue(0x0A000000, 8)),
        ("lpm", 32, ("10.1.2.3", 32), MatchValue(0x0A010203, 32)),
        ("lpm", 32, None, MatchValue(0, 0)),
        ("ternary", 32, "10.1.2.3/8", MatchValue(0x0A000000, 0xFF000000)),
        ("ternary", 16, "0x1234 &&& 0xff00", MatchValue(0x1200, 0xFF00)),
        ("ternary", 16, None, MatchValue(0, 0)),
        ("ternary", 16, 5, MatchValue(5, 0xFFFF)),
        ("range", 16, "80..443", MatchValue(80, 443)),
        ("range", 16, 80, MatchValue(80, 80)),
        ("range", 16, None, MatchValue(0, 0xFFFF)),
    ],
)
def test_natural_values_become_what_a_field_holds(
    match: str, width: int, given: Any, wanted: MatchValue
) -> None:
    assert match_value(_key(match, width), given) == wanted


@pytest.mark.parametrize(
    ("match", "given", "said"),
    [
        ("exact", None, "expected one value"),
        ("exact", "ten", "expected a number, an address or a MAC"),
        ("exact", True, "expected a number"),
        ("exact", -1, "expected a value of 32 bits"),
        ("exact", "fd00::1", "expected a value of 32 bits"),
        ("lpm", "10.0.0.0/33", "expected at most 32"),
        ("range", "9..2", "expected first <= last"),
    ],
)
def test_values_that_do_not_fit_are_refused(match: str, given: Any, said: str) -> None:
    with pytest.raises(P4ControlError, match=said):
        match_value(_key(match), given)
