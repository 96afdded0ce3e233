"""A Go toolchain: the machine's, else Debian's, unpacked into our cache and not installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import debian, pins
from pytest_kinda.setup.process import run
from pytest_kinda.setup.steps import Report

USUAL = Path("/usr/local/go/bin/go")
"""Where Go's own archive puts it, which is not on everybody's PATH."""


@dataclass(frozen=True)
class Go:
    """A toolchain that can build what is pinned."""

    program: Path
    version: tuple[int, ...]

    def build(self, module: Path, output: Path, *, ldflags: str = "-s -w") -> None:
        """Compile the main package in ``module`` into a static binary.

        :raises SetupError: it does not compile or its modules cannot be fetched.
        """
        run(
            [self.program, "build", "-trimpath", "-ldflags", ldflags, "-o", output, "."],
            what=f"compile {output.name}",
            cwd=module,
            env={**self._environment(), "GOFLAGS": "-mod=readonly -buildvcs=false"},
            timeout=2400,
        )

    def install(self, package: str, folder: Path) -> None:
        """``go install`` one package at a version into ``folder``."""
        run(
            [self.program, "install", "-trimpath", "-ldflags", "-s -w", package],
            what=f"compile {package}",
            env={**self._environment(), "GOBIN": str(folder)},
            timeout=2400,
        )

    def folder_of(self, module: str) -> Path:
        """Where a module at a version (``sigs.k8s.io/kind@v0.33.0``) is, fetched if need be.

        :raises SetupError: it cannot be fetched.
        """
        said = run(
            [self.program, "mod", "download", "-json", module],
            what=f"fetch {module}",
            cwd=Path("/"),
            env=self._environment(),
            timeout=600,
        )
        return Path(json.loads(said)["Dir"])

    def _environment(self) -> dict[str, str]:
        # The caller's own settings of these would build something else than what is pinned.
        chosen = {"CGO_ENABLED": "0", "GOOS": "linux", "GOWORK": "off", "GOFLAGS": ""}
        if self.version < pins.GO_MINIMUM:
            chosen["GOTOOLCHAIN"] = f"go{pins.GO_TOOLCHAIN}+auto"
        return chosen


def version_of(text: str) -> tuple[int, ...]:
    """The numbers in ``go version``'s answer: (1, 26, 8) for "go version go1.26.8 linux/amd64"."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number) for number in found.groups("0")) if found else ()


def toolchain(report: Report) -> Go:
    """Find or unpack a Go that can build what is pinned.

    A Go from 1.21 on can fetch the wanted toolchain itself, as a module.

    :raises SetupError: there is none, and this is not a Debian machine.
    """
    unpacked = folders.cache("go") / "usr/lib/go"
    for program in (shutil.which("go"), str(USUAL), str(unpacked / "bin/go")):
        if program and os.access(program, os.X_OK):
            version = version_of(_ask([program, "version"]))
            if version >= (1, 21):
                return Go(Path(program), version)
    if not debian.is_debian():
        raise SetupError(
            f"no Go {'.'.join(map(str, pins.GO_MINIMUM))} or newer on this machine to build with",
            remedy="install Go, or use the published parts: kinda setup --official",
        )
    report(f"unpacking Go from Debian {pins.DEBIAN}")
    names = [f"golang-{pins.GO_DEBIAN}-go", f"golang-{pins.GO_DEBIAN}-src"]
    debian.Apt(pins.DEBIAN).unpack(names, folders.cache("go"))
    share = folders.cache("go") / f"usr/share/go-{pins.GO_DEBIAN}"
    root = folders.cache("go") / f"usr/lib/go-{pins.GO_DEBIAN}"
    for link in root.iterdir():
        # Debian's links lead to /usr/share by a path that is right for the installed place only.
        if link.is_symlink() and not link.exists():
            link.unlink()
            link.symlink_to(share / link.name)
    unpacked.unlink(missing_ok=True)
    unpacked.symlink_to(root)
    program = str(unpacked / "bin/go")
    return Go(Path(program), version_of(_ask([program, "version"])))


def _ask(command: Sequence[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
