"""What rows say of an experiment: values by metric, arm and block, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment.design import Bound, parse_bound
from pytest_kinda.experiment.rows import Row

SETTING = (
    *("topology_hash", "options", "engine", "scheduler", "kubernetes"),
    *("host_class", "linux", "pytest-kinda"),
)
"""What two runs must have in common before one is held against the other."""


@dataclass(frozen=True)
class Metric:
    """One metric: its values of each arm, by the number of the block."""

    name: str
    unit: str
    better: str
    values: Mapping[str, Mapping[int, float]] = field(hash=False)


@dataclass(frozen=True)
class Results:
    """One experiment of one run; ``case`` is what else its test is parametrized by.

    ``failures`` has arm, block and reason of each trial that did not pass, ``missing`` how many
    trials of the plan have no end, ``disturbed`` in how many the machine was too busy. Warm-ups
    are in none of these. ``settings`` says of each arm what it ran in (:data:`SETTING`).
    """

    experiment: str
    case: str
    run: str
    arms: tuple[str, ...]
    repetitions: int
    seed: int
    bound: Bound
    confidence: float
    primary: str
    metrics: tuple[Metric, ...]
    failures: tuple[tuple[str, int, str], ...]
    missing: int
    disturbed: int
    settings: Mapping[str, Mapping[str, str]] = field(hash=False)

    @property
    def name(self) -> str:
        """The experiment with its case as pytest writes it: ``test_x.py::test_y[triangle]``."""
        return f"{self.experiment}[{self.case}]" if self.case else self.experiment

    @property
    def undecided(self) -> str:
        """That the metric that should decide has not been recorded; empty if it has."""
        if self.primary and all(one.name != self.primary for one in self.metrics):
            return f"{self.name}: no trial recorded the primary metric {self.primary!r}"
        return ""

    def bound_of(self, metric: str) -> Bound:
        """The difference that matters: a share is of every metric, an amount of the primary one."""
        return self.bound if self.bound.relative or metric == self.primary else Bound()


def results_of(rows: Iterable[Row]) -> list[Results]:
    """The experiments that rows tell of, in their order; of several runs of one the newest.

    Raises ExperimentError for a metric with two units.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.experiment, row.case), []).append(row)
    return [_results(group) for group in groups.values()]


def _results(rows: list[Row]) -> Results:
    run = max(row.run for row in rows)
    rows = [row for row in rows if row.run == run]
    first = rows[0]
    arms = tuple(first.arms)
    # of a trial that was tried again the last end counts
    ends = {(row.arm, row.repetition): row for row in rows if row.row == "end" and not row.warmup}
    passed = {place for place, row in ends.items() if row.outcome == "passed"}
    failed = [row for row in ends.values() if row.outcome != "passed"]
    metrics = _metrics(rows, arms, passed)
    return Results(
        experiment=first.experiment,
        case=first.case,
        run=run,
        arms=arms,
        repetitions=first.repetitions,
        seed=first.experiment_seed,
        bound=_bound(first.bound),
        confidence=first.confidence,
        primary=first.primary or (metrics[0].name if metrics else ""),
        metrics=metrics,
        failures=tuple(
            (row.arm, row.repetition, f"{row.outcome}: {row.reason or 'no reason told'}")
            for row in failed
        ),
        missing=len(arms) * first.repetitions - len(ends),
        disturbed=sum(1 for row in ends.values() if row.disturbed),
        settings={arm: _setting([row for row in ends.values() if row.arm == arm]) for arm in arms},
    )


def _bound(text: str) -> Bound:
    return parse_bound(text if "%" in text else float(text))


def _metrics(
    rows: list[Row], arms: tuple[str, ...], passed: set[tuple[str, int]]
) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    values: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        if row.row != "value" or row.warmup or row.metric is None or row.value is None:
            continue
        known = found.setdefault(
            row.metric, Metric(row.metric, row.unit or "", row.better or "lower", {})
        )
        if (known.unit, known.better) != (row.unit or "", row.better or "lower"):
            raise ExperimentError(
                f"{row.experiment}: metric {row.metric}: found {row.unit!r} ({row.better} is "
                f"better) beside {known.unit!r} ({known.better} is better)",
                remedy="record a metric in one unit in all trials",
            )
        by_arm = values.setdefault(row.metric, {arm: {} for arm in arms})
        if (row.arm, row.repetition) in passed:
            by_arm[row.arm][row.repetition] = row.value
    return tuple(Metric(one.name, one.unit, one.better, values[one.name]) for one in found.values())


def _setting(rows: list[Row]) -> dict[str, str]:
    """What trials ran in; of several values all."""
    found: dict[str, set[str]] = {name: set() for name in SETTING}
    for row in rows:
        for name, values in found.items():
            value = row.versions.get(name) if name in _IN_VERSIONS else getattr(row, name)
            values.add(str(value or ""))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


_IN_VERSIONS = ("linux", "pytest-kinda")
