"""Facts of a testbed that stands: published in its cluster, measured on its links."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling.facts import Metric, NetworkFacts
from pytest_kinda.scheduling.forms import render
from pytest_kinda.scheduling.objects import Object, joined
from pytest_kinda.testbed.fidelity import Direction, Fidelity, Row, directions, measure_links
from pytest_kinda.testbed.load import LoadWatch
from pytest_kinda.testbed.simulated import plan_of
from pytest_kinda.units import format_duration

if TYPE_CHECKING:
    from pytest_kinda.testbed.publishing import Publication
    from pytest_kinda.testbed.testbed import Testbed

ROUND_TRIP = (1_000_000, 0.05)
"""Nanoseconds, and share of the declared round trip, by which a measured one may differ."""
Form = str | tuple[str, dict[str, Any]]


def network_facts(
    testbed: Testbed, *, metric: Metric = "delay", unit: str | float | None = None, assume: str = ""
) -> LiveFacts:
    """The facts of a testbed as it was declared, whatever faults are in force.

    Simulated nodes that are there, and their links, are part of them. Arguments and errors are
    those of ``pytest_kinda.scheduling.network_facts``. Example::

        facts = kinda.network_facts(unit="100us")
        with facts.apply(("diktyo", {"zone": "node"})):
            ...  # a scheduler reads them here
    """
    return LiveFacts(testbed, metric=metric, unit=unit, assume=assume)


class LiveFacts(NetworkFacts):
    """Facts that can be published in the cluster and compared with what packets feel."""

    def __init__(
        self, testbed: Testbed, *, metric: Metric, unit: str | float | None, assume: str
    ) -> None:
        super().__init__(plan_of(testbed), metric=metric, unit=unit, assume=assume)
        self._testbed = testbed
        self._unit = unit
        self._published: list[tuple[Publication, tuple[Form, ...]]] = []

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a scheduler that reads these facts should not be trusted with unseen."""
        simulated = [name for name in self.nodes if name in self._testbed.simulated]
        told = f"{', '.join(simulated[:3])}{'...' if simulated[3:] else ''}: {len(simulated)} "
        more = f"{told}simulated nodes, whose links are declared and never measured"
        return (*super().warnings, *([more] if simulated else ()))

    def apply(self, *forms: Form) -> Publication:
        """Publish these facts in the cluster until it is withdrawn, at the latest after the test.

        Each form is a name, a name with options, or plain objects:
        ``facts.apply("volcano", ("diktyo", {"zone": "node"}), [app_group(...)])``. Applied by the
        server with a field manager of its own. The custom resources' definitions must be there.
        Use it as a call or as a context manager. Raises FactsError, ClusterError.
        """
        if not forms:
            raise FactsError("apply: found no form; expected some, such as 'labels'")
        names = ", ".join(_word(one) for one in forms)
        made = self._testbed.publish(self._objects(forms), f"facts ({names})")
        self._published.append((made, forms))
        return made

    def refresh(self) -> LiveFacts:
        """Take the links as they are now, faults included, and publish anew what is published.

        Without it a changed link changes nothing here: schedulers that should not notice do not.
        Published objects are changed in place. Raises FactsError, ClusterError.
        """
        now = plan_of(self._testbed, self._testbed.plan_now())
        NetworkFacts.__init__(self, now, metric=self.metric, unit=self._unit, assume=self.assume)
        self.__dict__.pop("warnings", None)
        cut = self._testbed.cut_links()
        if cut:
            told = f"{', '.join(cut)} cut: what the plan sends over it does not arrive"
            self.__dict__["warnings"] = (*self.warnings, told)
        for made, forms in self._published:
            if not made.withdrawn:
                made.replace(self._objects(forms))
        return self

    def check(
        self,
        *,
        rates: bool = True,
        count: int = 10,
        tolerance: tuple[int, float] = ROUND_TRIP,
    ) -> Fidelity:
        """Measure what was told: truthy when cluster and packets agree with it, its text a table.

        The shortest of ``count`` round trips of every pair of nodes beside twice the delay that was
        told and its cost, within ``tolerance`` (nanoseconds, and share of it); the rate of every
        link that has one, once (some seconds each; not with ``rates=False``); and the published
        objects as they are in the cluster. Simulated nodes are not measured. Raises HostError,
        ClusterError, CommandError.
        """
        with LoadWatch() as watch:
            rows = self._round_trips(count, tolerance)
            if rates:
                rows += self._rates()
            rows += self._still_published()
        return Fidelity(tuple(rows), watch.load)

    def _objects(self, forms: Sequence[Any]) -> list[Object]:
        found: list[Object] = []
        for one in forms:
            if isinstance(one, str):
                made = render(self, one)
            elif isinstance(one, tuple):
                made = render(self, one[0], **one[1])
            else:
                made = [one] if isinstance(one, dict) else list(one)
            if isinstance(made, str):
                raise FactsError(f"{_word(one)} is a text: it cannot be applied")
            found += made
        return joined(found)

    def _round_trips(self, count: int, tolerance: tuple[int, float]) -> list[Row]:
        """Every pair; what is wrong is wrong twice, as a busy machine delays a few."""
        real = [name for name in self.nodes if name not in self._testbed.simulated]
        pairs = list(itertools.combinations(real, 2))

        def look(pair: tuple[str, str]) -> Row:
            a, b = pair
            there, back = self[a, b], self[b, a]
            slow, quick = there.delay + back.delay, there.quickest + back.quickest
            found = self._testbed.ping(a, b, count=count, interval=0.05, wait=slow / 1e9 + 1.0)
            told = format_duration(slow) if slow == quick else _span(quick, slow)
            expected = f"{told} there and back (cost {there.cost}, {back.cost})"
            if found.min_ms is None:
                return Row("round trip", f"{a} {b}", expected, "nothing came back", False)
            measured = found.min_ms * 1e6
            least, part = tolerance
            well = quick * (1 - part) - least <= measured <= slow * (1 + part) + least
            return Row("round trip", f"{a} {b}", expected, f"{found.min_ms:.3g} ms", well)

        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(look, pairs))
        return [row if row.well else look(pair) for pair, row in zip(pairs, rows, strict=True)]

    def _rates(self) -> list[Row]:
        testbed = self._testbed
        ends = {(node.name, end.name): end for node in testbed.nodes for end in node.interfaces}
        told = {
            (node.name, one.name): one.shape for node in self.plan.nodes for one in node.interfaces
        }
        wanted: list[Direction] = []
        seen: set[tuple[str, int]] = set()
        for one in directions(testbed.links, ends):
            shape = told[one.sender.node.name, one.sender.name]
            if shape is None or not shape.rate or (one.link, shape.rate) in seen:
                continue
            seen.add((one.link, shape.rate))
            wanted.append(Direction(one.link, one.sender, one.receiver, shape))
        return [row for row in measure_links(testbed.standing, wanted) if row.what == "rate"]

    def _still_published(self) -> list[Row]:
        rows = []
        for made, forms in self._published:
            if made.withdrawn:
                continue
            words = ", ".join(_word(one) for one in forms)
            changed = made.differences()
            rows += [Row("published", words, "as it was applied", text, False) for text in changed]
            if not changed:
                count = f"{len(made.objects)} objects"
                rows.append(Row("published", words, "as it was applied", count, True))
        return rows


def _word(form: Any) -> str:
    if isinstance(form, str):
        return form
    return str(form[0]) if isinstance(form, tuple) else "objects"


def _span(quick: int, slow: int) -> str:
    return f"{format_duration(quick)} to {format_duration(slow)}"
