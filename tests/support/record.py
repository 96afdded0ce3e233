"""Write what each test did, as JSON lines, into the file that ``KINDA_TEST_RECORD`` names.

``.ci/run`` reads it. Lines are written as the tests end, so that an interrupted run is known too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """A pytest plugin; made only when the record is asked for, and in no xdist worker."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _write(self, **event: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def pytest_sessionstart(self) -> None:
        self._write(event="begin")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write(event="end", status=int(exitstatus))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._report(report.nodeid, "collect", report.outcome, 0.0, report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        self._report(report.nodeid, report.when, outcome, report.duration, report)

    def _report(self, nodeid: str, when: str, outcome: str, duration: float, report: Any) -> None:
        text = ""
        if outcome == "skipped" and isinstance(report.longrepr, tuple):
            text = str(report.longrepr[2]).removeprefix("Skipped: ")
        elif outcome == "failed":
            text = report.longreprtext
        self._write(
            event="test", nodeid=nodeid, when=when, outcome=outcome, duration=duration, text=text
        )
