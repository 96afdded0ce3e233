"""Rows as an experiment writes them, without running one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_kinda.experiment.rows import Row


def row(**fields: Any) -> Row:
    """A row of the arm ``a``, with what is given."""
    made = Row(
        row="end",
        run="20260101T000000Z-1",
        experiment="test_x.py::test_y",
        case="",
        arm="a",
        repetition=1,
        warmup=False,
        order=1,
        seed=5,
        time="2026-01-01T00:00:00.000+00:00",
        arms=["a", "b"],
        repetitions=8,
        experiment_seed=1,
        bound="0%",
        confidence=0.95,
        primary="",
        versions={"linux": "6.1", "pytest-kinda": "0.1.0"},
        host_class="x86_64, 2 CPUs",
    )
    return replace(made, **fields)


def rows(
    values: Mapping[str, Sequence[float | None]],
    *,
    metric: str = "time",
    unit: str = "ms",
    better: str = "lower",
    **fields: Any,
) -> Iterator[Row]:
    """The rows of trials by arm; None is a trial that failed."""
    fields = {"arms": list(values), "repetitions": max(map(len, values.values())), **fields}
    for arm, some in values.items():
        for number, value in enumerate(some, start=1):
            one = row(arm=arm, repetition=number, **fields)
            if value is not None:
                told = {"metric": metric, "unit": unit, "better": better, "value": value}
                yield replace(one, row="value", **told)
            outcome = {"outcome": "failed", "reason": "boom"} if value is None else {}
            yield replace(one, **{"outcome": "passed", "seconds": 0.5, **outcome})
