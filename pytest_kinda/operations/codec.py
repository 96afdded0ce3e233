"""Operations to JSON and back: how they travel to the keeper and into the journal."""

from __future__ import annotations

from typing import Any, cast

from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.operations.values import Operation


def encode(operation: Operation) -> dict[str, Any]:
    """The JSON object of an operation; ``decode`` is its inverse."""
    return cast("dict[str, Any]", to_json(operation))


def decode(data: Any) -> Operation:
    """The operation of a JSON object. Raises ValueError where it is none."""
    return cast("Operation", from_json(Operation, data))
