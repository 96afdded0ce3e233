"""What scheduling research needs beside a testbed: made by name, or when a test first needs it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda import folders
from pytest_kinda.setup import golang, images
from pytest_kinda.setup.compiling import KUBERNETES_FLAGS, compiled, kept
from pytest_kinda.setup.steps import Found, Report

_NAME = "sigs.k8s.io/scheduler-plugins"
# The plugins that the recipe compiles and that have definitions.
_PLUGINS = ("appgroup", "capacityscheduling", "coscheduling", "networktopology")
NAME = "scheduling"
"""The step's name for ``kinda setup --with``."""


def scheduler_plugins() -> Path:
    """Where kube-scheduler with scheduler-plugins in it is, or will be, as one static program.

    >>> scheduler_plugins().name                                # doctest: +SKIP
    'scheduler-plugins-3f2c9a7b5e1d8046'
    """
    return kept(_module(), KUBERNETES_FLAGS, _place())


def definitions() -> list[dict[str, Any]]:
    """The definitions (CRDs) that its plugins need, as the module of that version has them.

    They are there once the step is done.
    """
    texts = [path.read_text() for path in sorted(_definitions().glob("*.yaml"))]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


class Scheduling:
    """Step: the schedulers that are built here and not pulled, of the pinned versions."""

    name = NAME

    def check(self) -> Found:
        """Whether they are compiled, from the present recipe."""
        path = scheduler_plugins()
        if path.exists() and _definitions().is_dir():
            return Found(True, f"scheduler-plugins {version()} at {path}")
        return Found(
            False, f"scheduler-plugins {version()} is missing", f"kinda setup --with {NAME}"
        )

    def do(self, report: Report) -> None:
        """Compile them. Raises SetupError."""
        go = golang.toolchain(report)
        takes = "4 to 8 minutes on 2 cores"
        compiled(go, _module(), KUBERNETES_FLAGS, _place(), report, takes=takes)
        if not (target := _definitions()).is_dir():
            made = go.folder_of(f"{_NAME}@{version()}") / "manifests"
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                (folder := Path(scratch) / "definitions").mkdir()
                for plugin in _PLUGINS:
                    text = (made / plugin / "crd.yaml").read_text()
                    (folder / f"{plugin}.yaml").write_text(text)
                folder.replace(target)


def version() -> str:
    """The version of scheduler-plugins that the recipe's go.mod names."""
    lines = (_module() / "go.mod").read_text().splitlines()
    words = [line.split() for line in lines if f"{_NAME} v" in line]
    return words[0][1]


def _module() -> Path:
    return images.recipes() / "scheduler-plugins"


def _definitions() -> Path:
    return folders.cache(NAME) / f"definitions-{version()}"


def _place() -> Path:
    return folders.cache(NAME) / "scheduler-plugins"
