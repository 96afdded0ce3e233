"""The testbeds of a session: one at a time, broken ones remembered, kept ones told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.plugin.marks import Want
from pytest_kinda.plugin.options import Options
from pytest_kinda.plugin.recording import Recorder

BROKEN = "testbed broken"


@dataclass
class Timing:
    """Where one testbed's time went, in seconds."""

    topology: str
    build: float = 0.0
    steps: list[tuple[str, float]] = field(default_factory=list)
    tests: float = 0.0
    undo: float = 0.0


@dataclass
class Kept:
    """A testbed that was left standing."""

    id: str
    topology: str
    kubeconfig: str = ""
    nodes: list[str] = field(default_factory=list)


@dataclass
class Left:
    """What a test left in its folder of artifacts."""

    test: str
    folder: str
    drops: int = 0


@dataclass
class Verified:
    """What ``--kinda-verify`` measured of one testbed."""

    topology: str
    table: str
    well: bool


@dataclass
class Loaded:
    """A test within which the machine was too busy to be faithful."""

    test: str
    why: str


@dataclass
class Account:
    """What the end of the session tells; plain data, so that an xdist worker can send it."""

    timings: list[Timing] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    verified: list[Verified] = field(default_factory=list)
    loaded: list[Loaded] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """The account as data that xdist can carry."""
        return asdict(self)

    def add(self, data: dict[str, Any]) -> None:
        """Add a worker's account."""
        for one in data["timings"]:
            steps = [(str(step), float(seconds)) for step, seconds in one["steps"]]
            self.timings.append(Timing(**{**one, "steps": steps}))
        self.kept += [Kept(**one) for one in data["kept"]]
        self.left += [Left(**one) for one in data["left"]]
        self.verified += [Verified(**one) for one in data["verified"]]
        self.loaded += [Loaded(**one) for one in data["loaded"]]


FIRST = "before the first step"
"""Imports, what the machine offers, the plan, whether there is room, the keeper's start."""


class Timed:
    """A progress that also writes the steps' seconds down, and those until the first of them."""

    def __init__(self, inner: Any, timing: Timing) -> None:
        self._inner = inner
        self._timing = timing
        self._begun: float | None = time.monotonic()

    def start(self, step: str) -> None:
        """A step begins."""
        if self._begun is not None:
            self._timing.steps.append((FIRST, time.monotonic() - self._begun))
            self._begun = None
        self._inner.start(step)

    def done(self, step: str, seconds: float) -> None:
        """A step has ended well."""
        self._timing.steps.append((step, seconds))
        self._inner.done(step, seconds)

    def info(self, text: str) -> None:
        """Something worth a line."""
        self._inner.info(text)

    def failed(self, step: str, text: str) -> None:
        """A step has failed."""
        self._inner.failed(step, text)


