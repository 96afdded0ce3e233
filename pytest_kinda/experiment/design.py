"""The design of an experiment: randomised complete blocks, drawn from one seed.

A repetition is a block: every arm runs once in it, in an order that is drawn, with the same seed
for its workload. What drifts between blocks (the machine, its neighbours) is then the same for all
arms.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_kinda.errors import ExperimentError

_PERCENT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*%\s*")


@dataclass(frozen=True)
class Bound:
    """How much of a difference matters: a share of the reference, or an amount in its unit."""

    amount: float = 0.0
    relative: bool = True

    def __str__(self) -> str:
        return f"{self.amount * 100:g}%" if self.relative else f"{self.amount:g}"


def parse_bound(given: object) -> Bound:
    """A bound as a user writes it: ``"10%"``, or a number in the metric's unit.

    Raises ExperimentError.
    """
    if isinstance(given, str) and (found := _PERCENT.fullmatch(given)):
        return Bound(float(found[1]) / 100)
    if isinstance(given, (int, float)) and not isinstance(given, bool) and given >= 0:
        return Bound(float(given), relative=given == 0)
    raise ExperimentError(
        f"bound: found {given!r}; expected a share such as '10%', or a number in the metric's unit"
    )


@dataclass(frozen=True)
class Design:
    """What an experiment's mark says.

    The first of ``arms`` is the one that others are compared with. ``primary`` is the metric that
    decides (the one that is recorded first, where it is empty), ``bound`` the difference of it that
    matters, ``confidence`` the level of intervals.
    """

    arms: tuple[str, ...]
    repetitions: int = 8
    warmup: int = 1
    seed: int = 1
    bound: Bound = Bound()
    confidence: float = 0.95
    primary: str = ""


@dataclass(frozen=True)
class Planned:
    """One trial: its arm, its block (``repetition``, from 1), its place in the whole, its seed."""

    arm: str
    repetition: int
    warmup: bool
    order: int
    seed: int

    @property
    def id(self) -> str:
        """What a test's id says of it: ``net-3``, ``net-warmup1``."""
        return f"{self.arm}-{'warmup' if self.warmup else ''}{self.repetition}"


def check(arms: Sequence[object], numbers: dict[str, object], confidence: object) -> None:
    """Refuse what no experiment can be made of; ``numbers`` are whole ones, by their names.

    Raises ExperimentError with what was found and expected.
    """
    if not arms or any(not isinstance(one, str) or not one for one in arms):
        raise ExperimentError(f"arms: found {arms!r}; expected names, such as ['default', 'net']")
    if len(set(arms)) != len(arms):
        raise ExperimentError(f"arms: found {arms!r}; expected names that differ")
    for name, value in numbers.items():
        least = 1 if name == "repetitions" else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ExperimentError(f"{name}: found {value!r}; expected a whole number from {least}")
    if not isinstance(confidence, float) or not 0.5 <= confidence < 1:
        raise ExperimentError(f"confidence: found {confidence!r}; expected a share such as 0.95")


def trials(design: Design) -> tuple[Planned, ...]:
    """All trials of a design in the order in which they run: a function of its seed alone."""
    found: list[Planned] = []
    blocks = [(True, number) for number in range(1, design.warmup + 1)]
    blocks += [(False, number) for number in range(1, design.repetitions + 1)]
    for warmup, number in blocks:
        # seeded by a text, which Python hashes the same way in every process
        drawn = random.Random(f"{design.seed} {'warmup' if warmup else 'block'} {number}")
        seed = drawn.getrandbits(32)
        for arm in drawn.sample(design.arms, len(design.arms)):
            found.append(Planned(arm, number, warmup, len(found) + 1, seed))
    return tuple(found)
