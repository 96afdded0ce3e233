"""What the control plane of a P4 switch is given and answers, and how names are looked up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.program import MatchValue
from pytest_kinda.p4.values import Match, Natural


@dataclass(frozen=True)
class Member:
    """A member of a table's action profile, by its handle."""

    handle: int


@dataclass(frozen=True)
class Group:
    """A group of members of a table's action selector, by its handle."""

    handle: int


Choice: TypeAlias = Member | Group


@dataclass(frozen=True)
class TableEntry:
    """An entry as it stands in a switch; ``match`` by key name, ``params`` by parameter name.

    Of a table with an action profile ``action`` is empty, and ``choice`` says what it has.
    """

    handle: int
    match: Mapping[str, MatchValue]
    action: str
    params: Mapping[str, int]
    priority: int
    packets: int
    bytes: int
    choice: Choice | None = None


@dataclass(frozen=True)
class Dump:
    """What a table holds; ``default`` is None where it has no default action.

    Of a table with an action profile ``default_choice`` is its default member or group.
    """

    entries: tuple[TableEntry, ...]
    default: tuple[str, Mapping[str, int]] | None
    default_choice: Choice | None = None


@dataclass(frozen=True)
class NewEntry:
    """An entry to add: what ``TableControl.add`` takes."""

    match: Mapping[str, Match]
    action: str | Choice
    params: Mapping[str, Natural] = field(default_factory=dict)
    priority: int | None = None


@dataclass(frozen=True)
class Count:
    """A counter's value."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class Statistics:
    """Packets since the start or the last reset, those that were not sent by reason."""

    received: int
    sent: int
    dropped_by_program: int
    too_long: int
    too_many_passes: int
    failed_assertion: int
    priority_without_queue: int
    queue_full: int
    no_such_port: int
    send_failed: int
    controller_full: int = 0


@dataclass(frozen=True)
class Rate:
    """A meter's rate: packets or bytes a second, and how many may come at once."""

    per_second: float
    burst: int


Item = TypeVar("Item")


def find(items: Iterable[tuple[str, Item]], name: str, what: str) -> Item:
    """The item that a name means: the whole one, or its last part where that is unique.

    Raises:
        P4ControlError: There is none, or it is ambiguous; with those that exist, nearest first.
    """
    listed = list(items)
    exact = [item for full, item in listed if full == name]
    found = exact or [item for full, item in listed if full.rsplit(".", 1)[-1] == name]
    if len(found) == 1:
        return found[0]
    names = [full for full, _ in listed]
    if found:
        same = [full for full in names if full.rsplit(".", 1)[-1] == name]
        raise P4ControlError(f"{what} {name!r} is ambiguous: {', '.join(same)}")
    last = {full.rsplit(".", 1)[-1]: full for full in names}
    near = [last[one] for one in difflib.get_close_matches(name.rsplit(".", 1)[-1], last)]
    rest = [full for full in names if full not in near]
    raise P4ControlError(f"no {what} {name!r}; the program has {', '.join(near + rest) or 'none'}")
