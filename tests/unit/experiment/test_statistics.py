"""Tests and intervals beside brute force, and the properties that they must have."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kinda.experiment import statistics
from pytest_kinda.experiment.statistics import (
    fewest_each,
    fewest_pairs,
    holm,
    middle,
    paired_effect,
    rank_sum_p,
    signed_rank_p,
    unpaired_effect,
)

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
FEW = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=7)
FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


def midranks(values: list[float]) -> list[float]:
    return [
        sum(other < one for other in values) + (sum(other == one for other in values) + 1) / 2
        for one in values
    ]


@QUICK
@given(FEW)
def test_signed_ranks_beside_every_flip_of_signs(differences: list[float]) -> None:
    ranks = midranks([abs(one) for one in differences])
    used = [(rank, one > 0) for rank, one in zip(ranks, differences, strict=True) if one]
    seen = abs(sum(rank if up else -rank for rank, up in used))
    flips = list(itertools.product((1, -1), repeat=len(used)))
    sums = [abs(sum(s * rank for s, (rank, _) in zip(f, used, strict=True))) for f in flips]
    assert signed_rank_p(differences) == sum(one >= seen for one in sums) / len(flips)


@QUICK
@given(FEW, FEW)
def test_rank_sums_beside_every_choice(one: list[float], other: list[float]) -> None:
    ranks = midranks([*one, *other])
    expected = len(one) * sum(ranks) / len(ranks)
    seen = abs(sum(ranks[: len(one)]) - expected)
    choices = list(itertools.combinations(ranks, len(one)))
    extreme = sum(abs(sum(some) - expected) >= seen - 1e-9 for some in choices)
    assert rank_sum_p(one, other) == pytest.approx(extreme / len(choices))
    assert rank_sum_p(one, other) == pytest.approx(rank_sum_p(other, one))
    assert rank_sum_p([x**3 for x in one], [x**3 for x in other]) == rank_sum_p(one, other)


def test_the_least_p_that_so_many_can_give() -> None:
    for count in range(1, 9):
        assert signed_rank_p([1.0 + n for n in range(count)]) == 2 / 2**count
    low, high = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]
    assert rank_sum_p(low, high) == pytest.approx(2 / math.comb(8, 4))
    assert (fewest_pairs(0.05), fewest_each(0.05)) == (6, 4)
    assert signed_rank_p([0.0, 0.0]) == rank_sum_p([1.0, 1.0], [1.0]) == 1.0


def test_approximations_go_on_where_exact_counts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(3)
    one = [drawn.gauss(0, 1) for _ in range(25)]
    other = [drawn.gauss(0.6, 1) for _ in range(25)]
    exact = signed_rank_p(one), rank_sum_p(one, other)
    monkeypatch.setattr(statistics, "EXACT", 10)
    assert (signed_rank_p(one), rank_sum_p(one, other)) == pytest.approx(exact, abs=0.02)


@QUICK
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_holm_never_makes_a_p_smaller_nor_changes_the_order(ps: list[float]) -> None:
    found = holm(ps)
    assert all(p <= after <= min(1.0, len(ps) * p) for p, after in zip(ps, found, strict=True))
    assert [found[at] for at in sorted(range(len(ps)), key=ps.__getitem__)] == sorted(found)


def test_holm_by_the_book() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=2, max_size=6))
def test_effects_are_drawn_from_their_seed_and_hold_their_estimate(
    pairs: list[tuple[float, float]],
) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    for effect in (paired_effect, unpaired_effect):
        found = effect(one, other)
        assert found == effect(one, other)
        assert found.difference.low <= found.difference.estimate <= found.difference.high
    alone = middle(one)
    assert min(one) <= alone.low <= alone.estimate <= alone.high <= max(one)


def test_an_effect_follows_shift_and_scale() -> None:
    drawn = random.Random(5)
    one = [drawn.gauss(10, 1) for _ in range(8)]
    other = [2 * value + drawn.gauss(0, 0.5) for value in one]
    found = paired_effect(one, other)
    assert found.relative is not None
    assert 0.8 < found.relative.low < found.relative.estimate < found.relative.high < 1.2
    shifted = paired_effect([value + 100 for value in one], [value + 100 for value in other])
    assert shifted.difference.low == pytest.approx(found.difference.low)
    exact = unpaired_effect([4.0] * 6, [6.0] * 6)
    assert exact.relative is not None
    assert (exact.difference.half_width, exact.relative.estimate) == (0, 0.5)
    assert paired_effect([0.0, 0.0, 1.0], [1.0, 2.0, 3.0]).relative is None
