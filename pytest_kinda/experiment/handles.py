"""What a testbed's ``kinda`` can be asked of workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kinda.experiment.traces import Arrival, Replayed, Trace

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed


def replay(
    testbed: Testbed, trace: Trace, *, scheduler: str = "", namespace: str | None = None
) -> tuple[Replayed, ...]:
    """Make the pods of a trace when they arrive, and delete them when their duration is over.

    They sleep; what they ask for is the trace's. ``scheduler`` places them. Their label ``group``
    is the trace's group. It returns when the last has gone whose duration ends; what else is left
    goes with the test's namespace. Raises ClusterError. Example::

        kinda.replay(trace(limit=20, scale=0.01, shrink=0.05), scheduler="mine")
        placed = kinda.placements("trace=yes")
    """
    cluster = testbed.cluster
    space = namespace or cluster.namespace

    def begin(one: Arrival) -> None:
        labels = {"trace": "yes", **({"group": one.group} if one.group else {})}
        cluster.run_pod(
            one.name,
            labels=labels,
            requests=one.requests,
            spec={"schedulerName": scheduler} if scheduler else {},
            namespace=space,
            wait=False,
        )

    def end(one: Arrival) -> None:
        cluster.delete(f"pod/{one.name}", namespace=space, wait=False)

    return trace.replay(begin, end)
