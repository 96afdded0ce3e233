"""What the terminal says: header, live progress, where the time went, what was kept."""

from __future__ import annotations

import contextlib
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.errors import KindaError
from pytest_kinda.versions import version_of

if TYPE_CHECKING:
    from pytest_kinda.plugin.marks import Want
    from pytest_kinda.plugin.options import Options
    from pytest_kinda.plugin.testbeds import Account, Testbeds

MOST_LOADED = 5
"""Tests named at the end of which the machine was too busy; each one's report has its own."""


def _version(distribution: str) -> str:
    return version_of(distribution) or "not installed"


def header() -> str:
    """The versions, without asking Docker or the kernel for anything."""
    names = ("kathara", "docker", "kubernetes", "pyroute2")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    return f"kinda: {_version('pytest-kinda')} ({versions}; Linux {platform.release()})"


def machine() -> str:
    """What this machine offers: asked for only when a testbed will be built."""
    from pytest_kinda.build.facts import facts as ask

    try:
        facts = ask()
    except KindaError as error:
        return f"kinda: {error.message.splitlines()[0]}"
    drivers = [name for name in ("gre", "bpf", "vxlan") if getattr(facts, name)]
    delays = "netem" if facts.netem else "ours (no netem)" if facts.hold else "none (no netem)"
    return f"kinda: tunnel drivers {', '.join(drivers) or 'none'}; delay and loss by {delays}"


def lab() -> str:
    """That this run has no data path."""
    return "kinda: a lab: no packets, pods only run in name; speeds are the control plane's"


def p4_engines(wants: Iterable[Want], options: Options) -> list[str]:
    """A line for each topology with P4 switches: which engine runs them."""
    found = []
    for want in wants:
        engines = want.p4_engines(options.plan)
        if engines:
            told = "; ".join(f"{engine} ({', '.join(on)})" for engine, on in engines.items())
            found.append(f"kinda: {want.name}: P4 engine {told}")
    return found


def left_by_crashes(options: Options) -> list[str]:
    """A line for each testbed whose keeper is gone, with what removes it."""
    from pytest_kinda.build.catalogue import testbeds

    if options.clean:
        return []
    return [
        f"kinda: a crash has left testbed {one.id} ({one.topology or 'unknown'}): "
        f"--kinda-clean or `kinda clean {one.id}` removes it"
        for one in testbeds()
        if one.state == "abandoned"
    ]


@contextlib.contextmanager
def progress(config: pytest.Config, title: str) -> Iterator[Any]:
    """Where a build tells its steps: a live tree on a terminal, else a line for each step."""
    from pytest_kinda.build.display import Quiet, display

    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        yield Quiet()
        return
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    uncaptured = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
    with uncaptured:
        reporter.ensure_newline()
        with display(sys.stdout, title, terminal=reporter.isatty) as shown:
            yield shown


def plan_all(config: pytest.Config, wants: Sequence[Want], testbeds: Testbeds) -> int:
    """Plan each topology and print a line for it; how many could not be planned."""
    from pytest_kinda.plan import plan
    from pytest_kinda.plan.values import USUAL

    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    failures = 0
    for want in wants:
        try:
            planned = plan(want.topology, want.plan_options(testbeds.options.plan), USUAL)
        except KindaError as error:
            failures += 1
            reporter.write_line(f"{want.name}: {error}", red=True)
            continue
        nodes, links = len(planned.nodes), len(planned.links)
        reporter.write_line(
            f"{want.name}: {nodes} nodes, {links} links, signature {planned.signature[:12]}"
        )
        for warning in planned.warnings:
            reporter.write_line(f"  {warning}", yellow=True)
    reporter.write_line(f"planned {len(wants)} topologies, {failures} of them not possible")
    return failures


def summary(reporter: Any, account: Account, root: Path) -> None:
    """The last words: where the time went, and what stands."""
    if account.timings and reporter.config.get_verbosity() >= 0:
        reporter.section("kinda: where the time went")
        for one in account.timings:
            reporter.write_line(
                f"{one.topology}: build {one.build:.1f} s, "
                f"tests {one.tests:.1f} s, undo {one.undo:.1f} s"
            )
            for step, seconds in sorted(one.steps, key=lambda pair: -pair[1]):
                reporter.write_line(f"  {seconds:8.2f} s  {step}")
    for verified in account.verified:
        how = "as declared" if verified.well else "NOT as declared"
        reporter.section(f"kinda: {verified.topology} is {how}")
        reporter.write_line(verified.table)
    if account.loaded:
        reporter.section("kinda: the machine was too busy to be faithful")
        for loaded in account.loaded[:MOST_LOADED]:
            reporter.write_line(f"{loaded.test}: {loaded.why}")
        if len(account.loaded) > MOST_LOADED:
            reporter.write_line(f"and {len(account.loaded) - MOST_LOADED} more tests")
    if account.left:
        reporter.section("kinda: what failed tests left")
        for left in account.left:
            lost = f" (the capture lost {left.drops} packets)" if left.drops else ""
            folder = Path(left.folder)
            folder = folder.relative_to(root) if folder.is_relative_to(root) else folder
            reporter.write_line(f"{folder}  {left.test}{lost}")
    for kept in account.kept:
        reporter.section(f"kinda: {kept.topology} was kept")
        reporter.write_line(f"testbed  {kept.id}")
        reporter.write_line(f"nodes    {' '.join(kept.nodes)}")
        if kept.nodes:
            reporter.write_line(f"enter    kinda exec -t {kept.id} {kept.nodes[0]} -- bash")
        if kept.kubeconfig:
            reporter.write_line(f"kubectl  export KUBECONFIG={shlex.quote(kept.kubeconfig)}")
        reporter.write_line(f"reuse    {reuse_line(reporter.config)}")
        reporter.write_line(f"remove   kinda clean {kept.id}")


def reuse_line(config: pytest.Config) -> str:
    """The command line of this run, with the option that takes what it kept."""
    given = [
        one for one in config.invocation_params.args if not str(one).startswith("--kinda-keep")
    ]
    given = [str(one) for one in given if one not in ("--kinda-reuse", "--kinda-clean")]
    return shlex.join(["pytest", "--kinda-reuse", *given])
