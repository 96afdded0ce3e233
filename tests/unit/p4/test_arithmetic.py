"""Expressions in C against the same in Python's integers, which have no width, as BMv2's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4 import Frame, read_program, translate
from tests.support import p4_programs as p4

FIELDS = {"u8": 8, "u16": 16, "u33": 33, "u64": 64, "u128": 128, "u7": 7}
SIGNED = {"s16": 16, "s40": 40}
RESULTS = [("r8", 8), ("r31", 31), ("r64", 64), ("r128", 128), ("r1", 1)]
EXPRESSIONS = 60
PACKETS = 40


class Made:
    """A random expression as JSON and as a function of the fields' values."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def exact(self, depth: int) -> tuple[dict[str, Any], Any, int]:
        """An expression, how it is computed, and bits that are enough for it (with a sign)."""
        if depth == 0 or self.dice.random() < 0.2:
            if self.dice.random() < 0.3:
                value = self.dice.choice((0, 1, 2, 255, 65535, self.dice.getrandbits(24)))
                return p4.hexstr(value), lambda v: value, value.bit_length() + 1
            name = self.dice.choice(["u8", "u16", "u33", "u7", "s16", "s40"])
            width = (FIELDS | SIGNED)[name]
            return p4.field("h", name), lambda v: v[name], width + 1
        kind = self.dice.choice(
            ["+", "-", "*", "&", "|", "^", "~", ">>", "?", "two", "sat", "usat"]
        )
        one, left, bits = self.exact(depth - 1)
        if kind == "~":
            return p4.op("~", one), lambda v: ~left(v), bits + 1
        if kind in ("two", "sat", "usat"):
            width = self.dice.choice((2, 8, 13, 32, 50))
            name, function = {
                "two": ("two_comp_mod", _two),
                "sat": ("sat_cast", _sat),
                "usat": ("usat_cast", _usat),
            }[kind]
            made = p4.op(name, one, p4.hexstr(width))
            return made, lambda v: function(left(v), width), width + 1
        other, right, more = self.exact(depth - 1)
        if kind == "?":
            test, truth = self.truth(depth - 1)
            made = p4.op("?", test, one, other)
            return made, lambda v: left(v) if truth(v) else right(v), max(bits, more)
        if kind == ">>":
            count = p4.op("&", other, p4.hexstr(0xFF))
            return p4.op(">>", one, count), lambda v: left(v) >> (right(v) & 0xFF), bits
        needed = bits + more if kind == "*" else max(bits, more) + 1
        if needed > 120:
            return one, left, bits
        functions = {
            "+": lambda v: left(v) + right(v),
            "-": lambda v: left(v) - right(v),
            "*": lambda v: left(v) * right(v),
            "&": lambda v: left(v) & right(v),
            "|": lambda v: left(v) | right(v),
            "^": lambda v: left(v) ^ right(v),
        }
        return p4.op(kind, one, other), functions[kind], needed

    def low(self, depth: int) -> tuple[dict[str, Any], Any]:
        """An expression of any size, of which a store takes the low bits."""
        if depth == 0:
            made, function, _ = self.exact(1)
            if self.dice.random() < 0.5:
                name = self.dice.choice(["u64", "u128"])
                return p4.field("h", name), lambda v: v[name]
            return made, function
        one, left = self.low(depth - 1)
        other, right = self.low(depth - 1)
        kind = self.dice.choice(["+", "-", "*", "^", "<<", "&"])
        if kind == "<<":
            count = p4.field("h", "u7")
            return p4.op("<<", one, count), lambda v: left(v) << v["u7"]
        functions = {
            "+": lambda v: left(v) + right(v),
            "-": lambda v: left(v) - right(v),
            "*": lambda v: left(v) * right(v),
            "^": lambda v: left(v) ^ right(v),
            "&": lambda v: left(v) & right(v),
        }
        return p4.op(kind, one, other), functions[kind]

    def truth(self, depth: int) -> tuple[dict[str, Any], Any]:
        """A condition."""
        one, left, _ = self.exact(depth)
        other, right, _ = self.exact(depth)
        kind = self.dice.choice(["==", "!=", "<", "<=", ">", ">=", "and", "not"])
        if kind == "and":
            first, a = self.truth(0)
            second, b = self.truth(0)
            return p4.op("and", first, second), lambda v: a(v) and b(v)
        if kind == "not":
            first, a = self.truth(0)
            return p4.op("not", first), lambda v: not a(v)
        functions = {
            "==": lambda v: left(v) == right(v),
            "!=": lambda v: left(v) != right(v),
            "<": lambda v: left(v) < right(v),
            "<=": lambda v: left(v) <= right(v),
            ">": lambda v: left(v) > right(v),
            ">=": lambda v: left(v) >= right(v),
        }
        return p4.op(kind, one, other), functions[kind]


