"""Faults that outlive the process that made them: what ``kinda link`` does to a testbed.

A test's faults are healed by the test's process. One from the command line stays when the command
ends, so what undoes it is found in the journal: a note of the testbed names the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_kinda.host.journal import Journal
from pytest_kinda.testbed.links import LinkHandle
from pytest_kinda.testbed.testbed import Testbed

_NOTE = "left on "


def leave(testbed: Testbed, link: LinkHandle, inflict: Callable[[LinkHandle], object]) -> None:
    """Let ``inflict`` make a fault of a link, and leave it there until :func:`heal`.

    Raises what ``inflict`` raises; then nothing is left.

    Example: ``leave(kinda, kinda.link("r1--r2"), lambda link: link.down())``
    """
    before = max((one["n"] for one in Journal.read(testbed.directory).entries), default=0)
    inflict(link)
    ends = [(one.node.name, one.name) for one in link.interfaces]
    made = [
        one["n"]
        for one in Journal.read(testbed.directory).entries
        if one["n"] > before and _end_of(one) in ends
    ]
    _note(testbed, link.name, [*_numbers(testbed.directory).get(link.name, ()), *made])


def heal(testbed: Testbed, link: LinkHandle) -> bool:
    """Take back all that :func:`leave` has left on a link; whether there was anything.

    Raises HostError; what could not be taken back is still noted then.
    """
    numbers = _numbers(testbed.directory).get(link.name, ())
    if numbers:
        keeper: Any = testbed.standing.keeper
        keeper.revert(numbers)
        _note(testbed, link.name, [])
    return bool(numbers)


def faults_left(directory: Path) -> tuple[str, ...]:
    """The links on which :func:`leave` has left something."""
    return tuple(name for name, numbers in _numbers(directory).items() if numbers)


def _numbers(directory: Path) -> dict[str, list[int]]:
    return {
        key.removeprefix(_NOTE): [int(one) for one in value]
        for key, value in Journal.read(directory).notes.items()
        if key.startswith(_NOTE)
    }


def _note(testbed: Testbed, link: str, numbers: list[int]) -> None:
    testbed.standing.keeper.note(**{_NOTE + link: numbers})


def _end_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The node and the interface that an entry is about; empty where it is about another thing."""
    operation = entry.get("operation")
    if not isinstance(operation, Mapping):
        return "", ""
    return str(operation.get("place", "")), str(operation.get("interface", ""))
