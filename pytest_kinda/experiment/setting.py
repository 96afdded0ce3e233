"""What an experiment runs in: versions, the host, the suite's commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from pytest_kinda.versions import version_of

_DISTRIBUTIONS = (
    *("pytest-kinda", "pytest", "kathara", "docker", "kubernetes", "pyroute2", "networkx"),
)


@cache
def versions() -> dict[str, str]:
    """What takes part in every trial, by its name; what is not installed is left out."""
    found = {"python": platform.python_version(), "linux": platform.release()}
    installed = {name: version_of(name) for name in _DISTRIBUTIONS}
    return found | {name: version for name, version in installed.items() if version}


@cache
def host_class(proc: Path = Path("/proc")) -> str:
    """What hosts of equal speed have in common. Example: ``x86_64, AMD EPYC 7763, 2 CPUs, 24 GiB``.

    Memory is rounded to GiB; the processors are those that this process may use.
    """
    model = _field(proc / "cpuinfo", "model name") or _field(proc / "cpuinfo", "CPU part")
    memory = _field(proc / "meminfo", "MemTotal").split()
    words = [platform.machine(), " ".join(model.split()), f"{len(os.sched_getaffinity(0))} CPUs"]
    words += [f"{round(int(memory[0]) / 2**20)} GiB"] if memory else []
    return ", ".join(word for word in words if word)


def load1() -> float | None:
    """The machine's load average over a minute; None where there is none."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


@cache
def commit_of(directory: Path) -> str | None:
    """The commit of a directory, with ``-dirty`` where files were changed; None without git."""
    argv = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            argv, cwd=directory, capture_output=True, text=True, timeout=10.0, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _field(path: Path, name: str) -> str:
    """The first value of a name in a file of ``name : value`` lines; empty if it is not there."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
