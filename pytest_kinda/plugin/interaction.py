"""``--kinda-shell-on-error`` and ``--kinda-pause-on-error``: look at what a failed test left."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.plugin.options import Options


def offer(config: pytest.Config, options: Options, testbed: Any, report: Any) -> None:
    """Show the failure and how to enter the testbed; open a shell, or wait for Enter, or both."""
    if testbed is None or not (options.shell_on_error or options.pause_on_error):
        return
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    identity = str(getattr(testbed, "id", ""))
    reporter.ensure_newline()
    reporter.section(f"kinda: {report.nodeid} failed in its {report.when}")
    reporter.write_line(str(report.longrepr))
    reporter.write_line(f"testbed  {identity}, as the test left it")
    if options.shell_on_error:
        reporter.write_line("a shell: `kinda NODE COMMAND` acts on this testbed; exit goes on")
        reporter.flush()
        _shell(testbed, identity)
    if options.pause_on_error:
        reporter.write_line(f"enter    kinda -t {identity} NODE bash")
        reporter.write("Enter goes on: ", flush=True)
        try:
            input()
        except EOFError:
            reporter.write_line("(standard input has ended: going on)")


def _shell(testbed: Any, identity: str) -> None:
    """The user's shell, with a testbed and a kubeconfig that commands find by themselves."""
    environment = {**os.environ, "KINDA_TESTBED": identity}
    if kubeconfig := getattr(testbed, "kubeconfig", None):
        from pytest_kinda.testbed.kubectl import surroundings

        environment |= surroundings(Path(kubeconfig))
    shell = shutil.which(os.environ.get("SHELL") or "") or "/bin/sh"
    subprocess.run([shell], env=environment, check=False)
