"""Pieces of C text: strings, rows of initialisers, arrays with their length."""

from __future__ import annotations

from collections.abc import Sequence


def string(text: str) -> str:
    """A string literal; what is not ASCII becomes ``?``."""
    plain = text.encode("ascii", "replace").decode()
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def byte_string(data: bytes) -> str:
    """Bytes as a compound literal."""
    listed = ", ".join(str(one) for one in data) or "0"
    return f"(const uint8_t[]){{{listed}}}"


def rows(items: Sequence[str]) -> str:
    """Initialisers, one a line."""
    return "".join(f"    {one},\n" for one in items)


def array(kind: str, name: str, items: Sequence[str], qualifiers: str = "static") -> str:
    """An array of structs, and the number of its elements as ``NAME`` in capitals.

    It has an element more than that, since C has no empty arrays.
    """
    count = name.upper()
    return (
        f"#define {count} {len(items)}\n"
        f"{qualifiers} struct {kind} {name}[{count} + 1] = {{\n{rows(items)}}};"
    )
