"""Where pods of each arm were, and what links carried: drawn on the topology's picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from pytest_kinda.drawing.picture import Edge, Picture, Vertex, of_topology
from pytest_kinda.errors import ExperimentError

if TYPE_CHECKING:
    from pytest_kinda.experiment.rows import Row
    from pytest_kinda.topology import Topology


@dataclass(frozen=True)
class Map:
    """What the trials of one arm say together.

    ``places`` has for each node and workload how many pods were there, in all of the ``trials``;
    ``loads`` the mean over them of what each link carried, in bit/s, by the link and who sent.
    """

    experiment: str
    arm: str
    trials: int
    places: Mapping[tuple[str, str], int]
    loads: Mapping[tuple[str, str], float]


def maps_of(rows: Iterable[Row]) -> list[Map]:
    """A map for each arm of each experiment, of the trials that passed and were no warm-ups.

    Arms without a place or load are left out.
    """
    listed = [row for row in rows if not row.warmup]
    passed = {_trial(row) for row in listed if row.row == "end" and row.outcome == "passed"}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in listed:
        if row.row in ("place", "load") and _trial(row) in passed:
            name = f"{row.experiment}[{row.case}]" if row.case else row.experiment
            groups.setdefault((name, row.arm), []).append(row)
    return [_map(experiment, arm, some) for (experiment, arm), some in groups.items()]


def check_topology(rows: Iterable[Row], topology: Topology, digest: str) -> None:
    """Refuse to draw on a topology that is not the one of the rows; ``digest`` is its hash.

    Raises ExperimentError.
    """
    told = {row.topology_hash: row.topology for row in rows if row.row in ("place", "load")}
    if other := [name for one, name in told.items() if one != digest]:
        raise ExperimentError(
            f"map: found topology {topology.name}; the rows are of {other[0]}, and another one",
            remedy="name the file as it was when the experiment ran",
        )


def drawn(topology: Topology, shown: Map) -> Picture:
    """A topology's picture with a map's pods at its nodes and loads on its links.

    A link is as thick as it was loaded beside the most loaded one. Of several trials it says how
    many of them had a pod of that workload there.
    """
    picture = of_topology(topology)
    heaviest = max(shown.loads.values(), default=0.0)
    names = [one.name for one in topology.links]
    return Picture(
        f"{shown.experiment.rpartition('::')[2]}: {shown.arm}",
        tuple(_with_pods(one, shown) for one in picture.vertices),
        tuple(
            _with_load(edge, name, shown, heaviest)
            for edge, name in zip(picture.edges, names, strict=True)
        ),
    )


def _trial(row: Row) -> tuple[str, ...]:
    return row.run, row.experiment, row.case, row.arm, str(row.repetition)


def _map(experiment: str, arm: str, rows: Sequence[Row]) -> Map:
    loads: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.row == "load":
            loads.setdefault((row.link or "", row.node or ""), []).append(row.value or 0.0)
    places = Counter((row.node or "", row.workload or "") for row in rows if row.row == "place")
    return Map(
        experiment,
        arm,
        len({_trial(row) for row in rows}),
        dict(places),
        {key: fmean(values) for key, values in loads.items()},
    )


def _with_pods(vertex: Vertex, shown: Map) -> Vertex:
    notes = [
        workload if count == shown.trials else f"{workload} {count}/{shown.trials}"
        for (node, workload), count in sorted(shown.places.items())
        if node == vertex.name
    ]
    return replace(vertex, notes=(*vertex.notes, *notes))


def _with_load(edge: Edge, link: str, shown: Map, heaviest: float) -> Edge:
    sent = [shown.loads.get((link, end)) for end in (edge.a, edge.b)]
    known = [one for one in sent if one is not None]
    if not known:
        return edge
    there, back = (f"{one / 1e6:.3g}" if one is not None else "?" for one in sent)
    told = f"{edge.a} {there}, {edge.b} {back} Mbit/s"
    label = f"{edge.label}: {told}" if edge.label else told
    return replace(edge, label=label, weight=max(known) / heaviest if heaviest else 0.0)
