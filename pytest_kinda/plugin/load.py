"""Whether the machine was too busy during a test to be faithful: its report says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_kinda.plugin.testbeds import Loaded, Testbeds

SECTION = "kinda machine"
_LOAD = pytest.StashKey[Any]()


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """Watch the machine while a test's function runs."""
    from pytest_kinda.testbed.load import LoadWatch

    watch = LoadWatch()
    try:
        with watch:
            yield
    finally:
        item.stash[_LOAD] = watch.load


def seen(item: pytest.Item) -> Any:
    """What the machine did while a test's function ran; None where it has not been watched."""
    return item.stash.get(_LOAD, None)


def told(item: pytest.Item, report: pytest.TestReport, testbeds: Testbeds) -> None:
    """Put what was seen into the report of the test's call, JUnit's file and the summary."""
    load = seen(item)
    if report.when != "call" or load is None or load:
        return
    text = str(load)
    report.sections.append((SECTION, f"too busy to be faithful: {text}"))
    item.user_properties.append(("kinda_load", text))
    testbeds.account.loaded.append(Loaded(item.nodeid, text))
