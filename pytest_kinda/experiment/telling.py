"""Results and comparisons as text: the terminal's summary and what ``kinda compare`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kinda.experiment.comparison import Comparison
from pytest_kinda.experiment.results import Results
from pytest_kinda.experiment.statistics import middle

_MOST = 3  # failures that are told one by one


def title(results: Results) -> str:
    """The experiment and its size in a line."""
    size = f"{_counted(len(results.arms), 'arm')} x {_counted(results.repetitions, 'repetition')}"
    return f"{results.name}: {size}, seed {results.seed}"


def table(results: Results) -> list[str]:
    """Lines: each metric of each arm, its median and the interval of that."""
    cells = _cells(results)
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cells(results: Results) -> list[tuple[str, ...]]:
    level = f"{results.confidence:.0%} interval"
    cells: list[tuple[str, ...]] = [("metric", "arm", "n", "median", level, "unit")]
    for metric in results.metrics:
        for arm in results.arms:
            values = [*metric.values[arm].values()]
            if not values:
                cells.append((metric.name, arm, "0", "-", "-", metric.unit))
                continue
            one = middle(values, results.confidence, results.seed)
            told = f"{one.low:.4g} to {one.high:.4g}" if len(values) > 1 else "-"
            cells.append(
                (metric.name, arm, str(len(values)), f"{one.estimate:.4g}", told, metric.unit)
            )
    return cells


def notes(results: Results) -> list[str]:
    """Lines: what is missing, what failed, and whether the machine was too busy."""
    found = [results.undecided] if results.undecided else []
    planned = len(results.arms) * results.repetitions
    if results.missing:
        found.append(f"{results.missing} of {planned} trials are missing: they have no end")
    for arm, repetition, reason in results.failures[:_MOST]:
        found.append(f"{arm}, repetition {repetition}: {reason}")
    if len(results.failures) > _MOST:
        found.append(f"and {len(results.failures) - _MOST} trials more that did not pass")
    if results.disturbed:
        found.append(
            f"the machine was too busy to be faithful in {_counted(results.disturbed, 'trial')}"
        )
    return found


def text(results: Results, comparisons: Sequence[Comparison]) -> list[str]:
    """Everything of one experiment, as lines."""
    lines = [title(results)]
    if results.metrics:
        lines += [f"  {line}" for line in table(results)]
    else:
        lines.append("  no trial recorded a value")
    lines += [f"  {line}" for line in notes(results)]
    return [*lines, *(f"  {one}" for one in comparisons)]


def markdown(results: Results, comparisons: Sequence[Comparison]) -> list[str]:
    """The same for GitHub's job summaries and comments: the verdicts first, as a table."""
    lines = [f"### {_cell(title(results))}", ""]
    if comparisons:
        rows = [("metric", "arm", "beside", "effect", "p", "verdict")]
        for one in comparisons:
            name = f"**{one.metric}**" if one.primary else one.metric
            p = "-" if one.p is None else f"{one.p:.2g}"
            rows.append((name, one.arm, one.reference, one.effect_told or "-", p, one.told))
        lines += [*_table(rows), ""]
    if results.metrics:
        lines += [*_table(_cells(results)), ""]
    else:
        lines += ["No trial recorded a value.", ""]
    return [*lines, *(f"- {_cell(one)}" for one in notes(results)), ""]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    first, *others = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return [first, "|" + "---|" * len(rows[0]), *others]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("[", "\\[").replace("\n", " ")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
