"""The testbeds that this user has, as their directories say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pytest_kinda.build.directories import (
    find_testbed_directory,
    is_ours,
    testbeds_directory,
)
from pytest_kinda.build.standing import Standing
from pytest_kinda.build.undo import undo_testbed
from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host.client import Keeper
from pytest_kinda.host.journal import Journal
from pytest_kinda.jsonvalues import from_json
from pytest_kinda.operations import Place
from pytest_kinda.plan.values import Plan

_FIRST_KEEPER = 60.0  # seconds, the longest that a keeper is waited for
State = Literal["building", "complete", "abandoned"]


@dataclass(frozen=True)
class Known:
    """One testbed: ``abandoned`` means that its keeper is gone and ``kinda clean`` is due."""

    id: str
    directory: Path
    topology: str
    signature: str
    state: State


def testbeds() -> list[Known]:
    """All testbeds of this user, by id."""
    found = []
    for directory in sorted(testbeds_directory().iterdir()):
        if not is_ours(directory):
            continue
        notes = _notes(directory)
        state: State = "complete" if notes.get("state") == "complete" else "building"
        if not _keeper_answers(directory) and not _just_made(directory):
            state = "abandoned"
        found.append(
            Known(
                directory.name,
                directory,
                str(notes.get("topology", "")),
                str(notes.get("signature", "")),
                state,
            )
        )
    return found


def open_standing(name: str | Path, *, owner: bool = False) -> Standing:
    """A testbed that another process built, by its id or directory.

    As ``owner`` this process keeps it alive. Raises KindaError for one that is unknown or not
    complete, HostError where its keeper is gone.
    """
    directory = find_testbed_directory(name)
    journal = Journal.read(directory)
    if journal.notes.get("state") != "complete":
        raise KindaError(
            f"testbed {directory.name} is not complete: its build is under way, or was broken off",
            remedy=f"kinda clean {directory.name}",
        )
    kubeconfig = journal.notes.get("kubeconfig")
    kind: type[Standing] = Standing
    if journal.notes.get("lab"):
        from pytest_kinda.build.lab import LabStanding

        kind = LabStanding
    return kind(
        directory.name,
        directory,
        read_plan(directory),
        places_from_notes(journal.notes),
        dict(journal.notes["containers"]),
        Path(kubeconfig) if kubeconfig else None,
        connect=partial(Keeper.connect, directory, owner=owner),
    )


def clean(name: str | Path, report: Callable[[str], None]) -> tuple[str, ...]:
    """Remove a testbed, by its id or directory, with its keeper's help or without.

    ``report`` is called with a line per step. Returns what could not be removed. Raises
    KindaError for an unknown testbed.
    """
    directory = find_testbed_directory(name)
    try:
        keeper = Keeper.connect(directory)
    except HostError:
        return undo_testbed(directory, report)
    return keeper.undo(report)


def read_plan(directory: Path) -> Plan:
    """The plan of a testbed. Raises KindaError where it cannot be read."""
    try:
        data = json.loads((directory / "plan.json").read_text())
        plan: Plan = from_json(Plan, data)
    except (OSError, ValueError, TypeError) as error:
        raise KindaError(
            f"{directory / 'plan.json'}: no plan of this version: {error}",
            remedy=f"kinda clean {directory.name}",
        ) from error
    return plan


def places_from_notes(notes: Mapping[str, Any]) -> dict[str, Place]:
    """The places as the journal's last note has them. Raises ValueError."""
    return {name: from_json(Place, one) for name, one in notes.get("places", {}).items()}


def _notes(directory: Path) -> Mapping[str, Any]:
    try:
        return Journal.read(directory).notes
    except HostError:
        return {}


def _just_made(directory: Path) -> bool:
    """Whether its first keeper may still be starting: another process begins a build right now."""
    try:
        if time.time() - directory.stat().st_mtime > _FIRST_KEEPER:
            return False
        return "socket" not in Journal.read(directory).meta
    except HostError:
        return True  # no journal yet
    except OSError:
        return False  # removed meanwhile


def _keeper_answers(directory: Path) -> bool:
    try:
        Keeper.connect(directory)
    except HostError:
        return False
    return True
