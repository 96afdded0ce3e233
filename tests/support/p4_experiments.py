"""The experiments of examples/p4, which tests elsewhere run and draw."""

from __future__ import annotations

import importlib
from types import ModuleType

from pytest_kinda import Topology
from tests.support.documents import ROOT

FOLDER = ROOT / "examples" / "p4"
EXPERIMENTS = sorted(one.stem.removeprefix("test_") for one in FOLDER.glob("test_*.py"))


def module_of(name: str) -> ModuleType:
    """The module of an experiment."""
    return importlib.import_module(f"examples.p4.test_{name}")


def topology_of(name: str) -> Topology:
    """What an experiment declares."""
    found = getattr(module_of(name), name.upper())
    assert isinstance(found, Topology)
    return found
