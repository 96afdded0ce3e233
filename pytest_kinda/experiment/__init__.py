"""Experiments: arms, repetitions, rows, and what can be said of a difference."""

from pytest_kinda.experiment.comparison import Comparison, compare_arms, compare_runs
from pytest_kinda.experiment.results import Results, results_of
from pytest_kinda.experiment.rows import Row, read_rows
from pytest_kinda.experiment.traces import Arrival, Trace, trace
from pytest_kinda.experiment.trial import Trial

__all__ = [
    "Arrival",
    "Comparison",
    "Results",
    "Row",
    "Trace",
    "Trial",
    "compare_arms",
    "compare_runs",
    "read_rows",
    "results_of",
    "trace",
]
