"""Box plots of what was measured; needs matplotlib (the extra ``plot``), which is imported late."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import ExperimentError

if TYPE_CHECKING:
    from pytest_kinda.experiment.results import Metric, Results

SUFFIXES = (".png", ".svg", ".pdf")
_INCHES = 1.1  # of width for each arm


def plot(results: Results, metric: Metric, path: Path) -> None:
    """Draw a metric: a box for each arm (quartiles, whiskers of 1.5 times between), every value.

    The suffix of ``path`` says the form. Raises ExperimentError without matplotlib, or for a metric
    without values.
    """
    if path.suffix not in SUFFIXES:
        raise ExperimentError(f"found the suffix {path.suffix!r}; expected {', '.join(SUFFIXES)}")
    arms = [arm for arm in results.arms if metric.values[arm]]
    if not arms:
        raise ExperimentError(f"{results.name}: metric {metric.name} has no values")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExperimentError(
            f"plotting needs matplotlib: {error}", remedy="pip install 'pytest-kinda[plot]'"
        ) from None
    values = [[*metric.values[arm].values()] for arm in arms]
    figure: Any = Figure(figsize=(2 + _INCHES * len(arms), 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(values, showfliers=False, medianprops={"color": "black"})
    for place, some in enumerate(values, start=1):
        # side by side, in the order of the blocks: a drift is seen
        spread = [place + 0.3 * ((at + 0.5) / len(some) - 0.5) for at in range(len(some))]
        axes.plot(spread, some, "o", markersize=3, alpha=0.6)
    axes.set_xticks(
        range(1, len(arms) + 1),
        [f"{arm}\nn = {len(some)}" for arm, some in zip(arms, values, strict=True)],
    )
    axes.set_ylabel(f"{metric.name} [{metric.unit}]" if metric.unit else metric.name)
    axes.set_title(results.name.rpartition("::")[2], fontsize="medium")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
