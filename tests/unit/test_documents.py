"""The documentation: its Python runs, its links lead somewhere, its options exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from pytest_kinda import Topology
from pytest_kinda.cli.commands import kinda
from pytest_kinda.plan import plan
from pytest_kinda.plan.values import HostFacts
from pytest_kinda.setup import doctor
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
    told = set(re.findall(r"--kinda-[a-z0-9-]+", text))
    (ours,) = (group for group in pytestconfig._parser._groups if group.name == "kinda")
    # All that is ours begins so, and nobody else's does.
    assert told == {name for option in ours.options for name in option.names()}


def test_files_for_continuous_integration_can_be_read() -> None:
    github, gitlab, *_ = _yaml_of_how_to()
    steps = [step["run"] for step in github["jobs"]["test"]["steps"] if "run" in step]
    for commands in (steps, gitlab["test"]["script"]):
        words = [re.findall(r"pip install|kinda setup|pytest --junitxml", one) for one in commands]
        assert words == [["pip install"], ["kinda setup"], ["pytest --junitxml"]]


def test_files_for_scheduling_research_name_what_there_is(pytestconfig: pytest.Config) -> None:
    *_, github, gitlab = _yaml_of_how_to()
    job = github["jobs"]["experiment"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    kinds = job["strategy"]["matrix"]["scheduler"]
    assert kinds == gitlab["experiment"]["parallel"]["matrix"][0]["SCHEDULER"]
    example = (ROOT / "examples" / "scheduling" / "network_overhead.py").read_text()
    tests = re.findall(r"^def test_(\w+)", example, re.MULTILINE)
    assert [sum(kind in one for one in tests) for kind in kinds] == [1, 1]
    known = {
        word for option in pytestconfig._parser.getgroup("kinda").options for word in option.names()
    }
    for text in ("\n".join(steps), "\n".join(gitlab["experiment"]["script"])):
        for name, words in re.findall(r"kinda (compare|setup)\b([^|>;\n]*)", text):
            options = {one for option in kinda.commands[name].params for one in option.opts}
            assert {word for word in words.split() if word.startswith("--")} <= options
        assert {*re.findall(r"--kinda-[a-z-]+", text)} <= known
        assert "kinda compare results --markdown" in text
    made = job["steps"][-1]["run"], steps[1]
    assert all(".cache/images.tar" in one for one in made)


def _yaml_of_how_to() -> list[Any]:
    text = (ROOT / "docs" / "how-to.md").read_text()
    return [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_what_is_not_tested_is_said_as_the_doctor_says_it() -> None:
    text = (ROOT / "docs" / "explanation.md").read_text().lower()
    for line in (doctor.TESTED, doctor.UNTESTED):
        assert line.lower() in text
