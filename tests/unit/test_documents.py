"""The documentation: its Python runs, its links lead somewhere, its options exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_kinda import Topology
from pytest_kinda.cli.commands import kinda
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import HostFacts
from tests.support.documents import ROOT, documents, examples, execute

EXAMPLES = examples()


@pytest.mark.parametrize("place", EXAMPLES)
def test_the_python_runs_and_its_topologies_can_be_planned(place: str) -> None:
    names = execute(place, EXAMPLES[place])
    for value in list(names.values()):
        for one in _topologies(value):
            assert plan(one, facts=HostFacts(netem=True)).nodes


def _topologies(value: Any) -> list[Topology]:
    marks = getattr(value, "pytestmark", [])
    found = [one for mark in marks for one in mark.args if isinstance(one, Topology)]
    return [value, *found] if isinstance(value, Topology) else found


def test_links_lead_somewhere() -> None:
    for path in documents():
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_command_is_in_the_reference_and_no_other() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    told = set(re.findall(r"`kinda ([a-z0-9]+)\b", text)) - {"exec"}
    assert told == set(kinda.commands) - {"exec"}


def test_every_option_is_in_the_reference_and_no_other(pytestconfig: pytest.Config) -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    told = set(re.findall(r"--kinda-[a-z-]+", text))
    known = {
        name
        for group in pytestconfig._parser._groups
        for option in group.options
        for name in option.names()
        if name.startswith("--kinda-")
    }
    assert told == known
