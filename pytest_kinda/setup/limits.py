"""Kernel limits that many nodes on one machine run into."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.setup import pins
from pytest_kinda.setup.steps import Found, NotAllowed, Report

WANTED: Mapping[str, int] = {
    "fs/inotify/max_user_instances": pins.INOTIFY_INSTANCES,
    "fs/inotify/max_user_watches": pins.INOTIFY_WATCHES,
}


BEFORE = "limits.json"
"""The file, in our state directory, with the values that limits had before they were raised."""


def _note(key: str, value: int) -> None:
    """Keep the oldest value of a limit, on disk before the limit is changed."""
    path = folders.state() / BEFORE
    known = json.loads(path.read_text()) if path.exists() else {}
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps({key.replace("/", "."): value, **known}))
    scratch.replace(path)


class Limits:
    """Step: inotify limits that 31 nodes fit in. Raised until the next boot, never lowered.

    The old values are written to ``limits.json`` of our state directory before they are changed.

    :param root: where the kernel's parameters are files.
    """

    name = "inotify limits"

    def __init__(self, root: Path = Path("/proc/sys")) -> None:
        self.root = root

    def check(self) -> Found:
        """Whether every limit is at least what is wanted."""
        low = self._low()
        if not low:
            return Found(True, ", ".join(f"{self._value(key)}" for key in WANTED) + " are enough")
        text = ", ".join(f"{key.replace('/', '.')} is {now}" for key, now in low.items())
        return Found(False, text, self._command())

    def do(self, report: Report) -> None:
        """Raise them; this needs root.

        :raises NotAllowed: not root, or the kernel's parameters are read-only here.
        """
        for key in self._low():
            file = self.root / key
            if not os.access(file, os.W_OK):
                raise NotAllowed(
                    "only root may raise the kernel's limits (the usual 128 instances end at "
                    "about 8 nodes)",
                    remedy=self._command(),
                )
            before = self._value(key)
            _note(key, before)
            report(f"{key.replace('/', '.')} = {WANTED[key]} (it was {before})")
            file.write_text(f"{WANTED[key]}\n")

    def _value(self, key: str) -> int:
        try:
            return int((self.root / key).read_text())
        except (OSError, ValueError):
            return 0

    def _low(self) -> dict[str, int]:
        return {key: now for key, want in WANTED.items() if (now := self._value(key)) < want}

    def _command(self) -> str:
        return "sudo sysctl -w " + " ".join(
            f"{key.replace('/', '.')}={WANTED[key]}" for key in self._low()
        )
