"""Builds in a process of their own, to be interrupted and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import topologies


def plan_of(name: str, engine: Any = "kathara") -> Any:
    """The plan of one of the shared topologies (``PAIR``, ``TRIANGLE``) on this machine."""
    from pytest_kinda.build.facts import facts
    from pytest_kinda.plan import PlanOptions, plan

    return plan(getattr(topologies, name), PlanOptions(engine=engine), facts())


@contextlib.contextmanager
def start_building(
    topology: str, testbed: str, engine: str = "kathara"
) -> Iterator[subprocess.Popen[str]]:
    """A process that builds, prints ``built`` and waits; killed when the block is left.

    SIGUSR1 makes it remove what it built; it prints the lines of that.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.builds", topology, testbed, engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def await_true(look: Callable[[], bool], what: str, limit: float = 60.0) -> None:
    """Wait until something is so. Raises AssertionError."""
    deadline = time.monotonic() + limit
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit:g} s for {what}")
        time.sleep(0.01)


def journal_lines(directory: Path) -> int:
    """How many lines the journal of a testbed has; 0 before there is one."""
    try:
        return (directory / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def main(topology: str, testbed: str, engine: str) -> None:
    """Build and stay."""
    from pytest_kinda.build.builder import build
    from pytest_kinda.build.progress import Lines

    standing = build(plan_of(topology, engine), name=testbed, progress=Lines(sys.stdout))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    print("built", flush=True)
    if signal.sigtimedwait({signal.SIGUSR1}, 600) is not None:
        standing.keeper.undo(lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
