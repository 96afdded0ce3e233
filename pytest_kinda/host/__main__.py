"""``python -m pytest_kinda.host DIRECTORY``: the keeper of the testbed in that directory.

Returns as soon as the keeper, a process with a session of its own, answers on its socket; status
1 and a line on standard output if it could not start.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pytest_kinda.errors import KindaError

LOG = "keeper.log"


def main(arguments: list[str] | None = None) -> int:
    """Start a keeper in the background; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_kinda.host", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--testbed", default="", help="the testbed's id, for the journal")
    parser.add_argument(
        "--undo-program",
        action="append",
        default=[],
        help="what undoes the testbed, one argument a time; its directory is added (for tests)",
    )
    parser.add_argument(
        "--starter", type=int, default=0, help="the process that will be the first owner"
    )
    given = parser.parse_args(arguments)
    directory = given.directory.resolve()
    from_keeper, to_starter = os.pipe()
    if os.fork() != 0:
        os.close(to_starter)
        with os.fdopen(from_keeper, "r", encoding="utf-8", errors="replace") as answer:
            text = answer.read()
        print(text, end="")
        return 0 if text == "ready\n" else 1
    os.close(from_keeper)
    os._exit(_keep(directory, given, to_starter))


def _keep(directory: Path, given: argparse.Namespace, to_starter: int) -> int:
    def ready(text: str) -> None:
        os.write(to_starter, text.encode())
        os.close(to_starter)

    try:
        os.setsid()
        os.chdir("/")  # hold no directory that somebody wants to unmount
        _onto_log(directory / LOG)
        from pytest_kinda.host.keeper import KeeperServer

        keeper = KeeperServer(
            directory,
            testbed=given.testbed,
            undo_program=tuple(given.undo_program),
            starter=given.starter,
        )
    except (KindaError, OSError) as error:
        ready(f"{error}\n")
        return 1
    ready("ready\n")
    return keeper.serve()


def _onto_log(path: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main())
