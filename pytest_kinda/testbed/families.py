"""Families of handles that rooms above, and other packages, add to a testbed.

A family is a function of the testbed under an entry point of the group ``pytest_kinda.handles``:
``kinda.NAME(...)`` calls it with the testbed first. None is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import metadata
from pkgutil import resolve_name
from typing import Any

from pytest_kinda.errors import KindaError

GROUP = "pytest_kinda.handles"
_BUILT_IN = {
    "app_graph": "pytest_kinda.experiment.app_graph:app_graph",
    "assert_unschedulable": "pytest_kinda.scheduling.handles:assert_unschedulable",
    "explain": "pytest_kinda.scheduling.handles:explain",
    "explaining": "pytest_kinda.scheduling.handles:explaining",
    "int_collector": "pytest_kinda.testbed.telemetry:int_collector",
    "kueue": "pytest_kinda.scheduling.kueue:kueue",
    "network_facts": "pytest_kinda.scheduling.live:network_facts",
    "p4runtime": "pytest_kinda.testbed.p4runtime:p4runtime",
    "placements": "pytest_kinda.scheduling.handles:placements",
    "replay": "pytest_kinda.experiment.handles:replay",
    "scheduler": "pytest_kinda.scheduling.scheduler:scheduler",
    "simulated_nodes": "pytest_kinda.testbed.simulated:simulated_nodes",
}


@cache
def family(name: str) -> Callable[..., Any] | None:
    """The function of that name, None where there is none.

    Raises KindaError for a package whose handles cannot be loaded.
    """
    if name in _BUILT_IN:
        found: Callable[..., Any] = resolve_name(_BUILT_IN[name])
        return found
    for entry in metadata.entry_points(group=GROUP, name=name):
        try:
            loaded: Callable[..., Any] = entry.load()
        except (ImportError, AttributeError) as error:
            raise KindaError(
                f"handle {entry.name} ({entry.value}) cannot be loaded: {error}",
                remedy="repair or uninstall the package that declares it",
            ) from error
        return loaded
    return None
