"""Calls of BMv2's Thrift services over a stream, many in one exchange.

Facts of its IDL (``standard.thrift``, ``simple_pre_lag.thrift``, ``simple_switch.thrift`` of the
behavioral model 1.15): names, the order of arguments and the numbers of fields and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.bmv2.thrift import CALL, EXCEPTION, Reader, Value, message, record

AT_ONCE = 16384
CALLS_AT_ONCE = 64
"""Bytes and calls that are sent before their answers are read: a switch whose answers nobody takes
stops reading, and a socket holds few small pieces."""

_TABLE_ERRORS = {
    1: "the table is full",
    2: "no entry has this handle",
    3: "no entry has this handle any more",
    4: "the table does not count",
    5: "the table has no meter",
    6: "the table's entries have no timeout",
    7: "the loaded program has no such table",
    8: "the table or profile has no such action",
    9: "the table is of another kind",
    10: "no member has this handle",
    11: "an entry or a group still has the member",
    12: "the member is in the group already",
    13: "the member is not in the group",
    14: "no group has this handle",
    15: "an entry still has the group",
    16: "the group has no member",
    17: "an entry with this match is there already",
    18: "the match does not fit the table's key",
    19: "the meter cannot do that",
    20: "the program declares the table's default action constant",
    21: "the program declares the table's default action constant",
    22: "the table has no default action",
    23: "the loaded program has no such action profile",
    24: "the profile has no groups",
    25: "the program declares the table's entries constant",
    26: "the parameters do not fit the action",
    27: "the table has no key",
}
_ERRORS: tuple[tuple[str, dict[int, str]], ...] = (
    ("bm_mt_", _TABLE_ERRORS),
    ("bm_counter_", {1: "the loaded program has no such counter", 2: "no such index"}),
    ("bm_register_", {1: "the loaded program has no such register", 2: "no such index"}),
    (
        "bm_meter_",
        {
            1: "the loaded program has no such meter",
            2: "no such index",
            3: "the committed rate is above the peak rate",
            4: "a rate is none",
            5: "a burst is none",
        },
    ),
    (
        "bm_parse_vset_",
        {1: "the loaded program has no such value set", 2: "the value does not fit"},
    ),
    ("bm_learning_", {1: "the loaded program has no such digest"}),
    ("bm_dev_mgr_", {1: "the interface cannot be added or removed"}),
    (
        "bm_mc_",
        {1: "too many groups", 2: "no such group", 3: "no such group", 4: "no such node"},
    ),
    ("mirroring_", {1: "no such mirror session"}),
    ("bm_", {1: "this switch was started without --enable-swap", 2: "a swap is under way"}),
)


class Stream(Protocol):
    """Bytes to and from a switch's Thrift port."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises P4ControlError."""

    def receive(self) -> bytes:
        """The next piece. Raises P4ControlError, also where the switch is gone."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True)
class Call:
    """A call of one of the services, with its arguments in their order."""

    service: str
    name: str
    arguments: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a call gave; ``error`` is empty where it went well."""

    value: Any = None
    error: str = ""


class Client:
    """Calls over a stream; of one thread at a time.

    Example:
        >>> Client(stream).one(Call("standard", "bm_get_config_md5"))      # doctest: +SKIP
        b'...'
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reader = Reader()
        self._number = 0

    def all(self, calls: Sequence[Call]) -> list[Answer]:
        """Carry out calls in their order; an error of one does not keep the others.

        Raises P4ControlError where the switch is gone, or what answers is not BMv2.
        """
        answers: list[Answer] = []
        waiting: list[tuple[int, Call]] = []
        data = bytearray()
        for call in calls:
            self._number += 1
            arguments = record(dict(enumerate(call.arguments, 1)))
            data += message(CALL, f"{call.service}:{call.name}", self._number, arguments)
            waiting.append((self._number, call))
            if len(waiting) == CALLS_AT_ONCE or len(data) >= AT_ONCE:
                answers += self._exchange(bytes(data), waiting)
                waiting = []
                data.clear()
        return answers + (self._exchange(bytes(data), waiting) if waiting else [])

    def _exchange(self, data: bytes, calls: Sequence[tuple[int, Call]]) -> list[Answer]:
        self._stream.send(data)
        return [self._answer(number, call) for number, call in calls]

    def one(self, call: Call) -> Any:
        """Carry out one call; its value. Raises P4ControlError, also where it was refused."""
        (answer,) = self.all([call])
        if answer.error:
            raise P4ControlError(f"{call.name}: {answer.error}")
        return answer.value

    def close(self) -> None:
        """Close the stream; the switch goes on."""
        self._stream.close()

    def _answer(self, number: int, call: Call) -> Answer:
        while (found := self._reader.message()) is None:
            self._reader.feed(self._stream.receive())
        if found.number != number:
            raise P4ControlError(
                f"{call.name}: found the answer to call {found.number}; expected {number}"
            )
        if found.kind == EXCEPTION:
            said = found.fields.get(1, b"").decode("utf-8", "replace")
            return Answer(error=f"BMv2 refuses {call.service}:{call.name}: {said}")
        if 1 in found.fields:
            return Answer(error=_error(call.name, found.fields[1].get(1, 0)))
        return Answer(found.fields.get(0))


def _error(name: str, code: int) -> str:
    known = next(errors for prefix, errors in _ERRORS if name.startswith(prefix))
    return known.get(code, f"BMv2's error {code}")
