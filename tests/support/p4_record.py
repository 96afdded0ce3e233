"""Records what BMv2 sends for the tests' programs: ``python -m tests.support.p4_record``.

It needs BMv2 (see ``tests/support/bmv2.py``) and rewrites ``tests/data/p4/*.recorded.gz``.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_kinda.p4 import Frame
from tests.support import bmv2, p4_frames, p4_router
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


def by_bmv2(frames: Sequence[Frame], program: Path | None = None) -> dict[int, list[bytes]]:
    """What BMv2 sends; of the program of ``p4_features`` unless another is given."""
    with tempfile.TemporaryDirectory() as name:
        path = program or written(Path(name), features())
        commands = p4_router.COMMANDS if program else COMMANDS
        return bmv2.run_bmv2(path, frames, PORTS, Path(name), commands=commands)


if __name__ == "__main__":
    given = packets(1, 300)
    bmv2.save(recorded("features"), given, by_bmv2(given))
    given = packets(1, 200, p4_router.frame)
    bmv2.save(recorded("router"), given, by_bmv2(given, ROUTER))
