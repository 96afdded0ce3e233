"""Header unions, and what a program keeps beside its tables: profiles, meters, digests, sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_kinda.p4.program import Calculation, FieldRef


@dataclass(frozen=True)
class HeaderUnion:
    """A header union: the names of its headers, of which one at the most is valid."""

    name: str
    headers: tuple[str, ...]


@dataclass(frozen=True)
class HeaderUnionStack:
    """A stack of header unions: the members' names, and each element's headers in their order."""

    name: str
    members: tuple[str, ...]
    elements: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class UnionRef:
    """A header union as a whole."""

    union: str


@dataclass(frozen=True)
class UnionStackRef:
    """A stack of header unions as a whole."""

    stack: str


@dataclass(frozen=True)
class LastUnionRef:
    """A field of a member of a union stack's last element that was extracted."""

    stack: str
    member: int
    field: str


@dataclass(frozen=True)
class ValueSet:
    """A parser value set: bits of a value, and those of the select's parts that make it."""

    name: str
    width: int
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """An action profile, or with a ``selector`` (a hash) an action selector.

    ``actions`` are those that its tables may run, by BMv2's ids.
    """

    name: str
    actions: tuple[int, ...]
    selector: Calculation | None


@dataclass(frozen=True)
class Meters:
    """A meter array of two rates; of a direct one ``table``, and ``target`` takes the colour."""

    name: str
    size: int
    counts_bytes: bool
    table: str | None = None
    target: FieldRef | None = None


@dataclass(frozen=True)
class Digest:
    """A list of fields that ``digest`` sends to the controller."""

    id: int
    name: str
    fields: tuple[FieldRef, ...]
