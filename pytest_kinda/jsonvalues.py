"""Frozen dataclasses to JSON and back, by their own field types.

The one place that knows how values travel: plans on disk, operations to the keeper, the journal.
Supported: str, int, float, bool, None, tuples, mappings with string keys, other dataclasses, and
unions of those (a union of dataclasses is told apart by ``"is"``, the class's name).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union

Value = TypeVar("Value")


def to_json(value: Any) -> Any:
    """The JSON form of a value; fields that hold their default are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {"is": type(value).__name__}
        for one in dataclasses.fields(value):
            item = getattr(value, one.name)
            if one.default is not dataclasses.MISSING and item == one.default:
                continue
            found[one.name] = to_json(item)
        return found
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{value!r} has no JSON form")


def from_json(kind: Any, data: Any) -> Any:
    """The value of type ``kind`` that :func:`to_json` made ``data`` from.

    Raises ValueError where ``data`` does not fit.
    """
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin in (Union, types.UnionType):
        return _one_of(typing.get_args(kind), data)
    if origin is typing.Literal:
        if data not in typing.get_args(kind):
            raise ValueError(f"expected one of {typing.get_args(kind)}, found {data!r}")
        return data
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise ValueError(f"expected a list, found {data!r}")
        inner = typing.get_args(kind)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(from_json(inner[0], item) for item in data)
        return tuple(from_json(each, item) for each, item in zip(inner, data, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        _, inner_kind = typing.get_args(kind)
        return {key: from_json(inner_kind, item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        return _instance(kind, data)
    if kind is float and isinstance(data, int):
        return float(data)
    if kind is None or kind is type(None):
        return None
    if isinstance(kind, type) and isinstance(data, kind):
        return data
    raise ValueError(f"expected {kind}, found {data!r}")


@cache
def _types_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _instance(kind: Any, data: Any) -> Any:
    if not isinstance(data, Mapping) or data.get("is", kind.__name__) != kind.__name__:
        raise ValueError(f"expected a {kind.__name__}, found {data!r}")
    kinds = _types_of(kind)
    given = {name: from_json(kinds[name], item) for name, item in data.items() if name != "is"}
    return kind(**given)


def _one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in kinds:
        return None
    if isinstance(data, Mapping) and "is" in data:
        for kind in kinds:
            if dataclasses.is_dataclass(kind) and getattr(kind, "__name__", "") == data["is"]:
                return _instance(kind, data)
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return from_json(kind, data)
        except ValueError:
            continue
    raise ValueError(f"{data!r} is none of {kinds}")
