"""What all tests of this repository share: pytester, and what ``.ci/run`` reads and watches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C be heard; record the tests, and watch over the machine, when asked to.

    An xdist worker does not record: it reports to its controller, which does.
    """
    # What a shell starts in the background ignores Ctrl-C, and so would every program of the tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = os.environ.get("KINDA_TEST_RECORD")
    if path and not hasattr(config, "workerinput"):
        from tests.support.record import Recorder

        config.pluginmanager.register(Recorder(Path(path)), "kinda-record")
        if config.args == ["examples"] and os.geteuid() == 0:
            from tests.support.unchanged import Unchanged

            config.pluginmanager.register(Unchanged(), "kinda-unchanged")
