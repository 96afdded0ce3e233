"""The Makefile's targets that have a bar say at their end how long they took."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(folder: Path, target: str, *, python: str) -> subprocess.CompletedProcess[str]:
    """Run a target with a Python that only says what it was asked."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    program = folder / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho python $*\n{python}\n")
    program.chmod(0o755)
    (folder / ".venv" / ".ready").touch()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFL"))}
    return subprocess.run(
        ["make", "-C", str(folder), target, "PYTEST=-k one"],
        env=clean, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("target", "bar"), [("setup", 10), ("demo", 90), ("test", 720)])
def test_a_bar_is_told_at_the_end(tmp_path: Path, target: str, bar: int) -> None:
    ended = make(tmp_path, target, python="exit 0")
    lines = [one for one in ended.stdout.splitlines() if one.startswith("make ")]
    assert ended.returncode == 0
    assert lines[-1].startswith(f"make {target}: ")
    assert lines[-1].endswith(f" s; the bar on a prepared machine, {bar} s, is met")
    assert ended.stdout.count("\npython -m pytest_kinda.setup") == 1
    assert ("-k one" in ended.stdout) == (target != "setup")


def test_what_fails_fails(tmp_path: Path) -> None:
    ended = make(tmp_path, "demo", python="exit 3")
    assert ended.returncode != 0
    assert "bar" not in ended.stdout
