"""The pytest plugin: hooks, options, fixtures, the marker and the reports. Thin by rule.

Everything a testbed is and does lives in ``testbed/`` and ``build/``; this room decides only *when*
one is built and undone, and what is said of it. Importing it imports none of Kathara, Docker,
Kubernetes and pyroute2: a suite that marks no topology pays nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.plugin import (
    distribution,
    evidence,
    experiments,
    hookspecs,
    interaction,
    load,
    marks,
    options,
    placing,
    reporting,
    schedulers,
    trials,
)
from pytest_kinda.plugin.fixtures import kinda, kinda_namespace, trial
from pytest_kinda.plugin.options import pytest_addoption
from pytest_kinda.plugin.schedulers import kinda_scheduler
from pytest_kinda.plugin.testbeds import BROKEN, TESTBEDS, Testbeds

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology

__all__ = ["kinda", "kinda_namespace", "kinda_scheduler", "pytest_addoption", "trial"]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that other plugins may implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, read the options, join xdist if it is there."""
    config.addinivalue_line(
        "markers",
        "topology(topology, ..., fresh=False): build this pytest_kinda.Topology for the test's "
        "`kinda` fixture; with several the test runs once on each; fresh=True gives the test a "
        "testbed of its own.",
    )
    config.addinivalue_line("markers", schedulers.HELP)
    config.addinivalue_line("markers", trials.MARKER)
    chosen = options.read(config)
    config.stash[TESTBEDS] = Testbeds(config, chosen)
    config.stash[experiments.EXPERIMENTS] = experiments.Experiments(config, chosen)
    config.pluginmanager.register(config.stash[experiments.EXPERIMENTS], "kinda-experiments")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(distribution.Distribution(config), "kinda-distribution")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Versions only: what the machine can do is found out when a topology is there to build."""
    return [reporting.header()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test that uses ``kinda`` once on each of its topologies."""
    schedulers.check(metafunc)
    if "kinda" in metafunc.fixturenames:
        wants = marks.wants_of(metafunc.definition)
        if metafunc.config.stash[TESTBEDS].options.both_p4_engines:
            wants = marks.on_each_p4_engine(wants)
        if wants:
            names = [want.name for want in wants]
            metafunc.parametrize("kinda", wants, indirect=True, scope="session", ids=names)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring trials in order and tests of equal topologies together; after pytest's reordering."""
    items[:] = marks.grouped(trials.ordered(items))


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> list[str]:
    """Say what the machine offers, if a testbed will be built."""
    testbeds = config.stash[TESTBEDS]
    if config.option.collectonly or not any(marks.want_of(item) for item in items):
        return []
    if testbeds.options.plan_only or config.get_verbosity() < 0:
        return []
    wants = dict.fromkeys(want for item in items if (want := marks.want_of(item)))
    return [
        reporting.lab() if testbeds.options.lab else reporting.machine(),
        *reporting.p4_engines(wants, testbeds.options),
        *reporting.left_by_crashes(testbeds.options),
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object:
    """With ``--kinda-plan-only`` plan every topology instead of running tests."""
    testbeds = session.config.stash[TESTBEDS]
    if not testbeds.options.plan_only or session.config.option.collectonly:
        return None
    wants = dict.fromkeys(want for item in session.items if (want := marks.want_of(item)))
    failures = reporting.plan_all(session.config, list(wants), testbeds)
    session.testsfailed = failures
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests of a testbed that is known to be broken; name the topology in JUnit's file."""
    want = marks.want_of(item)
    if want is None:
        return
    testbeds = item.config.stash[TESTBEDS]
    item.user_properties.append(("kinda_topology", want.topology.name))
    item.user_properties.append(("kinda_engine", want.plan_options(testbeds.options.plan).engine))
    if engines := want.p4_engines(testbeds.options.plan):
        item.user_properties.append(("kinda_p4_engine", ", ".join(engines)))
    item.user_properties.append(("kinda_versions", reporting.header().removeprefix("kinda: ")))
    cause = testbeds.cause_of(want)
    if cause:
        pytest.skip(f"{BROKEN}: {want.name}: {cause}")
    testbeds.recorder.check(want.topology)
    testbeds.begin_test(want, item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, Any, Any]:
    """Collect evidence while the testbed is as the test left it; remember who saw a failure."""
    report = yield
    want = marks.want_of(item)
    testbeds = item.config.stash[TESTBEDS]
    load.told(item, report, testbeds)
    if want is not None:
        if report.failed:
            testbeds.saw_failure(want)
            placing.after(call, report, testbeds.standing_for(want))
        evidence.after(item, report, testbeds, want)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Watch the machine: what a test measures is worth what the machine had time for."""
    if marks.want_of(item) is None and trials.parameter_of(item) is None:
        return (yield)
    with load.watched(item):
        return (yield)


def pytest_exception_interact(node: pytest.Item | pytest.Collector, report: Any) -> None:
    """Wait, or open a shell, before anything of a failed test's testbed is put back."""
    want = marks.want_of(node) if isinstance(node, pytest.Item) else None
    if want is not None:
        testbeds = node.config.stash[TESTBEDS]
        interaction.offer(node.config, testbeds.options, testbeds.standing_for(want), report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Put the testbed back after each test and its own fixtures, before the next test sees it."""
    if (want := marks.want_of(item)) is not None:
        # Here the testbed stands, and JUnit's file is not yet written of this test.
        item.user_properties += item.config.stash[TESTBEDS].properties_of(want)
    try:
        return (yield)
    finally:
        if want is not None:
            item.config.stash[TESTBEDS].put_back(want)


@pytest.hookimpl(trylast=True)
def pytest_kinda_build(
    config: pytest.Config, topology: Topology, options: PlanOptions, progress: Progress
) -> Any:
    """Build a real testbed, or a lab; or attach to one with ``--kinda-reuse``."""
    from pytest_kinda.testbed import Testbed

    chosen = config.stash[TESTBEDS].options
    if chosen.attach or chosen.kubeconfig:
        from pytest_kinda.testbed.reuse import attach_to

        return attach_to(
            topology, options, progress, which=chosen.attach, kubeconfig=chosen.kubeconfig
        )
    if chosen.reuse:
        from pytest_kinda.testbed.reuse import attach

        standing = attach(topology, options, progress)
        if standing is not None:
            return standing
    if chosen.lab:
        from pytest_kinda.testbed.lab import Lab

        return Lab(topology, options=options, progress=progress)
    return Testbed.build(topology, options=options, progress=progress)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's account to its controller."""
    testbeds = session.config.stash.get(TESTBEDS, None)
    if testbeds is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kinda"] = testbeds.account.data()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time went, and what was kept."""
    testbeds = terminalreporter.config.stash[TESTBEDS]
    reporting.summary(terminalreporter, testbeds.account, Path(terminalreporter.config.rootpath))
