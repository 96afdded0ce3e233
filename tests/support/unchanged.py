"""A whole session leaves the machine as it was: so ``make demo`` is watched by ``.ci/run``.

What others build at the same time would count too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machine import await_same, snapshot

LIMIT = 20.0


class Unchanged:
    """A pytest plugin that fails the session if the machine differs after its last test."""

    def __init__(self) -> None:
        self._nobody = Path("/nonexistent")
        self._problem = ""

    def pytest_sessionstart(self) -> None:
        self._before = {**snapshot(self._nobody), "servants": servants()}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        try:
            await_same(self._before, self._nobody, LIMIT, more=lambda: {"servants": servants()})
        except AssertionError as error:
            self._problem = str(error)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("the machine")
        terminalreporter.write_line(self._problem or "is as it was before")


def servants() -> frozenset[str]:
    """Processes of whatever testbed: keepers and their children, and what Docker starts for it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name = (entry / "comm").read_text().strip()
            argv = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if (
            name.startswith(("containerd-shim", "docker-proxy", "kind"))
            or "-m pytest_kinda" in argv
        ):
            found.append(f"{entry.name} {argv[:160]}")
    return frozenset(found)
