"""``kinda.int_collector(...)``: receives the telemetry reports of switches and keeps them read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import ReportError, WaitTimeoutError
from pytest_kinda.testbed.int_reports import IntReport, read_reports
from pytest_kinda.testbed.sockets import UdpEnd

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed


class IntCollector:
    """Reports that come to a UDP port of a node; a context manager. Example::

    with kinda.int_collector("h3", names={1: "s1", 2: "s2", 3: "s3"}) as collector:
        ...
        reports = collector.take(100)
    assert {one.path for one in reports} == {("s1", "s2", "s3")}
    """

    def __init__(self, end: UdpEnd, names: Mapping[int, str], clocks: Mapping[int, int]) -> None:
        self._end = end
        self._names = dict(names)
        self._clocks = dict(clocks)
        self._reports: list[IntReport] = []

    @property
    def reports(self) -> tuple[IntReport, ...]:
        """All that have come until now, in that order. Raises ReportError for what is none."""
        for one in self._end.waiting():
            self._read(one.data, one.time)
        return tuple(self._reports)

    def take(self, count: int, *, timeout: float = 10.0) -> tuple[IntReport, ...]:
        """The reports, once there are ``count``; those that come beside them too.

        ``timeout`` in seconds. Raises WaitTimeoutError with how many there are, ReportError.
        """
        deadline = time.monotonic() + timeout
        while len(self.reports) < count:
            try:
                one = self._end.receive(timeout=max(0.001, deadline - time.monotonic()))
            except WaitTimeoutError:
                raise WaitTimeoutError(
                    f"{len(self._reports)} of {count} telemetry reports came to {self._end} "
                    f"port {self._end.port} within {timeout:g} s"
                ) from None
            self._read(one.data, one.time)
        return self.reports

    def lost(self) -> int:
        """How many reports the numbers of their senders show to be missing.

        Numbers begin with a switch's first report to this collector; those that came last are not
        known to be followed by others.
        """
        numbers: dict[int, list[int]] = {}
        for one in self.reports:
            numbers.setdefault(one.reporter, []).append(one.sequence)
        return sum(max(some) - min(some) + 1 - len(set(some)) for some in numbers.values())

    def rows(self) -> list[dict[str, Any]]:
        """A row for each hop of each report, as ``pandas.DataFrame`` takes them.

        ``report`` numbers the reports, ``hop`` the hops of each, from 0; the other columns are the
        fields of ``IntReport`` and ``IntHop``.
        """
        rows = []
        for number, report in enumerate(self.reports):
            shared = asdict(report)
            for place, hop in enumerate(shared.pop("hops")):
                rows.append({"report": number, "hop": place, **shared, **hop})
        return rows

    def close(self) -> None:
        """Receive no more; what has come stays."""
        self._end.close()

    def _read(self, data: bytes, at: int) -> None:
        try:
            self._reports += read_reports(data, at, names=self._names, clocks=self._clocks)
        except ReportError as error:
            raise ReportError(f"{self._end}: {error.message}", remedy=error.remedy) from error

    def __enter__(self) -> IntCollector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            _ = self.reports  # what has come is the test's, also after its block
        self.close()


def int_collector(
    testbed: Testbed,
    node: str,
    *,
    port: int = 6000,
    names: Mapping[int, str] | None = None,
    clocks: Mapping[int, int] | None = None,
) -> IntCollector:
    """Receive INT reports at a node that has an address, in this process: an ``IntCollector``.

    ``names`` are switches by the node ids that they write. ``clocks``, by node id, is added to the
    times of each; unless given, the named switches are asked when their clocks began, so that all
    times are microseconds of the machine's monotonic clock. Raises HostError, UnknownNameError.
    """
    if clocks is None:
        clocks = {number: _clock_of(testbed, name) for number, name in (names or {}).items()}
    return IntCollector(testbed.node(node).udp(port), names or {}, clocks)


def _clock_of(testbed: Testbed, name: str) -> int:
    """What makes a switch's times the machine's; 0 for a device that is not asked."""
    control = getattr(testbed.device(name), "control", None)
    return 0 if control is None else int(control.clock_start())
