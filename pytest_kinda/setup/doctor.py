"""What this machine has and lacks, one finding for each requirement."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pytest_kinda.errors import SetupError
from pytest_kinda.setup.steps import Step


@dataclass(frozen=True)
class Finding:
    """One requirement: ``missing`` stops a testbed, ``warning`` does not."""

    name: str
    state: Literal["ok", "missing", "warning"]
    found: str
    remedy: str = ""


def examine(steps: Sequence[Step] | None = None) -> list[Finding]:
    """Look at every requirement; changes nothing.

    What only some testbeds need, and their build makes, is never missing.

    >>> [finding.name for finding in examine()][0]
    'Python'
    """
    on_demand: dict[str, str] = {}
    if steps is None:
        from pytest_kinda.setup import ON_DEMAND, steps_of
        from pytest_kinda.setup.steps import Policy

        known = steps_of(Policy())
        steps = list(known.values())
        on_demand = {known[name].name: name for name in sorted(ON_DEMAND)}
    version = ".".join(str(part) for part in sys.version_info[:3])
    findings = [
        Finding("Python", "ok", version)
        if sys.version_info >= (3, 10)
        else Finding("Python", "missing", version, "Python 3.10 or newer"),
        platform_finding(platform.system(), platform.machine(), platform.release(), _engine()),
    ]
    for step in steps:
        try:
            found = step.check()
        except SetupError as error:
            findings.append(Finding(step.name, "missing", error.message, error.remedy))
            continue
        if not found.ok and step.name in on_demand:
            text = f"{found.text}: made by the first build that needs it"
            remedy = f"kinda setup --with {on_demand[step.name]}"
            findings.append(Finding(step.name, "warning", text, remedy))
        elif not found.ok:
            findings.append(
                Finding(step.name, "missing", found.text, found.remedy or "kinda setup")
            )
        elif found.warning:
            findings.append(Finding(step.name, "warning", found.text, found.warning))
        else:
            findings.append(Finding(step.name, "ok", found.text))
    return findings


TESTED = "tested: Linux on x86-64 with Docker Engine"
UNTESTED = "not tested: arm64, Podman, WSL2, Docker Desktop"


def platform_finding(system: str, machine: str, release: str, engine: str) -> Finding:
    """Whether this project is tested on a machine like this.

    ``engine`` is what the container engine calls itself and its operating system.

    >>> platform_finding("Linux", "x86_64", "6.1.0", "Docker Engine, Debian").state
    'ok'
    """
    untested = []
    if machine not in ("x86_64", "AMD64"):
        untested.append(machine)
    if "microsoft" in release.lower():
        untested.append("WSL2")
    for name in ("Podman", "Docker Desktop"):
        if name.lower() in engine.lower():
            untested.append(name)
    found = f"{system} {release} on {machine}" + (f", {engine}" if engine else "")
    if system != "Linux":
        return Finding("platform", "missing", found, f"a Linux machine ({TESTED})")
    if untested:
        remedy = f"not tested on {' and '.join(untested)}; it may work ({TESTED})"
        return Finding("platform", "warning", found, remedy)
    return Finding("platform", "ok", f"{found} ({TESTED}; {UNTESTED})")


def _engine() -> str:
    """What the engine calls itself; empty where it does not answer, which has its own finding."""
    from pytest_kinda.setup import engine

    try:
        version = engine.ask("/version") or {}
        names = [str(one.get("Name", "")) for one in version.get("Components") or ()]
        running = str((engine.ask("/info") or {}).get("OperatingSystem", ""))
    except (OSError, SetupError):
        return ""
    first = "Podman Engine" if any("podman" in one.lower() for one in names) else "Docker Engine"
    return ", ".join(one for one in (first, running) if one)


def missing(findings: Sequence[Finding]) -> bool:
    """Whether a testbed cannot be built."""
    return any(finding.state == "missing" for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """One line a finding, and its remedy below it."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<7}  {finding.name:<{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects with name, state, found and remedy."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)
