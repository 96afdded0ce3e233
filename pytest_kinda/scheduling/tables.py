"""The facts as tables: for people, spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from pytest_kinda.units import format_duration, format_rate

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

COLUMNS = (
    "source",
    "target",
    "delay_ns",
    "quickest_ns",
    "rate_bit_s",
    "hops",
    "ways",
    "cost",
    "path",
    "links",
)
_FEW = 24  # nodes whose costs fit on a screen


def rows(facts: NetworkFacts) -> list[dict[str, Any]]:
    """One row a pair, by the names of :data:`COLUMNS`; no rate is None."""
    return [
        {
            "source": one.source,
            "target": one.target,
            "delay_ns": one.delay,
            "quickest_ns": one.quickest,
            "rate_bit_s": one.rate,
            "hops": one.hops,
            "ways": one.ways,
            "cost": one.cost,
            "path": " ".join(one.path),
            "links": " ".join(one.links),
        }
        for one in facts.matrix.values()
    ]


def to_csv(facts: NetworkFacts) -> str:
    """A line a pair, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(facts))
    return text.getvalue()


def to_json(facts: NetworkFacts) -> str:
    """One document: the scale, the levels, the warnings and a row a pair."""
    levels = [
        {"name": one.name, "hops": one.hops, "domains": one.domains} for one in facts.levels()
    ]
    found = {
        "topology": facts.plan.topology,
        "signature": facts.plan.signature,
        "metric": facts.scale.metric,
        "unit": facts.scale.unit,
        "nodes": facts.nodes,
        "levels": levels,
        "warnings": facts.warnings,
        "pairs": rows(facts),
    }
    return json.dumps(found, indent=2) + "\n"


def to_text(facts: NetworkFacts) -> str:
    """The costs as a square, the levels, and what to beware of."""
    lines = [f"{facts.plan.topology}: {facts.scale}"]
    if len(facts.nodes) <= _FEW:
        lines += _square(facts)
    for level in facts.levels():
        domains = "; ".join(
            f"{name}: {' '.join(nodes)}" for name, nodes in list(level.domains.items())[:_FEW]
        )
        lines.append(f"{level.name} ({level.hops} links): {domains}")
    lines += [f"note: {one}" for one in facts.warnings]
    return "\n".join(lines)


def _square(facts: NetworkFacts) -> list[str]:
    table = [["", *facts.nodes]]
    table += [[source, *map(str, facts.costs(source))] for source in facts.nodes]
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in table
    ]


def pairs_table(facts: NetworkFacts) -> list[tuple[str, ...]]:
    """What lies between each two nodes, in words."""
    return [
        (
            one.source,
            one.target,
            format_duration(one.delay),
            format_rate(one.rate) if one.rate else "-",
            str(one.hops),
            str(one.cost),
            " ".join(one.path),
        )
        for one in facts.matrix.values()
    ]
