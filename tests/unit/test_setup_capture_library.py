"""The step that looks for libpcap."""

from __future__ import annotations

import pytest

from pytest_kinda.setup import Policy, pins, steps_of
from pytest_kinda.setup.capture_library import CaptureLibrary
from pytest_kinda.setup.steps import NotAllowed


def test_the_engine_brings_it_on_a_bare_machine() -> None:
    assert pins.CAPTURE_PACKAGE in pins.ENGINE_SUPPORT


def test_it_is_a_step_after_the_engine() -> None:
    names = list(steps_of(Policy()))
    assert names.index("engine") < names.index("libpcap")


def test_what_it_finds_is_what_captures_load() -> None:
    found = CaptureLibrary().check()
    assert found.ok != bool(found.remedy)


def test_a_machine_with_an_engine_is_left_alone() -> None:
    with pytest.raises(NotAllowed, match="not for this program"):
        CaptureLibrary(install=False).do(lambda line: None)
