"""What scheduling research needs beside a testbed: made by name, or when a test first needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_kinda.setup.gomodules import FromModule

# The plugins that the recipe compiles and that have definitions.
_PLUGINS = ("appgroup", "capacityscheduling", "coscheduling", "networktopology")
NAME = "scheduling"
"""The step's name for ``kinda setup --with scheduling``."""
KUEUE_NAME = "kueue"
"""The step's name for ``kinda setup --with kueue``."""

SCHEDULING = FromModule(
    name=NAME,
    recipe="scheduler-plugins",
    module="sigs.k8s.io/scheduler-plugins",
    definitions_at=tuple(f"manifests/{plugin}/crd.yaml" for plugin in _PLUGINS),
    takes="4 to 8 minutes on 2 cores",
)
"""Step: kube-scheduler with scheduler-plugins in it."""
KUEUE = FromModule(
    name=KUEUE_NAME,
    recipe="kueue",
    module="sigs.k8s.io/kueue",
    definitions_at=("config/components/crd/bases/*.yaml",),
    takes="3 to 5 minutes on 2 cores",
)
"""Step: Kueue as a process without webhooks."""


def scheduler_plugins() -> Path:
    """Where kube-scheduler with scheduler-plugins in it is, or will be, as one static program.

    >>> scheduler_plugins().name                                # doctest: +SKIP
    'scheduler-plugins-3f2c9a7b5e1d8046'
    """
    return SCHEDULING.program


def definitions() -> list[dict[str, Any]]:
    """The definitions (CRDs) that its plugins need, as the module of that version has them.

    They are there once the step is done.
    """
    return SCHEDULING.definitions()


def explain_source() -> Path:
    """The folder of our Explain plugin: a package of Go, to be copied into a scheduler's module.

    ``scheduler_plugins()`` has it in it.
    """
    return SCHEDULING.source / "explain"


def version() -> str:
    """The version of scheduler-plugins that the recipe's go.mod names."""
    return SCHEDULING.version
