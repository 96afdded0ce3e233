"""Families of handles: found by name, the built-in ones and those of other packages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import KindaError
from pytest_kinda.testbed import Testbed, families

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    families.family.cache_clear()
    yield
    families.family.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = metadata.EntryPoint("numbers", value, families.GROUP)

    def entry_points(**wanted: str) -> list[metadata.EntryPoint]:
        return [entry] if wanted == {"group": families.GROUP, "name": "numbers"} else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_built_in_families_are_those_of_the_project_file() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text.partition('[project.entry-points."pytest_kinda.handles"]\n')[2]
    told = dict(re.findall(r'^(\w+) = "(.+)"$', section.partition("\n\n")[0], re.M))
    assert told == families._BUILT_IN
    for name in told:
        assert callable(families.family(name))


def test_a_package_adds_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "builtins:list")
    assert families.family("numbers") is list
    bare: Any = object.__new__(Testbed)
    assert bare.numbers.func is list
    assert bare.numbers.args == (bare,)


def test_what_is_no_family_is_no_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    bare: Any = object.__new__(Testbed)
    with pytest.raises(AttributeError, match="a testbed has no 'nonsense'"):
        bare.nonsense  # noqa: B018
    assert not hasattr(bare, "_private")
    installed(monkeypatch, "pytest_kinda.no_such_module:thing")
    with pytest.raises(KindaError, match="handle numbers"):
        bare.numbers  # noqa: B018


def test_a_testbed_imports_no_room_above_before_it_is_asked() -> None:
    code = (
        "import sys; import pytest_kinda.testbed.testbed; "
        "print([one for one in sys.modules if one.startswith('pytest_kinda.scheduling')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
