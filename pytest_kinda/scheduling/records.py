"""What our Explain plugin tells of a pod: its records in a scheduler's log, and how to ask for one.

The plugin is a package of Go (``setup/recipes/scheduler-plugins/explain``) that is compiled into a
scheduler. For a pod with its annotation it writes a line at each attempt to place it, with a JSON
object whose fields are those of its type ``record``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ANNOTATION = "pytest-kinda/explain"
_LINE = re.compile(r'"Explained pod" .*\brecord=("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Refusal:
    """So many nodes refused for a reason; ``plugin`` is empty where the reason does not tell it."""

    count: int
    reason: str
    plugin: str = ""

    def __str__(self) -> str:
        return self.reason + (f" [{self.plugin}]" if self.plugin else "")


@dataclass(frozen=True)
class Record:
    """One attempt to place a pod, as the plugin has written it down.

    ``refused`` and ``scores`` are by node, ``refusals`` counts over all nodes. ``unseen`` are nodes
    that no plugin refuses and that were not scored. ``left`` nodes are named nowhere, as the pod
    asked for. ``extenders`` have added to the scheduler's sums, which ``totals`` do not show.
    ``seconds`` is how long the record took, within the scheduler's cycle.
    """

    node: str
    seconds: float
    refusals: tuple[Refusal, ...] = ()
    refused: dict[str, Refusal] = field(default_factory=dict, hash=False)
    scores: dict[str, dict[str, int]] = field(default_factory=dict, hash=False)
    totals: dict[str, int] = field(default_factory=dict, hash=False)
    unseen: tuple[str, ...] = ()
    left: int = 0
    extenders: tuple[str, ...] = ()
    error: str = ""


def explained(most: int = 0) -> dict[str, str]:
    """The annotation of a pod that the plugin is to tell of.

    With ``most`` its record names so many nodes of a kind (scored, refused) at most: a complete one
    of a thousand nodes has 150 kB.

    >>> explained(), explained(most=20)
    ({'pytest-kinda/explain': 'all'}, {'pytest-kinda/explain': '20'})
    """
    return {ANNOTATION: str(most) if most else "all"}


def record_of(uid: str, lines: Iterable[str]) -> Record | None:
    """The last record of a pod, by its UID; None where there is none."""
    found = None
    for line in lines:
        if uid and uid in line and (told := _LINE.search(line)):
            said: Mapping[str, Any] = json.loads(json.loads(told[1]))
            found = said if said["uid"] == uid else found
    return _read(found) if found is not None else None


def _read(said: Mapping[str, Any]) -> Record:
    scored = said.get("scored", ())
    return Record(
        node=said.get("node", ""),
        seconds=said["took_us"] / 1e6,
        refusals=tuple(
            Refusal(one["count"], one.get("reason", ""), one.get("plugin", ""))
            for one in said.get("refusals", ())
        ),
        refused={
            one["node"]: Refusal(1, ", ".join(one.get("reasons", ())), one.get("plugin", ""))
            for one in said.get("refused", ())
        },
        scores={one["node"]: dict(one["scores"]) for one in scored},
        totals={one["node"]: one["total"] for one in scored},
        unseen=tuple(said.get("unseen", ())),
        left=said.get("left", 0),
        extenders=tuple(said.get("extenders", ())),
        error=said.get("error", ""),
    )
