"""What all tests of this repository share: pytester, and the record that ``.ci/run`` reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Record the tests when asked to; an xdist worker reports to its controller, which records."""
    path = os.environ.get("KINDA_TEST_RECORD")
    if path and not hasattr(config, "workerinput"):
        from tests.support.record import Recorder

        config.pluginmanager.register(Recorder(Path(path)), "kinda-record")
