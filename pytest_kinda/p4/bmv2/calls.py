"""The calls that commands on tables, profiles and value sets are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.thrift import Kind, Value, double, flag, i32, i64, items, record, text
from pytest_kinda.p4.program import Key, MatchValue, Table

CONTEXT = i32(0)
"""``cxt_id``: simple_switch has one context."""

EXACT, LPM, TERNARY, VALID, RANGE = range(5)
"""``BmMatchParamType``; a match has its field in its struct one number later."""


def standard(name: str, *arguments: Value) -> Call:
    """A call of the service ``standard`` on the context."""
    return Call("standard", f"bm_{name}", (CONTEXT, *arguments))


def table_call(name: str, table: Table, *arguments: Value) -> Call:
    """A call on a table."""
    return standard(f"mt_{name}", text(table.name), *arguments)


def multicast(name: str, *arguments: Value) -> Call:
    """A call of the replication engine."""
    return Call("simple_pre_lag", f"bm_mc_{name}", (CONTEXT, *arguments))


def switch(name: str, *arguments: Value) -> Call:
    """A call of simple_switch's own service."""
    return Call("simple_switch", name, arguments)


def match_of(keys: Sequence[Key], key: bytes, mask: bytes) -> Value:
    """An entry's match from its packed key and mask (see ``packing``)."""
    found, at = [], 0
    for field in keys:
        value, other = key[at : at + field.size], mask[at : at + field.size]
        at += field.size
        if field.match == "exact":
            kind, inner = EXACT, record({1: text(value)})
        elif field.match == "lpm":
            length = bin(int.from_bytes(other, "big")).count("1")
            kind, inner = LPM, record({1: text(value), 2: i32(length)})
        elif field.match == "range":
            kind, inner = RANGE, record({1: text(value), 2: text(other)})
        elif field.match == "valid":
            kind, inner = VALID, record({1: flag(any(value))})
        else:
            kind, inner = TERNARY, record({1: text(value), 2: text(other)})
        found.append(record({1: i32(kind), kind + 2: inner}))
    return items(Kind.STRUCT, found)


def match_values(keys: Sequence[Key], found: Sequence[Mapping[int, Any]]) -> list[MatchValue]:
    """The match of an entry that was read, as ``packing.packed`` takes it."""
    values = []
    for field, one in zip(keys, found, strict=True):
        inner = one[one[1] + 2]
        first = _number(inner[1])
        second = inner.get(2, 0)
        values.append(MatchValue(first, second if field.match == "lpm" else _number(second)))
    return values


def _number(value: Any) -> int:
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


def data_of(arguments: Iterable[tuple[int, int]]) -> Value:
    """The parameters of an action: values and their widths in bits."""
    packed = (value.to_bytes((width + 7) // 8, "big") for value, width in arguments)
    return items(Kind.STRING, [text(one) for one in packed])


def rates_of(words: Sequence[str]) -> Value:
    """The rates of a meter, committed first: per microsecond, and the burst, of each."""
    pairs = zip(words[::2], words[1::2], strict=True)
    some = [record({1: double(float(rate)), 2: i32(int(burst))}) for rate, burst in pairs]
    return items(Kind.STRUCT, some)


def port_map(ports: Iterable[int]) -> Value:
    """Ports as a bit string, the highest first.

    >>> port_map([0, 2]).data[4:]
    b'101'
    """
    listed = set(ports)
    bits = ("1" if port in listed else "0" for port in range(max(listed, default=0), -1, -1))
    return text("".join(bits))


def count_of(packets: int, size: int) -> Value:
    """A counter's value: bytes come first."""
    return record({1: i64(size), 2: i64(packets)})
