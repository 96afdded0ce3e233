"""Comparing arms with each other, and runs with each other: what can be said, and what cannot."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment.design import Bound
from pytest_kinda.experiment.results import SETTING, Metric, Results
from pytest_kinda.experiment.statistics import (
    Effect,
    Interval,
    fewest_each,
    fewest_pairs,
    holm,
    paired_effect,
    rank_sum_p,
    signed_rank_p,
    unpaired_effect,
)

GATES = {"worse": ("worse",), "inconclusive": ("worse", "inconclusive", "not comparable")}
"""The verdicts on a primary metric that each gate refuses."""
_MOST = 1000  # repetitions beyond which it is of no use to say how many


@dataclass(frozen=True)
class Comparison:
    """One metric of one arm beside its reference.

    ``p`` is adjusted for the comparisons that were made beside this one (Holm); ``reason`` says
    why nothing can be said, or what weakens what is said.
    """

    experiment: str
    metric: str
    unit: str
    better: str
    arm: str
    reference: str
    primary: bool
    paired: bool
    count: int
    reference_count: int
    bound: Bound
    confidence: float
    effect: Effect | None = None
    p: float | None = None
    verdict: str = "inconclusive"
    reason: str = ""

    def __str__(self) -> str:
        words = [f"{self.metric}: {self.arm} beside {self.reference}:"]
        if told := self.effect_told:
            words.append(f"{told},")
        if self.p is not None:
            words.append(f"p {self.p:.2g},")
        both = f"{self.reference_count} and {self.count}"
        words.append(f"{_pairs(self.count) if self.paired else both}: {self.told}")
        return " ".join(words)

    @property
    def told(self) -> str:
        """The verdict in words, with its bound and its reason."""
        verdict = self.verdict
        if verdict == "no difference" and self.bound.amount:
            verdict += f" beyond {self._bound()}"
        return f"{verdict} ({self.reason})" if self.reason else verdict

    def _bound(self) -> str:
        return str(self.bound) if self.bound.relative else f"{self.bound} {self.unit}".strip()

    @property
    def effect_told(self) -> str:
        """The difference and its interval, in percent or the metric's unit; empty without one."""
        if self.effect is None:
            return ""
        if self.effect.relative is None or not self.bound.relative:
            one, unit, factor = self.effect.difference, f" {self.unit}".rstrip(), 1.0
        else:
            one, unit, factor = self.effect.relative, "%", 100.0
        low, high = one.low * factor, one.high * factor
        return f"{one.estimate * factor:+.3g}{unit} [{low:+.3g}, {high:+.3g}]"


def compare_arms(results: Results) -> list[Comparison]:
    """Each arm beside the first one, in pairs of the same block."""
    found = []
    reference = results.arms[0]
    for metric in results.metrics:
        for arm in results.arms[1:]:
            one, other = metric.values[reference], metric.values[arm]
            blocks = sorted(one.keys() & other.keys())
            before, after = [one[at] for at in blocks], [other[at] for at in blocks]
            made = _empty(results, metric, arm, reference, True, len(after), len(before))
            if blocks:
                differences = [b - a for a, b in zip(before, after, strict=True)]
                made = replace(
                    made,
                    effect=paired_effect(before, after, results.confidence, results.seed),
                    p=signed_rank_p(differences),
                )
            found.append(made)
    return _judged(found, results.disturbed)


def compare_runs(
    reference: Sequence[Results], new: Sequence[Results], across: Collection[str] = ()
) -> list[Comparison]:
    """Each arm beside the same arm of another run, of the experiments that both have.

    Runs in different settings (topology, engine, scheduler, versions, class of host) are not
    comparable; ``across`` names what may differ all the same. Raises ExperimentError for a name
    that is no setting, and where the runs have no experiment in common.
    """
    for name in across:
        if name not in SETTING:
            raise ExperimentError(f"across: found {name!r}; expected one of {', '.join(SETTING)}")
    known = {one.name: one for one in reference}
    common = [results for results in new if results.name in known]
    if not common:
        raise ExperimentError(
            "the two runs have no experiment in common: found "
            f"{', '.join(known) or 'none'} and {', '.join(one.name for one in new) or 'none'}"
        )
    return [one for results in common for one in _beside(known[results.name], results, across)]


def refused(comparisons: Sequence[Comparison], gate: str) -> list[Comparison]:
    """Those that a gate (one of :data:`GATES`) does not let pass: of primary metrics only."""
    return [one for one in comparisons if one.primary and one.verdict in GATES[gate]]