def _two(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _sat(value: int, width: int) -> int:
    return max(-(1 << (width - 1)), min(value, (1 << (width - 1)) - 1))


def _usat(value: int, width: int) -> int:
    return max(0, min(value, (1 << width) - 1))


def _kept_signed(value: int, width: int) -> int:
    """What BMv2's Field::export_bytes leaves in a signed field."""
    if not -(1 << (width - 1)) <= value <= (1 << width) - 1:
        return _two(value, width)
    return value


def _bits(values: list[tuple[int, int]]) -> bytes:
    number = size = 0
    for value, width in values:
        number = number << width | (value & ((1 << width) - 1))
        size += width
    return (number << (-size % 8)).to_bytes((size + 7) // 8, "big")


INPUT = [*FIELDS.items(), *SIGNED.items()]
PAD = -sum(width for _, width in INPUT) % 8


def test_expressions_have_the_values_of_integers_without_a_width(tmp_path: Path) -> None:
    made = Made(20261127)
    stores = []
    for number in range(EXPRESSIONS):
        name, width = RESULTS[number % len(RESULTS)]
        if number % 3 == 2:
            json, function = made.low(2)
        elif number % 7 == 3:
            test, truth = made.truth(2)
            json, function = p4.op("b2d", test), (lambda t: lambda v: int(t(v)))(truth)
        else:
            json, function, _ = made.exact(3)
        stores.append((f"{name}_{number}", width, json, function))
    pad = -sum(width for _, width, _, _ in stores) % 8
    types = {
        "h": [*([n, w, n in SIGNED] for n, w in INPUT), *([["pad", PAD, False]] if PAD else [])],
        "r": [[n, w, False] for n, w, _, _ in stores] + ([["pad", pad, False]] if pad else []),
    }
    calls = [p4.assign(p4.field("r", name), json) for name, _, json, _ in stores]
    action = p4.action(0, "compute", calls)
    size = sum(width for _, width, _, _ in stores) + pad
    frames, wanted = [], []
    for _ in range(PACKETS):
        values = {}
        for name, width in INPUT:
            value = made.dice.choice((0, 1, (1 << width) - 1, 1 << (width - 1), None))
            value = made.dice.getrandbits(width) if value is None else value
            values[name] = _two(value, width) if name in SIGNED else value
        head = _bits([(values[name], width) for name, width in INPUT] + [(0, PAD)])
        frames.append(Frame(1, head + bytes(size // 8)))
        found = [(function(values), width) for _, width, _, function in stores]
        wanted.append(head + _bits([*found, (0, pad)]))
    path = p4.written(tmp_path, p4.program(types, [action], [p4.table("t", [action])]))
    with p4.started(path) as switch:
        out = switch.send(frames)
    assert [frame.data for frame in out] == wanted


def test_signed_fields_keep_what_bmv2_keeps(tmp_path: Path) -> None:
    types = {"h": [["s", 8, True], ["into", 16, True], ["out", 16, False]]}
    widened = p4.assign(p4.field("h", "into"), p4.op("*", p4.field("h", "s"), p4.hexstr(300)))
    copied = p4.assign(p4.field("h", "out"), p4.op("&", p4.field("h", "into"), p4.hexstr(0xFFFF)))
    action = p4.action(0, "keep", [widened, copied])
    path = p4.written(tmp_path, p4.program(types, [action], [p4.table("t", [action])]))
    with p4.started(path) as switch:
        out = switch.send([Frame(1, bytes([value, 0, 0, 0, 0])) for value in (1, 127, 128, 255)])
    for frame, value in zip(out, (1, 127, -128, -1), strict=True):
        kept = _kept_signed(value * 300, 16) & 0xFFFF
        assert frame.data[1:5] == kept.to_bytes(2, "big") * 2


def test_what_does_not_fit_128_bits_is_refused_with_its_line(tmp_path: Path) -> None:
    wide = p4.field("h", "w")
    grown = p4.op(">>", p4.op("*", wide, wide), p4.hexstr(4))
    action = p4.action(0, "grow", [p4.call("assign", p4.field("h", "w"), grown, line=42)])
    content = p4.program({"h": [["w", 128, False]]}, [action], [p4.table("t", [action])])
    with pytest.raises(NotCoveredError, match=r"made.p4:42.*more than 128 bits"):
        translate(read_program(p4.written(tmp_path, content)))


def test_slices_of_what_is_wider_than_arithmetic_are_its_bits(tmp_path: Path) -> None:
    """A header looked at before it is extracted: p4c makes one wide field and slices of it."""
    slices = [(156, 4), (92, 64), (0, 16), (40, 120), (100, 128), (152, 16)]
    widths = [width for _, width in slices]
    pad = -sum(widths) % 8
    types = {"r": [[f"r{i}", width, False] for i, width in enumerate(widths)]}
    if pad:
        types["r"].append(["pad", pad, False])
    wide, every = p4.field("meta", "wide"), p4.hexstr((1 << 160) - 1)
    calls = [p4.call("add_header", {"type": "header", "value": "r"})]
    calls += [
        p4.assign(
            p4.field("r", f"r{i}"),
            p4.op("&", p4.op("&", p4.op(">>", wide, p4.hexstr(shift)), every),
                  p4.hexstr((1 << width) - 1)),
        )
        for i, (shift, width) in enumerate(slices)
    ]  # fmt: skip
    action = p4.action(0, "slice", calls)
    content = p4.program(types, [action], [p4.table("t", [action])])
    content["header_types"].append({"name": "meta_t", "id": 2, "fields": [["wide", 160, False]]})
    content["headers"].append({"name": "meta", "id": 2, "header_type": "meta_t", "metadata": True})
    look = {"type": "lookahead", "value": [16, 160]}
    content["parsers"][0]["parse_states"][0]["parser_ops"] = [
        {"op": "set", "parameters": [wide, look]}
    ]
    dice = random.Random(3)
    data = [bytes(dice.getrandbits(8) for _ in range(22)) for _ in range(20)]
    with p4.started(p4.written(tmp_path, content)) as switch:
        out = switch.send([*(Frame(1, one) for one in data), Frame(1, data[0][:21])])
    for frame, one in zip(out, data, strict=False):
        value = int.from_bytes(one[2:], "big")
        found = [(value >> shift, width) for shift, width in slices]
        assert frame.data == _bits([*found, (0, pad)]) + one
    assert out[-1].data == bytes(sum(widths) // 8 + bool(pad)) + data[0][:21]  # too short: zero
