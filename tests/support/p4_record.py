"""Records what BMv2 sends for ``p4_features``: ``python -m tests.support.p4_record``.

It needs BMv2 (see ``tests/support/bmv2.py``) and rewrites ``tests/data/p4/features.recorded.gz``.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from pytest_kinda.p4 import Frame
from tests.support import bmv2
from tests.support.p4_features import COMMANDS, features
from tests.support.p4_frames import frame
from tests.support.p4_programs import written

RECORDED = Path(__file__).parent.parent / "data" / "p4" / "features.recorded.gz"
PORTS = range(8)


def packets(seed: int, count: int) -> list[Frame]:
    dice = random.Random(seed)
    return [Frame(dice.choice((1, 2, 3, 4)), frame(dice)) for _ in range(count)]


def by_bmv2(frames: list[Frame]) -> dict[int, list[bytes]]:
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), features())
        return bmv2.run_bmv2(path, frames, PORTS, Path(name), commands=COMMANDS)


if __name__ == "__main__":
    given = packets(1, 300)
    bmv2.save(RECORDED, given, by_bmv2(given))
