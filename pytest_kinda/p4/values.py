"""Natural values as the numbers that a program's fields hold, checked against their widths."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.program import Key, MatchValue

Natural: TypeAlias = int | str | bytes | ipaddress.IPv4Address | ipaddress.IPv6Address
"""A number, an address, a MAC, bytes; of text ``"0x1f"`` and ``"12"`` are numbers too."""

Match: TypeAlias = Natural | tuple[Natural, Natural] | None
"""What an entry wants of a field: a value; ``("10.0.0.0", 8)`` or ``"10.0.0.0/8"`` for lpm,
``(value, mask)`` for ternary, ``(first, last)`` for range; None matches everything."""

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def number(value: Natural, width: int, what: str) -> int:
    """The number that a value means, at most ``width`` bits wide.

    Raises:
        P4ControlError: It is none, negative, or too wide; the error begins with ``what``.

    Example:
        >>> number("10.0.0.1", 32, "dstAddr")
        167772161
    """
    found: int
    if isinstance(value, bool) or not isinstance(
        value, (int, str, bytes, ipaddress.IPv4Address, ipaddress.IPv6Address)
    ):
        raise P4ControlError(
            f"{what}: found {value!r}; expected a number, an address, a MAC or bytes"
        )
    if isinstance(value, bytes):
        found = int.from_bytes(value, "big")
    elif isinstance(value, str):
        found = _parsed(value, what)
    else:
        found = int(value)
    if found < 0 or found >> width:
        raise P4ControlError(f"{what}: found {value!r}; expected a value of {width} bits")
    return found


def _parsed(text: str, what: str) -> int:
    if _MAC.fullmatch(text):
        return int(text.replace(":", ""), 16)
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(ipaddress.ip_address(text))
    except ValueError:
        raise P4ControlError(
            f"{what}: found {text!r}; expected a number, an address or a MAC"
        ) from None


def match_value(key: Key, wanted: Match) -> MatchValue:
    """What an entry wants of one key field.

    Raises:
        P4ControlError: It does not fit the field's match kind or width.
    """
    every = (1 << key.width) - 1
    what = f"{key.name} ({key.match}, {key.width} bits)"
    if key.match == "exact":
        if wanted is None or isinstance(wanted, tuple):
            raise P4ControlError(f"{what}: found {wanted!r}; expected one value")
        return MatchValue(number(wanted, key.width, what), every)
    if key.match == "lpm":
        return _prefix(key, wanted, what)
    if key.match == "ternary":
        if wanted is None:
            return MatchValue(0, 0)
        if isinstance(wanted, tuple):
            value, mask = (number(one, key.width, what) for one in wanted)
        elif isinstance(wanted, str) and "&&&" in wanted:
            value, mask = (number(one.strip(), key.width, what) for one in wanted.split("&&&", 1))
        elif isinstance(wanted, str) and "/" in wanted:
            prefix = _prefix(key, wanted, what)
            value, mask = prefix.value, every ^ (every >> prefix.other)
        else:
            value, mask = number(wanted, key.width, what), every
        return MatchValue(value & mask, mask)
    if wanted is None:
        return MatchValue(0, every)
    if isinstance(wanted, str) and ".." in wanted:
        low, high = (number(one.strip(), key.width, what) for one in wanted.split("..", 1))
    elif isinstance(wanted, tuple):
        low, high = (number(one, key.width, what) for one in wanted)
    else:
        low = high = number(wanted, key.width, what)
    if low > high:
        raise P4ControlError(f"{what}: found {wanted!r}; expected first <= last")
    return MatchValue(low, high)


def _prefix(key: Key, wanted: Match, what: str) -> MatchValue:
    if wanted is None:
        return MatchValue(0, 0)
    length: Natural = key.width
    if isinstance(wanted, tuple):
        wanted, length = wanted
    elif isinstance(wanted, str) and "/" in wanted:
        wanted, length = wanted.split("/", 1)
    bits = number(length, 16, f"{what}: prefix length")
    if bits > key.width:
        raise P4ControlError(f"{what}: found a prefix of {bits} bits; expected at most {key.width}")
    mask = ((1 << bits) - 1) << (key.width - bits)
    return MatchValue(number(wanted, key.width, what) & mask, bits)


def unpacked(keys: tuple[Key, ...], key: bytes, mask: bytes) -> tuple[MatchValue, ...]:
    """The match values of an entry from its packed key and mask."""
    found, at = [], 0
    for field in keys:
        value = int.from_bytes(key[at : at + field.size], "big")
        other = int.from_bytes(mask[at : at + field.size], "big")
        if field.match == "lpm":
            other = bin(other).count("1")
        elif field.match == "exact":
            other = (1 << field.width) - 1
        found.append(MatchValue(value, other))
        at += field.size
    return tuple(found)
