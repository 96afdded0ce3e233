"""Match keys as the bytes that tables are searched by."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kinda.p4.program import MatchValue, Table


def packed(table: Table, values: Sequence[MatchValue]) -> tuple[bytes, bytes]:
    """The key and the mask of an entry; of a range field the mask holds the range's end.

    Every field takes whole bytes, big-endian, with padding bits before it.
    """
    key, mask = b"", b""
    for field, wanted in zip(table.keys, values, strict=True):
        if field.match == "range":
            second = wanted.other
        elif field.match == "lpm":
            second = ((1 << wanted.other) - 1) << (field.width - wanted.other)
        elif field.match == "ternary":
            second = wanted.other
        else:
            second = (1 << (8 * field.size)) - 1
        key += wanted.value.to_bytes(field.size, "big")
        mask += second.to_bytes(field.size, "big")
    return key, mask
