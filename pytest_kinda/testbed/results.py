"""What a command gave: a frozen result that reads like pytest-testinfra's."""

from __future__ import annotations

import json as _json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_kinda.errors import CommandError


@dataclass(frozen=True)
class Result:
    """The outcome of one command.

    ``rc`` is the exit status, ``duration`` seconds on this machine's monotonic clock, ``argv`` the
    command and ``where`` the node, device or pod that it ran in. Example::

        result = kinda.node("w1").exec("ip", "-j", "addr")
        assert result.ok and result.json()[0]["ifname"] == "lo"
    """

    rc: int
    stdout_bytes: bytes = field(repr=False)
    stderr_bytes: bytes = field(repr=False)
    duration: float = 0.0
    argv: tuple[str, ...] = ()
    where: str = ""

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are no UTF-8 become replacement characters."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Standard error as text; bytes that are no UTF-8 become replacement characters."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """The lines of standard output without their ends."""
        return self.stdout.splitlines()

    @property
    def ok(self) -> bool:
        """Whether the exit status is 0."""
        return self.rc == 0

    @property
    def succeeded(self) -> bool:
        """``ok`` under pytest-testinfra's name."""
        return self.ok

    @property
    def failed(self) -> bool:
        """The opposite of ``ok``, under pytest-testinfra's name."""
        return not self.ok

    @property
    def exit_status(self) -> int:
        """``rc`` under pytest-testinfra's name."""
        return self.rc

    def json(self) -> Any:
        """Standard output read as JSON. Raises CommandError that shows what was printed."""
        try:
            return _json.loads(self.stdout)
        except ValueError as error:
            raise self.error(f"its output is no JSON: {error}") from None

    def error(self, note: str = "") -> CommandError:
        """The error that shows this result: command, place, status and the ends of its output."""
        return CommandError(self.argv, self.where, self.rc, self.stdout, self.stderr, note=note)

    def check(self) -> Result:
        """This result itself. Raises CommandError when the command failed."""
        if not self.ok:
            raise self.error()
        return self


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self._began


def result(
    argv: Sequence[str], where: str, finished: tuple[int, bytes, bytes], duration: float
) -> Result:
    """A result from what an execution gave."""
    rc, out, err = finished
    return Result(rc, out, err, duration, tuple(argv), where)
