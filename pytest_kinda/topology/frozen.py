"""A mapping that can be hashed, and the freezing of what authors write as lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Item = TypeVar("Item")


class FrozenMap(Mapping[str, Item]):
    """An immutable mapping, equal and hashed by its content whatever its order."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Item] | None = None) -> None:
        # sorted once, so that whatever is made from it does not depend on the author's order
        given = dict(items or {})
        self._items: dict[str, Item] = {key: given[key] for key in sorted(given, key=str)}

    def __getitem__(self, key: str) -> Item:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


EMPTY: FrozenMap[Any] = FrozenMap()


def freeze(value: Any) -> Any:
    """The hashable form of lists, sets and dicts, whatever they are nested in."""
    if isinstance(value, FrozenMap):
        return value
    if isinstance(value, Mapping):
        return FrozenMap({key: freeze(item) for key, item in value.items()}) if value else EMPTY
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value) if value else ()
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(freeze(item) for item in value))
    return value
