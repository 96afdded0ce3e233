"""A scheduler under test in the place of a lab's own, which is a process like it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pytest_kinda.build.lab import LabStanding
from pytest_kinda.build.lab_files import UNLIMITED
from pytest_kinda.errors import LabError
from pytest_kinda.scheduling.choice import Choice
from pytest_kinda.scheduling.death import Death


class InLab:
    """Instead of the lab's own scheduler, until it ends. Raises HostError."""

    def __init__(self, lab: LabStanding, choice: Choice, binary: Path | None) -> None:
        if choice.mode == "second" or choice.image:
            what = f"image {choice.image}" if choice.image else "mode 'second'"
            raise LabError(
                f"scheduler {choice.name or choice.mode}: {what} needs a node that runs pods, and "
                "nothing runs on those of a lab",
                remedy="mode='process' beside the lab's own, or a binary with mode='replace'",
            )
        if len(choice.argv) > 1:
            raise LabError(
                f"scheduler {choice.name or choice.mode}: a command of {len(choice.argv)} words "
                "in the place of a lab's scheduler; expected one program with its flags",
                remedy="mode='process' takes any command",
            )
        self._own = lab.scheduler
        self._verbosity = choice.verbosity
        self._argv = (str(binary),) if binary else choice.argv
        self._log = lab.directory / f"scheduler-{uuid4().hex[:8]}.log"
        self._last = ""
        self.kubeconfig = str(lab.kubeconfig)

    def begin(self, configuration: Mapping[str, Any]) -> None:
        """End the lab's own and start this one."""
        self._log.touch(mode=0o600)
        client = {**UNLIMITED, **configuration.get("clientConnection", {})}
        wanted = {**configuration, "clientConnection": client}
        # two leaders would wait for each other's lease, and there is never but one here
        wanted["leaderElection"] = {"leaderElect": False}
        self._own.stop()
        self._own.start(wanted, verbosity=self._verbosity, argv=self._argv, log=self._log)

    def starting(self) -> str:
        """Nothing is missing: it was started."""
        return ""

    def death(self) -> Death | None:
        """How it has died; None while it lives."""
        how = self._own.ended()
        return Death(how, self.log()) if how else None

    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else self._last

    def end(self) -> None:
        """End it and start the lab's own again."""
        self._own.stop()
        self._last = self.log()
        self._log.unlink(missing_ok=True)
        self._own.start()
