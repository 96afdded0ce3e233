"""Results as ClusterLoader2 and the scheduler's benchmarks write them, for the dashboards of those.

After ``test/e2e/perftype`` of k8s.io/kubernetes (version ``v1`` of the format).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from pytest_kinda.experiment.results import Results

VERSION = "v1"
_SHARES = {"Perc50": 0.5, "Perc90": 0.9, "Perc95": 0.95, "Perc99": 0.99}


def perf_data(results: Iterable[Results]) -> dict[str, Any]:
    """One item for each metric of each arm: mean and percentiles over the repetitions.

    Percentiles are nearest ranks: of eight repetitions the 90th, 95th and 99th are the largest.
    """
    items = []
    for one in results:
        for metric in one.metrics:
            for arm, values in metric.values.items():
                if not values:
                    continue
                ordered = sorted(values.values())
                ranks = {name: math.ceil(share * len(ordered)) for name, share in _SHARES.items()}
                labels = {"Name": metric.name, "Arm": arm, "Experiment": one.experiment}
                items.append(
                    {
                        "data": {
                            "Average": fmean(ordered),
                            **{name: ordered[rank - 1] for name, rank in ranks.items()},
                        },
                        "unit": metric.unit,
                        "labels": {**labels, **({"Case": one.case} if one.case else {})},
                    }
                )
    return {"version": VERSION, "dataItems": items}
