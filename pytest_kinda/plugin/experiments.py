"""The trials of experiments while they run: their rows, and what comes out of them at the end."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.errors import ExperimentError, KindaError
from pytest_kinda.plugin import load, marks, recording, trials
from pytest_kinda.plugin.options import Options
from pytest_kinda.plugin.testbeds import TESTBEDS
from pytest_kinda.plugin.trials import Parameter, case_of, name_of, parameter_of

if TYPE_CHECKING:
    from pytest_kinda.experiment.comparison import Comparison
    from pytest_kinda.experiment.results import Results
    from pytest_kinda.experiment.rows import Row, RowFile
    from pytest_kinda.experiment.trial import Trial


@dataclass
class Running:
    """The trial that runs: its row so far, and how its phases ended."""

    row: Row
    begun: float
    environment: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    skipped: str = ""
    called: bool = False
    trial: Trial | None = None

    def note_scheduler(self, item: pytest.Item) -> None:
        """Remember the scheduler under test: what the test says, else its fixture."""
        fixture = (getattr(item, "funcargs", None) or {}).get("kinda_scheduler")
        told = self.trial.scheduler if self.trial is not None else ""
        if told or fixture is not None:
            self.environment["scheduler"] = told or str(getattr(fixture, "name", fixture))

    @property
    def outcome(self) -> tuple[str, str | None]:
        """How it ended, and why."""
        if self.failure:
            return "failed", self.failure
        if self.skipped:
            return "skipped", self.skipped
        return ("passed", None) if self.called else ("interrupted", "pytest was interrupted")


class Experiments:
    """The hooks of experiments, and the files that their rows are in."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config = config
        self.options = options
        given = getattr(config, "workerinput", {}).get("kinda_run")
        now = datetime.now(timezone.utc)
        self.run = given or f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{os.getpid()}"
        self.directory = options.results / self.run
        self._files: dict[str, RowFile] = {}
        self._apart: dict[int, frozenset[tuple[str, str]]] = {}
        self._saved: list[Results] = []
        self._told: list[tuple[Results, list[Comparison]]] = []
        self._problems: list[str] = []

    # Before the trials

    def pytest_sessionstart(self) -> None:
        """Read the baseline: what is wrong with it is told before hours of trials, not after."""
        if self.options.baseline is None or hasattr(self.config, "workerinput"):
            return
        from pytest_kinda.experiment.results import results_of
        from pytest_kinda.experiment.rows import read_rows

        try:
            self._saved = results_of(read_rows(self.options.baseline))
        except ExperimentError as error:
            raise pytest.UsageError(f"--kinda-baseline: {error}") from None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make trials of marked tests."""
        trials.parametrize(metafunc, self.options.repetitions)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker which run it is part of."""
        node.workerinput["kinda_run"] = self.run

    # One trial

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write the end of a trial, however it ends."""
        parameter = parameter_of(item)
        if parameter is None:
            return (yield)
        with self._running(item, parameter):
            return (yield)

    @contextmanager
    def _running(self, item: pytest.Item, parameter: Parameter) -> Iterator[None]:
        running = Running(self._row(item, parameter), time.monotonic())
        item.stash[RUNNING] = running
        try:
            yield
        finally:
            outcome, reason = running.outcome
            seconds = round(time.monotonic() - running.begun, 6)
            seen = load.seen(item)
            told = _told_load(seen) if seen is not None else {}
            self._write(running, outcome=outcome, reason=reason, seconds=seconds, **told)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before the trial's fixtures: is the testbed as the first trial found it?"""
        want = marks.want_of(item)
        if parameter_of(item) is None or want is None:
            return
        testbed = item.config.stash[TESTBEDS].standing_for(want)
        if testbed is None or not hasattr(testbed, "reachability"):
            return  # not built yet; or another package's, which knows what clean is
        from pytest_kinda.experiment import cleanliness

        try:
            if id(testbed) not in self._apart:
                self._apart = {id(testbed): cleanliness.unreached(testbed)}
            cleanliness.await_clean(testbed, self._apart[id(testbed)])
        except KindaError as error:
            pytest.fail(str(error), pytrace=False)

    def trial(self, request: pytest.FixtureRequest) -> Trial:
        """The trial of a test that is being set up: its testbed stands when this returns."""
        from pytest_kinda.experiment import environment
        from pytest_kinda.experiment.trial import Trial

        parameter: Parameter = request.param
        running: Running = request.node.stash[RUNNING]
        names = request.fixturenames
        testbed = request.getfixturevalue("kinda") if "kinda" in names else None
        if testbed is not None:
            running.environment.update(environment.of_testbed(testbed))

        def write(**fields: Any) -> None:
            running.note_scheduler(request.node)
            self._write(running, **fields)

        running.trial = Trial(parameter.planned, parameter.value, write)
        return running.trial

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remember how the phases of a trial ended."""
        report = yield
        running = item.stash.get(RUNNING, None)
        if running is not None:
            if report.failed:
                running.failure = running.failure or f"{report.when}: {_first_line(report)}"
            elif report.skipped:
                running.skipped = _first_line(report)
            if report.when == "call":
                running.called = True
                running.note_scheduler(item)
        return report

    def _row(self, item: pytest.Item, parameter: Parameter) -> Row:
        from pytest_kinda.experiment import environment, setting
        from pytest_kinda.experiment.rows import Row

        planned, design = parameter.planned, parameter.design
        want = marks.want_of(item)
        declared: dict[str, Any] = {}
        if want is not None:
            chosen = want.plan_options(item.config.stash[TESTBEDS].options.plan)
            declared = environment.of_declaration(want.topology, chosen)
        return Row(
            row="end",
            run=self.run,
            experiment=name_of(item),
            case=case_of(item, parameter),
            arm=planned.arm,
            repetition=planned.repetition,
            warmup=planned.warmup,
            order=planned.order,
            seed=planned.seed,
            time="",
            arms=list(design.arms),
            repetitions=design.repetitions,
            experiment_seed=design.seed,
            bound=str(design.bound),
            confidence=design.confidence,
            primary=design.primary,
            versions=setting.versions(),
            host_class=setting.host_class(),
            git=setting.commit_of(item.config.rootpath),
            **declared,
        )

    def _write(self, running: Running, **fields: Any) -> None:
        from pytest_kinda.experiment import setting
        from pytest_kinda.experiment.rows import SUFFIX, RowFile

        experiment = running.row.experiment
        if experiment not in self._files:
            recording.ignored_by_git(self.options.artifacts)
            path = recording.folder_of(self.directory, experiment)
            self._files[experiment] = RowFile(path.with_name(path.name + SUFFIX))
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        given = {"time": now, "host_load1": setting.load1(), **running.environment, **fields}
        self._files[experiment].append([replace(running.row, **given)])

    # The end

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare what was measured; with a gate, fail the run for what it does not let pass."""
        for file in self._files.values():
            file.close()
        if hasattr(self.config, "workerinput") or not self.directory.is_dir():
            return
        from pytest_kinda.experiment import comparison
        from pytest_kinda.experiment.results import results_of
        from pytest_kinda.experiment.rows import read_rows

        try:
            found = results_of(read_rows(self.directory))
        except ExperimentError as error:
            self._problems.append(str(error))
            found = []
        for one in found:
            told = comparison.compare_arms(one)
            if any(saved.name == one.name for saved in self._saved):
                told += comparison.compare_runs(self._saved, [one])
            elif self._saved:
                self._problems.append(f"{one.name}: the baseline has no such experiment")
            self._told.append((one, told))
        if self.options.gate:
            self._problems += [one.undecided for one, _ in self._told if one.undecided]
            made = [one for _, told in self._told for one in told]
            refused = comparison.refused(made, self.options.gate)
            self._problems += [
                f"--kinda-gate={self.options.gate} refuses: {one}" for one in refused
            ]
            if self._problems and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Each experiment's values and comparisons, and where its rows are."""
        if not self._told and not self._problems:
            return
        from pytest_kinda.experiment import telling

        terminalreporter.section("kinda: experiments")
        for results, comparisons in self._told:
            for line in telling.text(results, comparisons):
                terminalreporter.write_line(line)
        root = Path(self.config.rootpath)
        where = self.directory
        where = where.relative_to(root) if where.is_relative_to(root) else where
        terminalreporter.write_line(f"rows: {where}")
        for problem in self._problems:
            terminalreporter.write_line(problem, red=True)


def _told_load(seen: Any) -> dict[str, Any]:
    return {
        "load_busy": round(seen.busy, 3),
        "load_stolen": round(seen.stolen, 3),
        "load_saturated_seconds": round(seen.saturated_seconds, 3),
        "load_waited_seconds": round(seen.waited_seconds, 3),
        "load_dropped_packets": seen.dropped_packets,
        "disturbed": None if seen else str(seen),
    }


def _first_line(report: pytest.TestReport) -> str:
    told: Any = report.longrepr
    crash = getattr(told, "reprcrash", None)
    text = crash.message if crash is not None else told[2] if isinstance(told, tuple) else told
    first = (str(text).strip().splitlines() or [report.outcome])[0][:300]
    return re.sub(r"^(Failed|Skipped): ", "", first)


RUNNING = pytest.StashKey[Running]()
EXPERIMENTS = pytest.StashKey[Experiments]()