class Testbeds:
    """Builds, holds and undoes the testbeds that the tests ask for, never two at once."""

    __test__ = False

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config = config
        self.options = options
        self.account = Account()
        self._standing: tuple[Want, Any, Timing, float] | None = None
        self._broken: dict[Want, str] = {}
        self._failed: set[Want] = set()
        self._test = ""
        self.failed_build: Path | None = None
        """Logs of the build that has just failed, until the test that asked for it has them."""
        self._cleaned = False
        self.recorder = Recorder(options)

    def cause_of(self, want: Want) -> str:
        """Why this testbed is broken, in one line; empty if it is not known to be."""
        return self._broken.get(want, "")

    def saw_failure(self, want: Want) -> None:
        """A test on this testbed failed."""
        self._failed.add(want)

    @contextlib.contextmanager
    def standing(self, want: Want) -> Iterator[Any]:
        """Build the testbed; undo it at the end, unless it is to be kept.

        A build that fails is reported here, once; :meth:`cause_of` answers from then on.
        """
        timing = Timing(want.name)
        testbed = self._build(want, timing)
        begun = time.monotonic()
        self._standing = (want, testbed, timing, begun)
        try:
            self._tell_test(testbed)
            yield testbed
        finally:
            self.recorder.end()  # of the last test, before its keeper goes
            self._standing = None
            timing.tests = time.monotonic() - begun
            self._end(want, testbed, timing)

    def standing_for(self, want: Want) -> Any:
        """The testbed of this want if it stands, else None."""
        return self._standing[1] if self._standing and self._standing[0] == want else None

    def properties_of(self, want: Want) -> list[tuple[str, str]]:
        """What JUnit's file tells of the testbed that a test ran on."""
        if self._standing is None or self._standing[0] != want:
            return []
        _, testbed, timing, _ = self._standing
        return [
            ("kinda_testbed", str(getattr(testbed, "id", ""))),
            ("kinda_build_seconds", f"{timing.build:.1f}"),
        ]

    def begin_test(self, want: Want, nodeid: str) -> None:
        """A test begins; a testbed that stands already, or is built for it, is told its name."""
        self._test = nodeid
        if self._standing is not None and self._standing[0] == want:
            self._tell_test(self._standing[1])

    def _tell_test(self, testbed: Any) -> None:
        begin = getattr(testbed, "begin_test", None)
        if begin is not None:
            begin(self._test)
        self.recorder.begin(testbed, self._test)

    def put_back(self, want: Want) -> None:
        """Undo what a test did to the testbed it shares."""
        self.recorder.end()
        if self._standing is None or self._standing[0] != want:
            return
        put_back = getattr(self._standing[1], "put_back", None)
        if put_back is None:
            return
        try:
            put_back()
        except KindaError as error:
            self._broken[want] = f"could not be put back after a test: {error.message}"
            pytest.fail(f"{want.topology.name}: could not be put back\n{error}", pytrace=False)

    def _build(self, want: Want, timing: Timing) -> Any:
        from pytest_kinda.plugin import reporting

        self._clean()
        begun = time.monotonic()
        try:
            with reporting.progress(self.config, f"kinda {want.topology.name}") as progress:
                testbed = self.config.hook.pytest_kinda_build(
                    config=self.config,
                    topology=want.topology,
                    options=want.plan_options(self.options.plan),
                    progress=Timed(progress, timing),
                )
            if self.options.verify and hasattr(testbed, "verify"):
                self._verify(want, testbed, timing)
        except KindaError as error:
            step = error.step if isinstance(error, BuildError) else "plan"
            cause = error.cause if isinstance(error, BuildError) else error.message
            first = cause.strip().splitlines()[0] if cause.strip() else type(error).__name__
            self._broken[want] = f"{step}: {first}"
            self.failed_build = error.logs if isinstance(error, BuildError) else None
            text = f"testbed {want.topology.name} is broken\n  step: {step}\n  cause: {cause}"
            if error.remedy:
                text += f"\n  remedy: {error.remedy}"
        else:
            return testbed
        finally:
            timing.build = time.monotonic() - begun
            self.account.timings.append(timing)
        pytest.fail(text, pytrace=False)  # here, so that the cause is told once

    def _clean(self) -> None:
        """With ``--kinda-clean``, once: remove what crashes have left."""
        if not self.options.clean or self._cleaned:
            return
        self._cleaned = True
        from pytest_kinda.build.catalogue import clean, testbeds
        from pytest_kinda.plugin import reporting

        with reporting.progress(self.config, "kinda clean") as progress:
            for known in [one for one in testbeds() if one.state == "abandoned"]:
                try:
                    left = clean(known.directory, progress.info)
                except KindaError as error:  # another run has removed it meanwhile
                    left = (error.message,) if known.directory.exists() else ()
                state = f"could not remove {'; '.join(left)}" if left else "removed"
                progress.info(f"{known.id} ({known.topology}), left by a crash: {state}")

    def _verify(self, want: Want, testbed: Any, timing: Timing) -> None:
        """Measure what has been built. Raises BuildError where it is not what was declared."""
        from pytest_kinda.plugin import reporting

        begun = time.monotonic()
        with reporting.progress(self.config, f"kinda {want.topology.name}") as shown:
            progress = Timed(shown, timing)
            shown.start("verify")
            try:
                found = testbed.verify(measure=True)
                table, well = str(found), bool(found)
            except KindaError as error:
                table, well = error.message, False
            if well:
                progress.done("verify", time.monotonic() - begun)
            else:
                progress.failed("verify", "not what was declared")
        self.account.verified.append(Verified(want.topology.name, table, well))
        if not well:
            self.saw_failure(want)
            self._end(want, testbed, timing)
            raise BuildError(
                "verify",
                f"what was built is not what was declared\n{table}",
                remedy="without --kinda-verify the tests run on it all the same",
            )

    def _end(self, want: Want, testbed: Any, timing: Timing) -> None:
        from pytest_kinda.plugin import reporting

        if self.options.attach or self.options.kubeconfig:
            testbed.leave()
            return
        keep = self.options.keep or self.options.reuse
        keep = keep or (self.options.keep_on_failure and want in self._failed)
        if keep and hasattr(testbed, "keep"):
            testbed.keep()
            self.account.kept.append(
                Kept(
                    id=str(getattr(testbed, "id", want.topology.name)),
                    topology=want.topology.name,
                    kubeconfig=str(getattr(testbed, "kubeconfig", "") or ""),
                    nodes=[str(node.name) for node in want.topology.nodes],
                )
            )
            return
        begun = time.monotonic()
        with reporting.progress(self.config, f"kinda {want.topology.name}") as progress:
            progress.start("undo")
            try:
                testbed.close()
            except KindaError as error:
                progress.failed("undo", error.message)
                pytest.fail(str(error), pytrace=False)
            finally:
                timing.undo = time.monotonic() - begun
            progress.done("undo", timing.undo)


TESTBEDS = pytest.StashKey[Testbeds]()
