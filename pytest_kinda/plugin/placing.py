"""A failed assertion about placements has in its report where the pods are, and why."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pytest_kinda.errors import KindaError

SECTION = "kinda placements"
_HANDLES = "pytest_kinda.scheduling.handles"


def after(call: pytest.CallInfo[Any], report: pytest.TestReport, testbed: Any) -> None:
    """Add the section, if the test's own assertion failed and it had looked at placements."""
    handles = sys.modules.get(_HANDLES)  # who has looked at any has imported it
    asserted = call.excinfo is not None and call.excinfo.errisinstance(AssertionError)
    if handles is None or not asserted or report.when != "call" or not hasattr(testbed, "cluster"):
        return
    try:
        text = handles.told_of_placements(testbed)
    except KindaError as error:
        text = f"could not be asked for: {error}"
    if text:
        report.sections.append((SECTION, text))
