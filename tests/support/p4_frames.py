"""Packets for the program of ``tests/support/p4_features.py``."""

from __future__ import annotations

import random
import struct

from tests.support.bmv2 import bytes_of
from tests.support.p4_features import KINDS

_HALVES = (0, 1, 2, 3, 0x32, 0x63, 0x7FFF, 0x8000, 0xFFFF, 0xFF01)
_WORDS = (0, 0x0A000001, 0x0A000101, 0x0A0001FF, 0x80000001, 0xFFFFFFFF)


def frame(dice: random.Random) -> bytes:
    """One packet: mostly of a known kind, sometimes cut, sometimes nothing but bytes."""
    if dice.random() < 0.05:
        return bytes_of(dice, dice.randrange(14, 60))
    kind = dice.choice((*range(KINDS), 0xFF, 0x11))
    halves = [dice.choice(_HALVES) for _ in range(3)]
    start = struct.pack("!BHHIH", kind, halves[0], halves[1], dice.choice(_WORDS), halves[2])
    start += bytes(16) if dice.random() < 0.5 else b"\xff" * 16
    data = start + _rest(dice, kind) + bytes_of(dice, dice.randrange(40))
    if dice.random() < 0.1:
        data = data[: dice.randrange(14, len(data) + 1)]
    return data


def _rest(dice: random.Random, kind: int) -> bytes:
    if kind & 0x0F == 1:
        labels = [dice.getrandbits(32) & 0xFFFFFEFF for _ in range(dice.randrange(6))]
        return b"".join(struct.pack("!I", one) for one in [*labels, dice.getrandbits(32) | 0x100])
    if kind == 2:
        return bytes([dice.randrange(256)]) + bytes_of(dice, 15)
    if kind in (3, 4, 5, 6):
        return dice.choice((b"\x01\x02", b"\x00\x00", b"")) + bytes_of(dice, 40)
    return b""
