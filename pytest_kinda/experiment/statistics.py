"""Intervals and tests for few repetitions, on the standard library alone.

The middle of a sample is its median. Intervals are percentile bootstraps (Efron 1979) with the
expanded percentiles of Hesterberg (2015, "What Teachers Should Know About the Bootstrap", The
American Statistician 69): for few values plain percentiles are too narrow. Tests are permutations
of ranks, counted exactly: Wilcoxon's signed ranks for pairs (zeros as Pratt 1959 has them) and the
rank sum of Mann and Whitney (1947) for two samples, ties included. Beyond :data:`EXACT` values
normal approximations take their place.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

EXACT = 60
"""Values up to which tests are counted exactly: a quarter of a second."""
RESAMPLES = 4000
"""Samples that a bootstrap draws."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """An estimate and what it may as well be, at some level of confidence."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its length."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Effect:
    """How much more a sample is than its reference; ``relative`` to the reference's median.

    ``relative`` is None where that median is, or may be, zero.
    """

    difference: Interval
    relative: Interval | None


def middle(values: Sequence[float], confidence: float = 0.95, seed: int = 1) -> Interval:
    """The median and its interval. Example: ``middle([3.1, 2.9, 3.0]).estimate == 3.0``."""
    drawn = random.Random(f"middle {seed}")
    found = sorted(median(drawn.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return _interval(median(values), found, len(values), confidence)


def paired_effect(
    reference: Sequence[float],
    sample: Sequence[float],
    confidence: float = 0.95,
    seed: int = 1,
) -> Effect:
    """The median of the differences within pairs; whole pairs are drawn again."""
    pairs = list(zip(reference, sample, strict=True))
    drawn = random.Random(f"paired {seed}")

    def of(some: Sequence[tuple[float, float]]) -> tuple[float, float]:
        return median(b - a for a, b in some), median(a for a, _ in some)

    resampled = [of(drawn.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)]
    return _effect(of(pairs), resampled, len(pairs), confidence)


def unpaired_effect(
    reference: Sequence[float],
    sample: Sequence[float],
    confidence: float = 0.95,
    seed: int = 1,
) -> Effect:
    """The difference of the medians; each sample is drawn again by itself."""
    drawn = random.Random(f"unpaired {seed}")

    def of(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
        base = median(one)
        return median(other) - base, base

    resampled = [
        of(drawn.choices(reference, k=len(reference)), drawn.choices(sample, k=len(sample)))
        for _ in range(RESAMPLES)
    ]
    size, free = min(len(reference), len(sample)), len(reference) + len(sample) - 2
    return _effect(of(reference, sample), resampled, size, confidence, free)


def signed_rank_p(differences: Sequence[float]) -> float:
    """How often signs drawn by a coin give a sum of signed ranks as far from zero, or farther.

    Two-sided. The least that so many pairs can give is ``2 / 2**n``.
    """
    ranks = _doubled_ranks([abs(one) for one in differences])
    weights = [
        (rank if one > 0 else -rank)
        for rank, one in zip(ranks, differences, strict=True)
        if one != 0
    ]
    total = abs(sum(weights))
    if len(weights) > EXACT:
        return _normal_p(total, math.sqrt(sum(one * one for one in weights)))
    counts = {0: 1}
    for weight in weights:
        grown: dict[int, int] = {}
        for value, count in counts.items():
            for one in (value + weight, value - weight):
                grown[one] = grown.get(one, 0) + count
        counts = grown
    extreme = sum(count for value, count in counts.items() if abs(value) >= total)
    return float(extreme / 2 ** len(weights))


def rank_sum_p(reference: Sequence[float], sample: Sequence[float]) -> float:
    """How often a draw of as many of all values has a sum of ranks as far from the expected.

    Two-sided. The least that samples of n and m can give is ``2 / comb(n + m, n)``.
    """
    ranks = _doubled_ranks([*reference, *sample])
    size, count = len(reference), len(ranks)
    # all in doubled ranks times the number of values, so that nothing is rounded
    expected = size * sum(ranks)
    distance = abs(count * sum(ranks[:size]) - expected)
    if count > EXACT:
        mean = sum(ranks) / count
        spread = sum((one - mean) ** 2 for one in ranks) / (count - 1)
        deviation = math.sqrt(spread * size * (count - size) / count)
        return _normal_p(distance / count, deviation)
    sums: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for chosen in range(size, 0, -1):
            into = sums[chosen]
            for value, ways in sums[chosen - 1].items():
                into[value + rank] = into.get(value + rank, 0) + ways
    extreme = sum(
        ways for value, ways in sums[size].items() if abs(count * value - expected) >= distance
    )
    return extreme / math.comb(count, size)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values with what looking at several at once costs (Holm 1979), in the same order."""
    order = sorted(range(len(ps)), key=lambda at: ps[at])
    found = [0.0] * len(ps)
    least = 0.0
    for place, at in enumerate(order):
        least = max(least, min(1.0, (len(ps) - place) * ps[at]))
        found[at] = least
    return found


def fewest_pairs(alpha: float) -> int:
    """How many pairs it takes until a p of ``alpha`` can be had at all."""
    return next(count for count in range(1, 64) if 2 / 2**count <= alpha)


def fewest_each(alpha: float) -> int:
    """How many values of two samples each it takes until a p of ``alpha`` can be had at all."""
    return next(count for count in range(1, 64) if 2 / math.comb(2 * count, count) <= alpha)


def _effect(
    found: tuple[float, float],
    resampled: Sequence[tuple[float, float]],
    size: int,
    confidence: float,
    free: int = 0,
) -> Effect:
    difference, base = found
    absolute = _interval(difference, sorted(one for one, _ in resampled), size, confidence, free)
    bases = [one for _, one in resampled]
    if base == 0 or min(bases) <= 0 <= max(bases):
        return Effect(absolute, None)
    shares = sorted(one / abs(of) for one, of in resampled)
    return Effect(absolute, _interval(difference / abs(base), shares, size, confidence, free))


def _interval(
    estimate: float, found: Sequence[float], size: int, confidence: float, free: int = 0
) -> Interval:
    tail = _tail(size, free or size - 1, confidence)
    return Interval(estimate, _quantile(found, tail), _quantile(found, 1 - tail))


def _tail(size: int, free: int, confidence: float) -> float:
    """The share to cut off each end of the bootstrap's values, by size and degrees of freedom."""
    if size < 2:
        return 0.0
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    # Student's quantile by the approximation of Wallace (1959), within 1 % from 5 degrees on
    scaled = z * (8 * free + 3) / (8 * free + 1)
    t = math.sqrt(free * math.expm1(scaled * scaled / free))
    return _NORMAL.cdf(-math.sqrt(size / (size - 1)) * t)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    if ordered[below] == ordered[above]:
        return ordered[below]
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _normal_p(distance: float, deviation: float) -> float:
    if deviation == 0:
        return 1.0
    return min(1.0, 2 * _NORMAL.cdf(-distance / deviation))


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value: ties share their middle rank, which may be a half."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    found = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            found[order[place]] = start + end + 2
        start = end + 1
    return found
