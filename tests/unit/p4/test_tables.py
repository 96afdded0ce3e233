"""Tables of every match kind against a search that looks at every entry; the control protocol."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4 import FileSwitch, Frame, NewEntry
from tests.support import p4_programs as p4

FIELDS = {"e": 16, "l": 32, "t": 12, "r": 20, "wide": 128}
KINDS = ("exact", "lpm", "ternary", "range", "mixed")


def _key(name: str, match: str) -> dict[str, Any]:
    return {"match_type": match, "name": f"h.{name}", "target": ["h", name], "mask": None}


def _program() -> dict[str, Any]:
    results = [[f"by_{kind}", 8, False] for kind in KINDS]
    types = {"h": [*([name, width, False] for name, width in FIELDS.items()), *results]}
    actions = [
        p4.action(
            i,
            f"found_{kind}",
            [p4.assign(p4.field("h", f"by_{kind}"), {"type": "runtime_data", "value": 0})],
            value=8,
        )
        for i, kind in enumerate(KINDS)
    ]
    keys = {
        "exact": [_key("e", "exact"), _key("wide", "exact")],
        "lpm": [_key("l", "lpm"), _key("e", "exact")],
        "ternary": [_key("t", "ternary"), _key("e", "ternary")],
        "range": [_key("r", "range")],
        "mixed": [_key("r", "range"), _key("t", "ternary"), _key("e", "exact")],
    }
    tables = []
    for i, kind in enumerate(KINDS):
        after = f"MyIngress.{KINDS[i + 1]}" if i + 1 < len(KINDS) else None
        tables.append(
            p4.table(
                f"MyIngress.{kind}",
                [actions[i]],
                key=keys[kind],
                match_type="range" if kind == "mixed" else kind,
                max_size=200,
                with_counters=True,
                base_default_next=after,
                next_tables={actions[i]["name"]: after},
            )
        )
    return p4.program(types, actions, tables)


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileSwitch]:
    path = p4.written(tmp_path_factory.mktemp("p4"), _program())
    with p4.started(path) as found:
        yield found


@pytest.fixture(autouse=True)
def _back_to_the_start(switch: FileSwitch) -> None:
    switch.control.reset()


def _frame(values: dict[str, int]) -> Frame:
    number = 0
    for name, width in FIELDS.items():
        number = number << width | values.get(name, 0)
    return Frame(1, number.to_bytes(26, "big") + bytes(5))


def _found(frame: Frame, kind: str) -> int:
    return frame.data[26 + KINDS.index(kind)]


def _values(dice: random.Random) -> dict[str, int]:
    """Few values, so that entries meet packets and one another."""
    small = {name: dice.choice((0, 1, 5, 6, (1 << w) - 1)) for name, w in FIELDS.items()}
    small["l"] = dice.choice((0x0A000000, 0x0A000100, 0x0A010203, 0, 0xFFFFFFFF))
    small["r"] = dice.randrange(40)
    return small


def _lookup(entries: list[tuple[Any, int, int]], values: dict[str, int]) -> int:
    """The value of the entry that wins: smallest rank, then the one that was added first."""
    matching = [(rank, i, value) for i, (test, rank, value) in enumerate(entries) if test(values)]
    return min(matching)[2] if matching else 0


def test_every_kind_finds_what_a_full_search_finds(switch: FileSwitch) -> None:
    dice = random.Random(7)
    reference: dict[str, list[tuple[Any, int, int]]] = {kind: [] for kind in KINDS}

    def add(kind: str, match: dict[str, Any], test: Any, rank: int, priority: int | None) -> None:
        value = len(reference[kind]) + 1
        with contextlib.suppress(P4ControlError):  # a duplicate, as the dump says in the end
            switch.control.table(kind).add(match, f"found_{kind}", {"value": value}, priority)
            reference[kind].append((test, rank, value))

    for _ in range(60):
        v, mask = _values(dice), dice.choice((0xFFF, 0xF, 0x1, 0))
        length, low = dice.choice((0, 8, 24, 31, 32)), dice.randrange(30)
        high, rank = low + dice.randrange(12), dice.randrange(1, 5)
        top = ((1 << length) - 1) << (32 - length)
        add(
            "exact",
            {"e": v["e"], "wide": v["wide"]},
            lambda p, v=v: (p["e"], p["wide"]) == (v["e"], v["wide"]),
            0,
            None,
        )
        add(
            "lpm",
            {"l": (v["l"], length), "e": v["e"]},
            lambda p, v=v, top=top: p["l"] & top == v["l"] & top and p["e"] == v["e"],
            32 - length,
            None,
        )
        add(
            "ternary",
            {"t": (v["t"], mask)},
            lambda p, v=v, mask=mask: p["t"] & mask == v["t"] & mask,
            rank,
            rank,
        )
        add(
            "range",
            {"r": (low, high)},
            lambda p, low=low, high=high: low <= p["r"] <= high,
            rank,
            rank,
        )
        add("mixed", {"r": f"{low}..{high}", "t": (v["t"], mask), "e": v["e"]},
            lambda p, v=v, low=low, high=high, mask=mask: low <= p["r"] <= high
            and p["t"] & mask == v["t"] & mask and p["e"] == v["e"], rank, rank)  # fmt: skip
    packets = [_values(dice) for _ in range(400)]
    out = switch.send([_frame(values) for values in packets])
    for frame, values in zip(out, packets, strict=True):
        found = {kind: _found(frame, kind) for kind in KINDS}
        assert found == {kind: _lookup(reference[kind], values) for kind in KINDS}
    for kind in KINDS:
        dumped = switch.control.table(kind).dump()
        assert [entry.params["value"] for entry in dumped.entries] == [
            value for _, _, value in reference[kind]
        ]
        hits = sum(_found(frame, kind) > 0 for frame in out)
        assert sum(entry.packets for entry in dumped.entries) == hits
        assert sum(entry.bytes for entry in dumped.entries) == hits * 31


def test_entries_come_and_go(switch: FileSwitch) -> None:
    table = switch.control.table("lpm")
    wide = table.add({"l": "10.0.0.0/8", "e": 1}, "found_lpm", {"value": 1})
    narrow = table.add({"l": "10.1.2.0/24", "e": 1}, "found_lpm", {"value": 2})
    packet = _frame({"l": 0x0A010203, "e": 1})

    def seen() -> int:
        return _found(switch.send([packet])[0], "lpm")

    assert seen() == 2
    table.modify(narrow, "found_lpm", {"value": 3})
    assert seen() == 3
    table.delete(narrow)
    assert seen() == 1
    assert table.add({"l": "10.1.2.3", "e": 1}, "found_lpm", {"value": 4}) == narrow
    assert seen() == 4
    table.default("found_lpm", {"value": 9})
    table.clear()
    assert seen() == 9
    assert table.dump().default == ("found_lpm", {"value": 9})
    table.default_reset()
    assert seen() == 0
    with pytest.raises(P4ControlError, match="no entry has this handle"):
        table.delete(wide)


def test_five_hundred_entries_are_one_exchange_and_a_full_table_says_so(
    switch: FileSwitch,
) -> None:
    table = switch.control.table("exact")
    entries = [NewEntry({"e": i, "wide": 0}, "found_exact", {"value": 1}) for i in range(201)]
    with pytest.raises(P4ControlError, match=r"MyIngress\.exact: error full"):
        table.add_all(entries)
    assert len(table.dump().entries) == 200


@pytest.mark.parametrize(
    ("match", "action", "params", "priority", "said"),
    [
        ({"e": 1}, "found_exact", {"value": 1}, None, "no match for h.wide, which is exact"),
        ({"e": 65536, "wide": 0}, "found_exact", {"value": 1}, None, "expected a value of 16 bits"),
        ({"e": 1, "wide": 0, "x": 1}, "found_exact", {"value": 1}, None, "it has h.e (exact)"),
        ({"e": 1, "wide": 0}, "found", {"value": 1}, None, "the program has found_exact"),
        ({"e": 1, "wide": 0}, "found_exact", {}, None, "no value for value"),
        ({"e": 1, "wide": 0}, "found_exact", {"value": 256}, None, "found_exact.value"),
        ({"e": 1, "wide": 0}, "found_exact", {"value": 1, "z": 1}, None, "no parameter 'z'"),
        ({"e": 1, "wide": 0}, "found_exact", {"value": 1}, 3, "exact: no priority"),
    ],
)
def test_what_does_not_fit_is_said_before_it_is_sent(
    switch: FileSwitch, match: Any, action: str, params: Any, priority: Any, said: str
) -> None:
    with pytest.raises(P4ControlError) as caught:
        switch.control.table("exact").add(match, action, params, priority)
    assert said in str(caught.value)
    assert not switch.control.table("exact").dump().entries


def test_a_name_that_is_missing_is_answered_with_those_that_exist(switch: FileSwitch) -> None:
    with pytest.raises(P4ControlError, match=r"no table 'terary'.*has MyIngress\.ternary"):
        switch.control.table("terary")
    with pytest.raises(P4ControlError, match="needs a priority"):
        switch.control.table("ternary").add({"t": 1}, "found_ternary", {"value": 1})


def test_the_protocol_refuses_nonsense_and_goes_on(switch: FileSwitch) -> None:
    words = ["", "add", "add 99 0 00 00 0", "add 0 0 zz zz 0 1", "modify 0 5 0 1", "group 0 1 1",
             "default 0 0 fff", "register-read 0 0 1", "mirror 40000 1 0", "add 0 -1 " + "0" * 36,
             "dump x", "x" * 60000, "default 0 0 1 1"]  # fmt: skip
    for answer in switch.ask(words):
        assert answer[-1].startswith("error "), answer
    assert switch.control.statistics().received == 0


def test_what_is_loaded_is_what_was_read(switch: FileSwitch) -> None:
    assert switch.control.loaded() == switch.control.program.digest
