"""Rows: what an experiment has measured, one JSON object a line, whole after any interruption.

Every row says all that it takes to understand it alone, so that files of several runs may be joined
(``pandas.read_json(file, lines=True)``, ``polars.read_ndjson(file)``). ``kinda schema rows`` prints
the JSON Schema of a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from pytest_kinda.errors import ExperimentError

SCHEMA = "pytest-kinda/trial/1"
SUFFIX = ".jsonl"


def _told(description: str, **more: Any) -> Any:
    return field(metadata={"description": description}, **more)


@dataclass(frozen=True)
class Row:
    """What a trial recorded, or its end; ``row`` says which.

    ``value``: a metric; ``place``: where a pod was; ``load``: what a link carried; ``end``.
    """

    row: str = _told(
        "`value`: one metric of one trial; `place`: where a pod was; `load`: what a link carried "
        "one way; `end`: the trial is over"
    )
    run: str = _told("the run of pytest: a time (UTC) and a process")
    experiment: str = _told("the test's node id, without what stands in brackets")
    case: str = _told("what else the test is parametrized by, such as its topology")
    arm: str = _told("what was tried")
    repetition: int = _told("the block, from 1; trials of one block are compared with each other")
    warmup: bool = _told("whether the trial was declared to be a warm-up, which no comparison uses")
    order: int = _told("the trial's place in the experiment, from 1")
    seed: int = _told("the trial's own seed, the same for all arms of a block")
    time: str = _told("when the row was written (ISO 8601, UTC)")
    arms: Sequence[str] = _told("all arms; the first is the one that others are compared with")
    repetitions: int = _told("how many blocks were planned, warm-ups not counted")
    experiment_seed: int = _told("the seed of the experiment's order")
    bound: str = _told("the difference of the primary metric that matters: `10%`, or in its unit")
    confidence: float = _told("the level of intervals, from 0 to 1")
    primary: str = _told("the metric that decides; empty for the one that is recorded first")
    metric: str | None = _told("its name; null at the end of a trial", default=None)
    unit: str | None = _told("the value's unit", default=None)
    value: float | None = _told("what was measured", default=None)
    better: str | None = _told("`lower` or `higher`: which values are the good ones", default=None)
    pod: str | None = _told("of a place: the pod's name", default=None)
    workload: str | None = _told("of a place: what the pod is one of", default=None)
    node: str | None = _told("of a place: the pod's node; of a load: who sent", default=None)
    link: str | None = _told("of a load: the link; `value` is its bit/s then", default=None)
    outcome: str | None = _told(
        "of an end: `passed`, `failed`, `skipped` or `interrupted`; only values of trials that "
        "passed are compared",
        default=None,
    )
    reason: str | None = _told("of an end that was not `passed`: why, in a line", default=None)
    seconds: float | None = _told(
        "of an end: how long the trial took, set-up included", default=None
    )
    topology: str | None = _told("the testbed's topology; null without a testbed", default=None)
    topology_hash: str | None = _told("digest of what the topology declares", default=None)
    options: str | None = _told(
        "options of the plan that are no defaults, `name=value`", default=None
    )
    engine: str | None = _told("who makes the network: `kathara` or `direct`", default=None)
    testbed: str | None = _told("the testbed's id", default=None)
    scheduler: str | None = _told("the scheduler under test; null without a cluster", default=None)
    kubernetes: str | None = _told("the API server's version; null without a cluster", default=None)
    versions: Mapping[str, str] = _told("what took part, by its name", default_factory=dict)
    host_class: str = _told("architecture, processor, number of them, memory", default="")
    host_load1: float | None = _told("the machine's load average (1 min) at the time", default=None)
    load_busy: float | None = _told(
        "of an end: share of all processors that was used", default=None
    )
    load_stolen: float | None = _told("of an end: share that the hypervisor took", default=None)
    load_saturated_seconds: float | None = _told("of an end: no processor was free", default=None)
    load_waited_seconds: float | None = _told(
        "of an end: something waited for a processor", default=None
    )
    load_dropped_packets: int | None = _told("of an end: by the kernel's queues", default=None)
    disturbed: str | None = _told(
        "of an end: why the machine was too busy to be faithful; null if it was not", default=None
    )
    git: str | None = _told("the suite's commit, with `-dirty` where it was changed", default=None)


_NAMES = {one.name for one in fields(Row)}
OUTCOMES = ("passed", "failed", "skipped", "interrupted")


def row_to_json(row: Row) -> dict[str, Any]:
    """The JSON object of a row, ``schema`` first."""
    return {"schema": SCHEMA, **asdict(row)}


def row_from_json(data: Any) -> Row:
    """The row of a JSON object; what later versions add is left out. Raises ExperimentError."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        told = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise ExperimentError(f"schema: found {told!r}; expected {SCHEMA!r}")
    try:
        return Row(**{name: value for name, value in data.items() if name in _NAMES})
    except TypeError as error:
        raise ExperimentError(f"a row lacks fields: {error}") from None


class RowFile:
    """A file that rows are appended to; each is with the kernel before ``append`` returns.

    What the kernel has outlives the process, however that ends. Example::

        with RowFile(Path("results.jsonl")) as file:
            file.append([row])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows, in one call of the system each."""
        for row in rows:
            text = json.dumps(row_to_json(row), allow_nan=False, separators=(",", ":"))
            self._file.write(text.encode() + b"\n")

    def close(self) -> None:
        """Close the file; it is as complete as it was."""
        self._file.close()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a file, of all files of a run's directory, or of the newest run in a directory.

    A last line that was cut short is left out. Raises ExperimentError for what holds no rows.
    Example: ``read_rows(".kinda/experiments")``.
    """
    files = _files(Path(path))
    if not files:
        raise ExperimentError(
            f"{path}: found no rows; expected a file *{SUFFIX}, or a directory of them",
            remedy="pytest --kinda-results DIR writes them to DIR",
        )
    return [row for one in files for row in _read(one)]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    if here := sorted(path.glob(f"*{SUFFIX}")):
        return here
    # runs are named by their time
    runs = sorted(one for one in path.iterdir() if one.is_dir() and [*one.glob(f"*{SUFFIX}")])
    return sorted(runs[-1].glob(f"*{SUFFIX}")) if runs else []


def _read(path: Path) -> list[Row]:
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(row_from_json(json.loads(line)))
        except json.JSONDecodeError:
            if number == len(lines):  # no newline behind it: whoever wrote it was killed
                continue
            raise ExperimentError(f"{path}:{number}: found no JSON object") from None
        except ExperimentError as error:
            raise ExperimentError(f"{path}:{number}: {error.message}") from None
    return found
