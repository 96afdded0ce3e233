"""Where builds are killed: points between the lines of a triangle's journal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from pytest_kinda.errors import HostError
from pytest_kinda.host.journal import Journal
from tests.support.builds import await_true, journal_lines

T = TypeVar("T")
EVERY = os.environ.get("KINDA_TEST_KILL") == "every"
"""Whether no point is left out (``make test-kill``)."""
LINES = 48
"""Lines of the journal of a triangle that is complete, at most."""
COMPLETE = 10**6
SAMPLE = 5


@dataclass(frozen=True)
class Point:
    """The builder is killed when its journal has so many lines, with its keeper or alone."""

    lines: int
    keeper: bool

    def __str__(self) -> str:
        where = "complete" if self.lines == COMPLETE else f"line{self.lines}"
        return f"{where}-{'with-its-keeper' if self.keeper else 'alone'}"


def seed() -> int:
    """Another one for each commit, so that in time every point is tried.

    ``KINDA_TEST_SEED`` gives one; where git says no commit, the day does.
    """
    if given := os.environ.get("KINDA_TEST_SEED"):
        return int(given)
    argv = ["git", "rev-parse", "--short=8", "HEAD"]
    try:
        done = subprocess.run(
            argv, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return int(done.stdout, 16)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return date.today().toordinal()


def some(every: Sequence[T], count: int) -> list[T]:
    """So many of them as the seed draws, in their order; all with ``KINDA_TEST_KILL=every``."""
    if EVERY:
        return list(every)
    drawn = random.Random(seed()).sample(range(len(every)), count)
    return [every[at] for at in sorted(drawn)]


def points(number: int) -> list[Point]:
    """A sample of a seed: the first line, the complete journal, and lines between; both ways.

    Or every point there is, with ``KINDA_TEST_KILL=every``.
    """
    if EVERY:
        every = [*range(1, LINES + 1), COMPLETE]
        return [Point(lines, keeper) for keeper in (False, True) for lines in every]
    drawn = random.Random(number)
    lines = [1, *sorted(drawn.sample(range(2, LINES + 1), SAMPLE - 2)), COMPLETE]
    ways = [at % 2 == 0 for at in range(SAMPLE)]
    drawn.shuffle(ways)
    return [Point(*one) for one in zip(lines, ways, strict=True)]


def keeper_of(directory: Path) -> int:
    """The keeper's process; 0 before the journal names it."""
    try:
        return int(Journal.read(directory).meta.get("pid", 0))
    except HostError:
        return 0


def removal_by(keeper: int) -> int:
    """The process of the removal that a keeper runs; 0 if it runs none."""
    mark = f"KINDA_CHILD=undo-{keeper}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
        except OSError:
            continue
    return 0


def kill_at(process: subprocess.Popen[str], directory: Path, lines: int, keeper: int = 0) -> None:
    """SIGKILL when the journal has that many lines, or when the build is complete.

    The ``keeper``, if it is given, is killed first.
    """

    def reached() -> bool:
        if journal_lines(directory) >= lines:
            return True
        try:
            return Journal.read(directory).notes.get("state") == "complete"
        except HostError:  # there is no journal yet
            return False

    await_true(reached, f"{lines} lines in the journal", 240)
    if keeper:
        os.kill(keeper, signal.SIGKILL)
    process.kill()