def _beside(old: Results, new: Results, across: Collection[str]) -> list[Comparison]:
    measured, apart = [], []
    for metric in new.metrics:
        before = next((one for one in old.metrics if one.name == metric.name), None)
        for arm in new.arms:
            if before is None or arm not in before.values:
                continue
            one, other = [*before.values[arm].values()], [*metric.values[arm].values()]
            told = f"{arm} of {old.run}"
            made = _empty(new, metric, arm, told, False, len(other), len(one))
            differing = _differing(old, new, arm, across)
            if before.unit != metric.unit:
                differing.insert(0, f"unit {before.unit!r} there, {metric.unit!r} here")
            if differing:
                told = "; ".join(differing)
                apart.append(replace(made, verdict="not comparable", reason=told))
            elif one and other:
                effect = unpaired_effect(one, other, new.confidence, new.seed)
                measured.append(replace(made, effect=effect, p=rank_sum_p(one, other)))
            else:
                measured.append(made)
    return [*_judged(measured, old.disturbed + new.disturbed), *apart]


def _differing(old: Results, new: Results, arm: str, across: Collection[str]) -> list[str]:
    there, here = old.settings[arm], new.settings[arm]
    return [
        f"{name} {there[name] or 'none'} there, {here[name] or 'none'} here"
        for name in SETTING
        if name not in across and there[name] != here[name]
    ]


def _empty(
    results: Results,
    metric: Metric,
    arm: str,
    reference: str,
    paired: bool,
    count: int,
    reference_count: int,
) -> Comparison:
    return Comparison(
        experiment=results.name,
        metric=metric.name,
        unit=metric.unit,
        better=metric.better,
        arm=arm,
        reference=reference,
        primary=metric.name == results.primary,
        paired=paired,
        count=count,
        reference_count=reference_count,
        bound=results.bound_of(metric.name),
        confidence=results.confidence,
    )


def _judged(made: Sequence[Comparison], disturbed: int) -> list[Comparison]:
    """With p adjusted, among the primary ones and among the others, and with verdicts."""
    adjusted = list(made)
    for primary in (True, False):
        places = [at for at, one in enumerate(made) if one.primary is primary and one.p is not None]
        ps = holm([made[at].p or 0.0 for at in places])
        for at, p in zip(places, ps, strict=True):
            one = replace(made[at], p=p)
            verdict, reason = _verdict(one, len(places))
            if disturbed and verdict != "no difference":
                trials = "1 trial" if disturbed == 1 else f"{disturbed} trials"
                busy = f"the machine was too busy in {trials}"
                reason = f"{reason}; {busy}" if reason else busy
            adjusted[at] = replace(one, verdict=verdict, reason=reason)
    return [one if one.p is not None else replace(one, reason="no values") for one in adjusted]


def _verdict(one: Comparison, family: int) -> tuple[str, str]:
    assert one.effect is not None
    assert one.p is not None
    bound = one.bound.amount
    interval: Interval | None = one.effect.difference
    if one.bound.relative and bound:
        interval = one.effect.relative
    if interval is None:
        return (
            "inconclusive",
            f"the reference may be 0, of which {one.bound} is nothing: state the bound in its unit",
        )
    low, high = interval.low, interval.high
    if one.better == "higher":
        low, high = -high, -low
    # from here on more is worse
    alpha = 1 - one.confidence
    if few := _too_few(one, alpha / family):
        return "inconclusive", few
    if -bound <= low and high <= bound:
        return "no difference", ""
    if low > bound and one.p <= alpha:
        return "worse", ""
    if high < -bound and one.p <= alpha:
        return "better", ""
    return "inconclusive", _doubt(one, interval)


def _too_few(one: Comparison, alpha: float) -> str:
    """That so few values can give no p that small, whatever they are; empty if they can."""
    count = min(one.count, one.reference_count)
    needed = fewest_pairs(alpha) if one.paired else fewest_each(alpha)
    if count >= needed:
        return ""
    what = _pairs(count) if one.paired else f"{count} values each"
    return f"{what} can show nothing at {one.confidence:.0%}, {needed} can"


def _doubt(one: Comparison, interval: Interval) -> str:
    """Why a comparison says nothing, and what would help."""
    count = min(one.count, one.reference_count)
    width, bound = interval.half_width, one.bound.amount
    if bound and width > bound:
        enough = math.ceil(count * (width / bound) ** 2)
        would = f"about {enough}" if enough <= _MOST else f"more than {_MOST}"
        shown = f"{width:.0%}" if one.bound.relative else f"{width:.3g} {one.unit}".strip()
        return f"too noisy: ±{shown} where {one._bound()} matters; {would} repetitions would do"
    if bound and not interval.low <= 0 <= interval.high:
        return f"there is a difference, but it may be on either side of {one._bound()}"
    if interval.low <= 0 <= interval.high:
        return "no change is within the interval"
    return f"p is above {1 - one.confidence:.2g}"


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count != 1 else ''}"
