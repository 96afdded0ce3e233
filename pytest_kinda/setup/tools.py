"""kind and kubectl: the machine's where they fit what is pinned, else our own beside the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import golang, pins
from pytest_kinda.setup.steps import Found, Report


def program(name: str) -> str:
    """The path of ``kind`` or ``kubectl`` to run: one of our own first, then the one on PATH.

    :raises SetupError: there is none; ``kinda setup`` makes one.

    >>> program("kind")                                       # doctest: +SKIP
    '/home/me/.cache/pytest-kinda/bin/kind'
    """
    ours = folders.programs() / name
    if os.access(ours, os.X_OK):
        return str(ours)
    found = shutil.which(name)
    if found:
        return found
    raise SetupError(f"{name} is not on this machine", remedy="kinda setup")


def kind_version(path: str) -> str:
    """What a kind program says its version is ("0.33.0"), or "" when it says nothing readable."""
    found = re.search(r"\bv?(\d+\.\d+\.\d+)\b", _ask([path, "version"]))
    return found.group(1) if found else ""


def kubectl_version(path: str) -> str:
    """What a kubectl program says its version is ("1.34.11"), or ""."""
    found = re.search(r"v(\d+\.\d+\.\d+)", _ask([path, "version", "--client"]))
    return found.group(1) if found else ""


def fits(version: str, wanted: str) -> bool:
    """Whether a kubectl may be used: at most one minor version from the cluster's."""
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
        wanted_major, wanted_minor = (int(part) for part in wanted.split(".")[:2])
    except ValueError:
        return False
    return major == wanted_major and abs(minor - wanted_minor) <= 1


class Kind:
    """Step: kind of exactly the pinned version (its configuration format and behaviour count)."""

    name = "kind"

    def check(self) -> Found:
        """Whether a fitting kind is here."""
        try:
            path = program("kind")
        except SetupError:
            return Found(False, "not on this machine", "kinda setup")
        version = kind_version(path)
        if version == pins.KIND:
            return Found(True, f"{version} at {path}")
        return Found(False, f"{version or 'unknown version'} at {path}; {pins.KIND} is wanted")

    def do(self, report: Report) -> None:
        """Build it from its Go module into our own folder; the machine's stays as it is."""
        report(f"compiling kind {pins.KIND} (about 30 s)")
        golang.toolchain(report).install(f"sigs.k8s.io/kind@v{pins.KIND}", folders.programs())


class Kubectl:
    """Step: a kubectl at most one minor version from the cluster's."""

    name = "kubectl"

    def check(self) -> Found:
        """Whether a fitting kubectl is here."""
        try:
            path = program("kubectl")
        except SetupError:
            return Found(False, "not on this machine", "kinda setup")
        version = kubectl_version(path)
        if fits(version, pins.KUBERNETES):
            return Found(True, f"{version} at {path}")
        return Found(
            False, f"{version or 'unknown version'} at {path}; about {pins.KUBERNETES} is wanted"
        )

    def do(self, report: Report) -> None:
        """Take it out of the node image, which holds the one that fits exactly."""
        from pytest_kinda.setup import images, workshop

        report("taking kubectl out of the node image")
        workshop.copy_out(images.image("node"), "/usr/bin/kubectl", folders.programs() / "kubectl")


def _ask(command: list[str | Path]) -> str:
    try:
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
