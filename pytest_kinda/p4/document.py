"""Parts of BMv2's JSON, with their places: in the P4 source where it says so, else in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from pytest_kinda.errors import NotCoveredError, ProgramError

_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    bool: "true or false",
}


class Part:
    """A JSON value and where it stands."""

    def __init__(self, value: Any, where: str) -> None:
        self.value = value
        self.where = where
        if isinstance(value, dict):
            source = value.get("source_info")
            if isinstance(source, dict) and source.get("filename") and source.get("line"):
                name = PurePath(str(source["filename"])).name
                self.where = f"{name}:{source['line']}"

    def bad(self, expected: str) -> ProgramError:
        """The error that says what was expected here."""
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ProgramError(
            f"{self.where}: found {shown}; expected {expected}",
            remedy="give the JSON file that p4c's bmv2 backend (p4c-bm2-ss) writes",
        )

    def refuse(self, construct: str) -> NotCoveredError:
        """The error that says that this construct is not covered."""
        return NotCoveredError(construct, self.where)

    def _as(self, kind: type) -> Any:
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            raise self.bad(_KINDS[kind])
        return self.value

    @property
    def text(self) -> str:
        """The value as a string."""
        return str(self._as(str))

    @property
    def number(self) -> int:
        """The value as a number."""
        return int(self._as(int))

    @property
    def truth(self) -> bool:
        """The value as a boolean."""
        return bool(self._as(bool))

    @property
    def name(self) -> str | None:
        """The value as a string, or None."""
        return None if self.value is None else self.text

    @property
    def hexadecimal(self) -> int:
        """A "hexstr": ``0x1f``, ``-0x01``, ``1f``."""
        text = self.text
        try:
            sign = -1 if text.startswith("-") else 1
            return sign * int(text.lstrip("-"), 16)
        except ValueError:
            raise self.bad("a hexadecimal number") from None

    def __iter__(self) -> Iterator[Part]:
        for index, item in enumerate(self._as(list)):
            yield Part(item, f"{self.where}[{index}]")

    def __len__(self) -> int:
        return len(self._as(list))

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str | int) -> Part:
        if isinstance(key, int):
            items = self._as(list)
            if key >= len(items):
                raise self.bad(f"a list of at least {key + 1}")
            return Part(items[key], f"{self.where}[{key}]")
        found = self._as(dict)
        if key not in found:
            raise self.bad(f"an object with {key!r}")
        return Part(found[key], f"{self.where}.{key}")

    def get(self, key: str, default: Any) -> Part:
        """A part that may be missing or null; ``default`` stands for it then."""
        value = self._as(dict).get(key)
        return Part(default if value is None else value, f"{self.where}.{key}")
