"""Records what BMv2 sends for the tests' programs: ``python -m tests.support.p4_record``.

It needs BMv2 (see ``tests/support/bmv2.py``) and rewrites ``tests/data/p4/*.recorded.gz``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_kinda.p4 import Frame
from tests.support import bmv2, p4_frames, p4_objects, p4_router
from tests.support.p4_features import COMMANDS, features
from tests.support.p4_programs import written

FOLDER = Path(__file__).parent.parent / "data" / "p4"
ROUTER = Path(__file__).parent.parent.parent / "examples" / "p4" / "router.json"
PORTS = range(8)


def recorded(name: str) -> Path:
    return FOLDER / f"{name}.recorded.gz"


def packets(
    seed: int, count: int, frame: Callable[[random.Random], bytes] = p4_frames.frame
) -> list[Frame]:
    dice = random.Random(seed)
    return [Frame(dice.choice((1, 2, 3, 4)), frame(dice)) for _ in range(count)]


def by_bmv2(
    frames: Sequence[Frame], program: Path | dict[str, Any] | None = None, commands: str = COMMANDS
) -> dict[int, list[bytes]]:
    """What BMv2 sends; of the program of ``p4_features`` unless another is given."""
    with tempfile.TemporaryDirectory() as name:
        path = program
        if not isinstance(path, Path):
            path = written(Path(name), path or features())
        return bmv2.run_bmv2(path, frames, PORTS, Path(name), commands=commands)


def main() -> None:
    """Record all, or those that are named."""
    wanted = sys.argv[1:] or ["features", "router", "unions", "objects", "hashes"]
    if "features" in wanted:
        given = packets(1, 300)
        bmv2.save(recorded("features"), given, by_bmv2(given))
    if "router" in wanted:
        given = packets(1, 200, p4_router.frame)
        bmv2.save(recorded("router"), given, by_bmv2(given, ROUTER, p4_router.COMMANDS))
    if "unions" in wanted:
        given = packets(1, 300, p4_objects.union_frame)
        bmv2.save(recorded("unions"), given, by_bmv2(given, p4_objects.unions(), ""))
    if "objects" in wanted:
        # of one port: meters count what comes, and BMv2 reads the ports' files at once
        given = [Frame(1, one.data) for one in packets(1, 300, p4_objects.object_frame)]
        made = by_bmv2(given, p4_objects.OBJECTS, p4_objects.OBJECT_COMMANDS)
        bmv2.save(recorded("objects"), given, made)
    if "hashes" in wanted:
        given = packets(1, 60, p4_objects.hash_frame)
        bmv2.save(recorded("hashes"), given, by_bmv2(given, p4_objects.hashes(), ""))


if __name__ == "__main__":
    main()
