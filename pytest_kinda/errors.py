"""Every deliberate error: what was expected, what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class KindaError(Exception):
    """Base of all errors of pytest-kinda.

    ``remedy`` is one sentence that says what the user can do; it is shown on a line of its own.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a declaration.

    ``where`` names the node, link or file place (``node w1``, ``link w1--r1``, ``lab.yaml:3:7``),
    ``field`` the field of it, ``found`` what stands there and ``expected`` what is accepted.
    """

    where: str
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        place = f"{self.where}: {self.field}" if self.field else self.where
        return f"{place}: found {self.found}; expected {self.expected}"


class DeclarationError(KindaError):
    """A declaration is wrong; ``problems`` holds all that is wrong with it, not the first only."""

    def __init__(self, subject: str, problems: Sequence[Problem], *, remedy: str = "") -> None:
        self.subject = subject
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{subject}: {count} problem{'s' if count != 1 else ''}"]
        lines += [f"  - {problem}" for problem in self.problems]
        super().__init__("\n".join(lines), remedy=remedy)


class TopologyError(DeclarationError):
    """A topology, node or link that cannot be what its author wrote."""


class LabWarning(UserWarning):
    """Something in a lab's files that has no effect here, or not the one its author expects."""


class PlanError(DeclarationError):
    """A valid topology that cannot be carried out with these options on this host."""


class FactsError(KindaError):
    """The network cannot be told to a scheduler as it was asked for."""


class PlacementError(KindaError, AssertionError):
    """Pods are not where a test says that they are; the message ends with where they are."""


class LabError(KindaError):
    """What was asked for needs machines or packets, and a lab has neither."""


class SchedulerError(KindaError):
    """A scheduler under test does not start, or has died; its last log lines end the message."""


class SchedulerWarning(UserWarning):
    """Two schedulers have placed pods on the same nodes, or a node holds more than it has."""


class UnitError(KindaError, ValueError):
    """A quantity that cannot be read, with the accepted units."""


class SetupError(KindaError):
    """The machine could not be prepared."""


class HostError(KindaError):
    """A host operation was refused by the kernel, or the keeper cannot be reached."""


class GoneError(HostError):
    """The container or process that an operation names is not there any more."""


class BuildError(KindaError):
    """A step of a build failed: ``step`` names it, ``cause`` is what went wrong.

    ``logs`` is the folder of the logs that were kept of it, None where there are none.
    """

    def __init__(
        self, step: str, cause: str, *, remedy: str = "", logs: Path | None = None
    ) -> None:
        self.step = step
        self.cause = cause
        self.logs = logs
        super().__init__(f"{step}: {cause}", remedy=remedy)


class UndoError(KindaError):
    """Parts of a testbed could not be removed; ``left`` names them."""

    def __init__(self, testbed: str, left: Sequence[str], *, remedy: str = "") -> None:
        self.testbed = testbed
        self.left = tuple(left)
        super().__init__(
            f"testbed {testbed}: could not remove\n" + "\n".join(f"  - {one}" for one in self.left),
            remedy=remedy or f"kinda clean {testbed}",
        )


class UnknownNameError(KindaError, KeyError):
    """A name that the testbed does not know, with the nearest ones it does."""

    __str__ = KindaError.__str__


class WaitTimeoutError(KindaError, TimeoutError):
    """A condition did not come true in time; the message ends with the last state seen."""


class CommandError(KindaError):
    """A command failed: what ran, where, its exit status and the end of what it printed."""

    def __init__(
        self, argv: Sequence[str], where: str, rc: int, stdout: str, stderr: str, *, note: str = ""
    ) -> None:
        self.argv = tuple(argv)
        self.where = where
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        parts = [
            f"{where}: {' '.join(argv)!r} ended with status {rc}" + (f" ({note})" if note else "")
        ]
        for title, text in (("stdout", stdout), ("stderr", stderr)):
            if text.strip():
                tail = "\n".join("    " + line for line in text.rstrip().splitlines()[-20:])
                parts.append(f"  {title}:\n{tail}")
        super().__init__("\n".join(parts))


class CaptureError(KindaError):
    """A capture could not be made, or it lost packets."""


class ClusterError(KindaError):
    """The cluster refused a request, or an object in it cannot become what is waited for.

    ``status`` is the API server's HTTP status, 0 where there is none.
    """

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:
        self.status = status
        super().__init__(message, remedy=remedy)


class ProgramError(KindaError):
    """A compiled P4 program that cannot be read, translated or compiled; says where in it."""


class NotCoveredError(ProgramError):
    """A P4 program uses what the native engine does not cover.

    ``construct`` names it; ``where`` is the place in the P4 source (``calc.p4:42``) where the
    compiler wrote it down, else the place in the JSON file.
    """

    def __init__(self, construct: str, where: str) -> None:
        self.construct = construct
        self.where = where
        super().__init__(
            f"{where}: the native P4 engine does not cover {construct}",
            remedy="use engine='bmv2', or write the program without it",
        )


class P4ControlError(KindaError):
    """A P4 switch refused a command, or a name or value does not fit its program."""


class P4RuntimeError(KindaError):
    """The P4Runtime server of a testbed cannot be had, or cannot serve what was asked for."""


class DescriptionError(KindaError):
    """A network that cannot be described in the form that was asked for."""


class ReportError(KindaError):
    """A telemetry report of a switch that cannot be read."""


class ExperimentError(KindaError):
    """An experiment that cannot be run as it is written, or rows that are none of it."""


def past_errors(steps: Iterable[Callable[[], object]]) -> None:
    """Take every step, past errors: what is taken back is taken back. Raises the first KindaError.

    Example::

        past_errors([publication.withdraw, process.end])
    """
    errors: list[KindaError] = []
    for step in steps:
        try:
            step()
        except KindaError as error:
            errors.append(error)
    if errors:
        raise errors[0]
