"""What a test holds of the trial that it is."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_kinda.errors import ExperimentError
from pytest_kinda.experiment.design import Planned
from pytest_kinda.units import DURATIONS

Write = Callable[..., None]
"""Of the fields of a row that differ within a trial, by name."""
_BETTER = ("lower", "higher")


class Trial:
    """One run of one arm. Example::

    @pytest.mark.kinda_experiment(arms=["default", "net"], bound="10%")
    def test_round_trip(kinda, trial):
        ...  # place the pods as the arm wants it
        trial.record("round trip", kinda.ping("w1", "w2").mean_ms, "ms")
    """

    def __init__(self, planned: Planned, value: Any, write: Write) -> None:
        """``value`` is what the mark's ``arms`` say of this arm, its name where they say nothing.

        ``write`` is given metric, value, unit, and which values are better. ``scheduler`` is what
        rows tell of the scheduler under test: the name of the fixture ``kinda_scheduler``, unless a
        test that runs one by itself sets it.
        """
        self._planned = planned
        self._write = write
        self._values: dict[str, float] = {}
        self.value = value
        self.scheduler = ""
        self.random = random.Random(planned.seed)

    @property
    def arm(self) -> str:
        """The arm's name."""
        return self._planned.arm

    @property
    def repetition(self) -> int:
        """The number of the block, from 1."""
        return self._planned.repetition

    @property
    def warmup(self) -> bool:
        """Whether this is a warm-up: its rows say so, and nothing is compared with it."""
        return self._planned.warmup

    @property
    def seed(self) -> int:
        """The block's seed, the same for each arm: what ``random`` has begun with."""
        return self._planned.seed

    @property
    def values(self) -> Mapping[str, float]:
        """What has been recorded, by metric."""
        return dict(self._values)

    def record(
        self, metric: str, value: float, unit: str = "", *, better: str | None = None
    ) -> None:
        """Write one value of this trial to the experiment's file, at once.

        ``better`` says which values are good: ``"lower"`` or ``"higher"``. Times are lower and
        what is counted by the second (``bit/s``) higher unless said otherwise. A metric has one
        value in a trial: the trial is what is repeated, and a hundred packets of one trial are no
        hundred trials. Raises ExperimentError. Example::

            trial.record("p99", load.percentile_ms(0.99), "ms")
            trial.record("cost", placed.cost(edges), better="lower")
        """
        if not isinstance(metric, str) or not metric:
            raise ExperimentError(f"metric: found {metric!r}; expected a name")
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ExperimentError(f"metric {metric}: found {value!r}; expected a finite number")
        if metric in self._values:
            raise ExperimentError(
                f"metric {metric}: found {value!r} beside {self._values[metric]!r} in one trial",
                remedy="record one figure of them: their median, mean or 99th percentile",
            )
        if better is None:
            better = _better_of(unit)
        if better not in _BETTER:
            raise ExperimentError(
                f"metric {metric}: better: found {better!r} for the unit {unit!r}; "
                f"expected {' or '.join(map(repr, _BETTER))}"
            )
        self._values[metric] = float(value)
        self._write(row="value", metric=metric, value=float(value), unit=unit, better=better)

    @contextmanager
    def watch(self, kinda: Any, selector: str = "") -> Iterator[None]:
        """Write where pods are, and what each link carries within the block, each way.

        ``selector`` is that of the pods' labels; all of the test's namespace without it. ``kinda
        plot --map`` draws both. Nothing is written for a block that raises. Example::

            with trial.watch(kinda):
                found = shop.measure()
        """
        links = [kinda.link(one.name) for one in kinda.plan.links]
        before = {one.name: one.counters() for one in links}
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        for link in links:
            crossed = link.counters() - before[link.name]
            for node, count in zip(
                link.nodes, (crossed.bytes_a_to_b, crossed.bytes_b_to_a), strict=True
            ):
                told = {"link": link.name, "node": node, "value": count * 8 / seconds}
                self._write(row="load", unit="bit/s", **told)
        if kinda.plan.cluster is None:
            return
        for one in kinda.placements(selector):
            self._write(row="place", pod=one.pod, workload=one.workload, node=one.node)

    def __repr__(self) -> str:
        return f"<trial {self._planned.id}, seed {self.seed}>"


def _better_of(unit: str) -> str | None:
    if unit in DURATIONS:
        return "lower"
    return "higher" if unit.endswith("/s") else None
