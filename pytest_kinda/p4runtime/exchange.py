"""Commands to a switch, many in one exchange, and what its answers mean to a controller."""

from __future__ import annotations

from collections.abc import Callable

from pytest_kinda.p4.control import Channel
from pytest_kinda.p4runtime.refusal import Code, Refusal

_MEANINGS = {
    "duplicate": Code.ALREADY_EXISTS,
    "full": Code.RESOURCE_EXHAUSTED,
    "no entry has this handle": Code.NOT_FOUND,
    "the program declares the table's entries constant": Code.PERMISSION_DENIED,
    "the program declares the table's default action constant": Code.PERMISSION_DENIED,
}


class Exchange:
    """Sends commands in the order in which they were given.

    ``later`` keeps one until something is asked ``now``, or ``flush``. Raises P4ControlError where
    the switch is gone.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lines: list[str] = []
        self._hearers: list[Callable[[str], None]] = []

    def later(self, line: str, hear: Callable[[str], None]) -> None:
        """Send a command with others; ``hear`` is told how its answer ends."""
        self._lines.append(line)
        self._hearers.append(hear)

    def flush(self) -> None:
        """Send what was kept."""
        if self._lines:
            lines, hearers = self._lines, self._hearers
            self._lines, self._hearers = [], []
            answers = self._channel.ask(lines)
            for hear, answer in zip(hearers, answers, strict=True):
                hear(answer[-1])

    def now(self, line: str) -> list[str]:
        """The lines of a command's answer, without ``- `` and without the last.

        Raises Refusal for one that the switch refuses.
        """
        self.flush()
        *found, last = self._channel.ask([line])[0]
        if refusal := refused(last):
            raise refusal
        return [one[2:] for one in found]

    def added(self, line: str) -> int:
        """Carry out an ``add``; the handle. Raises Refusal."""
        self.flush()
        answer = self._channel.ask([line])[0][-1]
        if refusal := refused(answer):
            raise refusal
        return int(answer.split()[1])


def refused(answer: str) -> Refusal | None:
    """What the last line of an answer means; None where the command was carried out."""
    if answer.startswith("ok"):
        return None
    why = answer.partition(" ")[2]
    return Refusal(_MEANINGS.get(why, Code.INVALID_ARGUMENT), f"the switch says: {why}")
