"""How often intervals hold what they say that they hold, on distributions that are known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from pytest_kinda.experiment.statistics import middle, paired_effect, unpaired_effect

pytestmark = [pytest.mark.slow, pytest.mark.beside]

Draw = Callable[[random.Random], float]
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda drawn: drawn.gauss(0, 1), 0.0),
    "exponential": (lambda drawn: drawn.expovariate(1), math.log(2)),
    "lognormal": (lambda drawn: drawn.lognormvariate(0, 1), 1.0),
    "uniform": (lambda drawn: drawn.random(), 0.5),
}
RUNS = 200
# 95 % are promised; of 800 runs fewer than 93 % is 2.6 standard deviations below that
LEAST = 0.93


@pytest.mark.parametrize("size", [6, 12])
def test_95_percent_are_95_percent(size: int) -> None:
    held = {"middle": 0, "paired": 0, "unpaired": 0}
    for shape, (draw, truth) in SHAPES.items():
        drawn = random.Random(f"{shape} {size}")
        for run in range(RUNS):
            sample = [draw(drawn) for _ in range(size)]
            other = [draw(drawn) for _ in range(size)]
            blocks = [drawn.gauss(50, 20) for _ in range(size)]  # what pairs have in common
            after = [block + value for block, value in zip(blocks, sample, strict=True)]
            found = {
                "middle": (middle(sample, seed=run), truth),
                "paired": (paired_effect(blocks, after, seed=run).difference, truth),
                "unpaired": (unpaired_effect(other, sample, seed=run).difference, 0.0),
            }
            for name, (interval, true) in found.items():
                held[name] += interval.low <= true <= interval.high
    assert min(held.values()) >= LEAST * RUNS * len(SHAPES), held
