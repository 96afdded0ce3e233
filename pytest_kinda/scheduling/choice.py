"""Which scheduler is to be tested, and how it is run: checked before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pytest_kinda.errors import DeclarationError, Problem

MODES = ("profile", "replace", "second", "process", "extender")
DEFAULT = "default-scheduler"
BESIDE = "kinda-scheduler"
OURS = "@scheduler-plugins"
"""kube-scheduler with scheduler-plugins in it as a ``binary``, and their definitions as ``crds``.

Both are made when they are first needed.
"""

Filter = Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, str]]
"""Of a pod (its JSON) and the names of nodes: those that are refused, each with the reason."""
Score = Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, float]]
"""Of a pod (its JSON) and the names of nodes: 0 to 10 each, the best has most; 0 if left out."""


@dataclass(frozen=True)
class Choice:
    """A scheduler and how it is run; ``kinda.scheduler`` says what each field means."""

    name: str = ""
    mode: str = "profile"
    config: Mapping[str, Any] | str | Path | None = None
    image: str = ""
    command: str | Sequence[str] = ()
    binary: str | Path = ""
    filter: Filter | None = None
    score: Score | None = None
    rules: Sequence[Mapping[str, Any]] = ()
    crds: Sequence[Mapping[str, Any]] | str = ()
    probe: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str | Path = ""
    verbosity: int | None = None
    allow_race: bool = False
    timeout: float = 60.0

    @property
    def beside(self) -> bool:
        """Whether it runs beside the cluster's own scheduler, not in its place."""
        return self.mode in ("second", "process")

    @property
    def argv(self) -> tuple[str, ...]:
        """Its command as words; a text is one program."""
        return (self.command,) if isinstance(self.command, str) else tuple(self.command)

    def problems(self) -> list[Problem]:
        """All that is wrong with it."""
        found: list[Problem] = []

        def wrong(what: str, value: object, expected: str) -> None:
            found.append(
                Problem(f"scheduler {self.name or self.mode}", what, value_of(value), expected)
            )

        if self.mode not in MODES:
            wrong("mode", self.mode, " or ".join(map(repr, MODES)))
            return found
        given: dict[str, object] = vars(self)  # whatever an author has written
        if not isinstance(given["config"], (Mapping, str, Path, type(None))):
            wrong(
                "config", self.config, "a KubeSchedulerConfiguration: a dict, YAML text or a file"
            )
        words = given["command"]
        if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
            wrong("command", self.command, "a program, or a list of words")
        if not isinstance(given["binary"], (str, Path)):
            wrong("binary", given["binary"], "the path of a program of this machine")
        if isinstance(given["crds"], str) and given["crds"] != OURS:
            wrong("crds", given["crds"], f"definitions, or {OURS!r}")
        programs = [what for what in ("image", "command", "binary") if given[what]]
        if self.mode == "replace" and not programs:
            wrong("image", "no image, command or binary", "one: what runs in its place")
        if self.mode == "process" and not (self.command or self.binary):
            wrong("command", "no command and no binary", "one of them")
        if self.image and self.mode not in ("replace", "second"):
            wrong("image", self.image, "none: only modes 'replace' and 'second' run an image")
        if self.binary and (self.command or self.image):
            wrong("binary", self.binary, "none beside an image or a command")
        if programs and self.mode in ("profile", "extender"):
            wrong(programs[0], given[programs[0]], "none: the cluster's own runs in this mode")
        for what in ("env", "folder"):
            if getattr(self, what) and self.mode != "process":
                wrong(what, getattr(self, what), "none: only mode 'process' has it")
        if self.rules and self.mode == "process":
            wrong("rules", self.rules, "none: a process has the rights of the testbed's kubeconfig")
        callables = {what: given[what] for what in ("filter", "score")}
        for what, one in callables.items():
            if one is not None and not callable(one):
                wrong(what, one, "a function of a pod and the names of nodes")
        if self.mode == "extender" and not any(callables.values()):
            wrong("filter", "neither filter nor score", "at least one of them")
        if not self.timeout > 0:
            wrong("timeout", self.timeout, "seconds above 0")
        return found


def choose(arguments: Mapping[str, Any]) -> Choice:
    """The choice of keyword arguments.

    Raises DeclarationError with everything that is wrong.
    """
    known = [one.name for one in fields(Choice)]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}"
        raise DeclarationError(
            "scheduler under test",
            [Problem("argument", "", repr(name), expected) for name in unknown],
        )
    choice = Choice(**arguments)
    if problems := choice.problems():
        raise DeclarationError("scheduler under test", problems)
    return choice


def value_of(value: object) -> str:
    """A value as an error shows it: texts that say it already stay as they are."""
    return value if isinstance(value, str) and " " in value else repr(value)


def among(names: Iterable[str]) -> str:
    """Names as words of a sentence.

    >>> among(["w1", "w2", "w3"])
    'w1, w2 and w3'
    """
    *others, last = list(names)
    return f"{', '.join(others)} and {last}" if others else last
