"""What a command becomes: calls, and how their values are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kinda.p4.bmv2.calls import data_of
from pytest_kinda.p4.bmv2.client import Answer, Call, Client
from pytest_kinda.p4.bmv2.thrift import Value, text
from pytest_kinda.p4.program import Program


class Refused(Exception):
    """Why a command cannot be carried out."""


@dataclass
class Step:
    """Calls, and what the command answers when they went well."""

    calls: list[Call]
    finish: Callable[[list[Any]], list[str]] = lambda values: ["ok"]

    def finished(self, answers: Sequence[Answer]) -> list[str]:
        """The command's answer."""
        for one in answers:
            if one.error:
                return [f"error {one.error}"]
        return self.finish([one.value for one in answers])


@dataclass
class Commands:
    """What the commands of a switch have in common."""

    program: Program
    client: Client

    def now(self, calls: Sequence[Call]) -> list[Any]:
        """Values of calls that must go well. Raises Refused."""
        answers = self.client.all(calls)
        for one in answers:
            if one.error:
                raise Refused(one.error)
        return [one.value for one in answers]

    def called(self, words: Sequence[str]) -> tuple[Value, Value]:
        """An action and its parameters, from the words that name them."""
        action = self.program.actions[int(words[0])]
        widths = (one.width for one in action.parameters)
        arguments = (int(word, 16) for word in words[1:])
        return text(action.name), data_of(zip(arguments, widths, strict=True))

    def told_call(self, actions: Sequence[int], name: bytes, data: Sequence[bytes]) -> str:
        """The words that name an action and its parameters. Raises Refused."""
        # tables have each their copy of an action that they share, with the same name
        wanted = name.decode("utf-8", "replace")
        for number, action in enumerate(self.program.actions):
            if action.name == wanted and action.id in actions:
                values = (f"{int.from_bytes(one, 'big'):x}" for one in data)
                return " ".join((str(number), *values))
        raise Refused(f"it has an entry with the action {wanted}, which the program has not")
