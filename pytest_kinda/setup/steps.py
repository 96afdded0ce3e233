"""What a step of preparing is, and how a list of them is carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_kinda.errors import SetupError

Report = Callable[[str], None]
"""Takes one line of text for the person who waits."""


class NotAllowed(SetupError):
    """Something is to be done that only the person at the machine may do; says the command."""


@dataclass(frozen=True)
class Found:
    """What a step found: whether nothing is to do, one line that says what, and the remedy."""

    ok: bool
    text: str
    remedy: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Policy:
    """What the caller allows.

    :ivar official: True takes published parts only, False builds everything here; None decides by
        whether a registry answers.
    :ivar install: system packages may be installed on a machine that has a container engine.
    """

    official: bool | None = None
    install: bool = False


class Step(Protocol):
    """One requirement, known by its name."""

    name: str

    def check(self) -> Found:
        """Look, and change nothing."""
        ...

    def do(self, report: Report) -> None:
        """Make it so; may be repeated. Raises SetupError."""
        ...


def carry_out(steps: Sequence[Step], report: Report) -> int:
    """Check each step and do what is missing, in order; 0 when all is ready at the end.

    A step that may not act prints the command for the person; the steps after it still run if
    they can, since each says for itself what it lacks.
    """
    failed = []
    for step in steps:
        began = time.monotonic()
        found = step.check()
        if found.ok:
            report(f"{step.name}: {found.text}  [{time.monotonic() - began:.1f} s]")
            if found.warning:
                report(f"{step.name}: note: {found.warning}")
            continue
        report(f"{step.name}: {found.text}")
        try:
            step.do(lambda line, name=step.name: report(f"{name}:   {line}"))  # type: ignore[misc]
            after = step.check()
            if not after.ok:
                raise SetupError(f"done, but still: {after.text}", remedy=after.remedy)
        except (SetupError, OSError) as error:
            # an OSError too is of this step alone: the others still say what they lack
            failed.append(step.name)
            state = "left to you" if isinstance(error, NotAllowed) else "FAILED"
            report(f"{step.name}: {state}  [{time.monotonic() - began:.1f} s]")
            for line in str(error).splitlines():
                report(f"{step.name}:   {line}")
            continue
        report(f"{step.name}: {after.text}  [{time.monotonic() - began:.1f} s]")
    if failed:
        report(f"not ready: {', '.join(failed)}")
    return 1 if failed else 0
