"""Thrift's binary protocol, as far as BMv2 speaks it: calls written, answers read.

Specification: ``doc/specs/thrift-binary-protocol.md`` of Apache Thrift (strict messages, unframed).
It is this small, and the default engine must not need an extra package: so it is not a dependency.
Structs are maps from field numbers to values, strings are bytes: names are in the services' IDL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from pytest_kinda.errors import P4ControlError

VERSION = 0x80010000
CALL, REPLY, EXCEPTION = 1, 2, 3
MOST = 64 << 20
"""Bytes of a string and items of a list: what is longer is no answer of a switch."""


class Kind(IntEnum):
    """The types of values on the wire."""

    BOOL = 2
    BYTE = 3
    DOUBLE = 4
    I16 = 6
    I32 = 8
    I64 = 10
    STRING = 11
    STRUCT = 12
    MAP = 13
    SET = 14
    LIST = 15


_PLAIN = {
    Kind.BOOL: struct.Struct("!?"),
    Kind.BYTE: struct.Struct("!b"),
    Kind.DOUBLE: struct.Struct("!d"),
    Kind.I16: struct.Struct("!h"),
    Kind.I32: struct.Struct("!i"),
    Kind.I64: struct.Struct("!q"),
}
_HEAD = struct.Struct("!bh")
_WORD = struct.Struct("!i")


@dataclass(frozen=True)
class Value:
    """A value to be written, with its type."""

    kind: Kind
    data: bytes


def flag(value: bool) -> Value:
    """A ``bool``."""
    return Value(Kind.BOOL, _PLAIN[Kind.BOOL].pack(value))


def i32(value: int) -> Value:
    """An ``i32``."""
    return Value(Kind.I32, _PLAIN[Kind.I32].pack(value))


def i64(value: int) -> Value:
    """An ``i64``; unsigned numbers of 64 bits are taken as C++ takes them."""
    return Value(Kind.I64, _PLAIN[Kind.I64].pack((value + (1 << 63)) % (1 << 64) - (1 << 63)))


def double(value: float) -> Value:
    """A ``double``."""
    return Value(Kind.DOUBLE, _PLAIN[Kind.DOUBLE].pack(value))


def text(value: str | bytes) -> Value:
    """A ``string`` or ``binary``: the same on the wire."""
    data = value.encode() if isinstance(value, str) else value
    return Value(Kind.STRING, _WORD.pack(len(data)) + data)


def record(fields: Mapping[int, Value]) -> Value:
    """A struct by its fields' numbers.

    >>> record({1: i32(5)}).data.hex()
    '0800010000000500'
    """
    parts = (_HEAD.pack(one.kind, number) + one.data for number, one in fields.items())
    return Value(Kind.STRUCT, b"".join(parts) + b"\0")


def items(kind: Kind, values: Iterable[Value]) -> Value:
    """A ``list`` of values of one type."""
    listed = list(values)
    head = struct.pack("!bi", kind, len(listed))
    return Value(Kind.LIST, head + b"".join(one.data for one in listed))


def message(kind: int, name: str, number: int, content: Value) -> bytes:
    """A message: a call with its arguments, or an answer to one."""
    head = struct.pack("!II", VERSION | kind, len(name)) + name.encode()
    return head + _WORD.pack(number) + content.data


Found: TypeAlias = Any
"""A value that was read: int, bool, float, bytes, list, or a dict by field numbers."""


@dataclass(frozen=True)
class Message:
    """A message that was read; ``fields`` are those of its struct."""

    kind: int
    name: str
    number: int
    fields: Mapping[int, Found]


class Incomplete(Exception):
    """More bytes are needed."""


class Reader:
    """Messages out of a stream that comes in pieces."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._data += data

    def message(self) -> Message | None:
        """The next message, None where more bytes are needed for it.

        Raises P4ControlError for bytes that are none.
        """
        self._at = 0
        try:
            word = int.from_bytes(self._taken(4), "big")
            if word & 0xFFFF0000 != VERSION:
                raise P4ControlError(
                    f"found {word:08x}; expected a message of Thrift's binary protocol",
                    remedy="something other than BMv2 listens on the switch's control port",
                )
            name = self._string().decode("utf-8", "replace")
            number = self._plain(Kind.I32)
            found = Message(word & 0xFF, name, number, self._fields())
        except Incomplete:
            return None
        del self._data[: self._at]
        return found

    def _taken(self, size: int) -> bytes:
        end = self._at + size
        if not 0 <= size <= MOST:
            raise P4ControlError(f"found a length of {size} in an answer; expected up to {MOST}")
        if end > len(self._data):
            raise Incomplete
        found = bytes(self._data[self._at : end])
        self._at = end
        return found

    def _plain(self, kind: Kind) -> Any:
        form = _PLAIN[kind]
        return form.unpack(self._taken(form.size))[0]

    def _string(self) -> bytes:
        return self._taken(self._plain(Kind.I32))

    def _count(self) -> int:
        count = int(self._plain(Kind.I32))
        if not 0 <= count <= MOST:
            raise P4ControlError(f"found {count} items in an answer; expected up to {MOST}")
        return count

    def _kind(self) -> Kind:
        number = self._plain(Kind.BYTE)
        try:
            return Kind(number)
        except ValueError:
            raise P4ControlError(f"found type {number} in an answer; expected Thrift's") from None

    def _fields(self) -> dict[int, Found]:
        found = {}
        while self._data[self._at : self._at + 1] != b"\0":
            if self._at >= len(self._data):
                raise Incomplete
            kind = self._kind()
            number = self._plain(Kind.I16)
            found[number] = self._value(kind)
        self._at += 1
        return found

    def _value(self, kind: Kind) -> Found:
        if kind in _PLAIN:
            return self._plain(kind)
        if kind is Kind.STRING:
            return self._string()
        if kind is Kind.STRUCT:
            return self._fields()
        if kind is Kind.MAP:
            key, value = self._plain(Kind.BYTE), self._plain(Kind.BYTE)
            count = self._count()  # of an empty map the types may be 0
            return {self._value(Kind(key)): self._value(Kind(value)) for _ in range(count)}
        one = self._kind()
        return [self._value(one) for _ in range(self._count())]
