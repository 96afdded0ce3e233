"""Packets and digests: what a program and its controller send each other.

Neither goes over Thrift. Packets cross a cable of which BMv2 has one end as its CPU port; digests
are published, and told over Thrift that they have been taken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.bmv2.calls import standard
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.notifications import Notifications, Samples
from pytest_kinda.p4.bmv2.packet_end import Opener, PacketEnd
from pytest_kinda.p4.bmv2.steps import Commands, Refused
from pytest_kinda.p4.bmv2.thrift import i32, i64

End = TypeVar("End", PacketEnd, Notifications)


class Ends:
    """The sockets of one BMv2 beside its Thrift port; without an ``opener`` there are none.

    ``has_cpu_port`` is whether it was started with one.
    """

    def __init__(self, opener: Opener | None = None, *, has_cpu_port: bool = False) -> None:
        self._opener = opener
        self._has_cpu_port = has_cpu_port
        self._packets: PacketEnd | None = None
        self._notifications: Notifications | None = None
        self._waiting: list[Samples] = []
        self.told: dict[int, int] = {}

    def renew(self, *, digests: bool) -> None:
        """Forget what waits, and listen to what comes from now on; ``digests``: to those too.

        Where that cannot be, whoever takes something is told.
        """
        self.close()
        if self._opener is None:
            return
        with suppress(Refused):
            if self._has_cpu_port:
                self.packets()
            if digests:
                self._listen()

    def packets(self) -> PacketEnd:
        """The end of its CPU port. Raises Refused."""
        if not self._has_cpu_port:
            raise Refused("the switch has no CPU port: declare cpu_port=")
        self._packets = self._opened(self._packets, PacketEnd)
        return self._packets

    def samples(self, digest: int) -> list[Samples]:
        """What has come of a digest since the last time, oldest first. Raises Refused."""
        try:
            self._waiting += self._listen().take()
        except P4ControlError as error:
            if self._notifications is not None:
                self._notifications.close()
            raise Refused(error.message) from error
        found = [one for one in self._waiting if one.digest == digest]
        self._waiting = [one for one in self._waiting if one.digest != digest]
        return found

    def _listen(self) -> Notifications:
        self._notifications = self._opened(self._notifications, Notifications)
        return self._notifications

    def _opened(self, standing: End | None, make: Callable[[Opener], End]) -> End:
        if standing is not None and standing.is_open:
            return standing
        if self._opener is None:
            raise Refused("packets and digests are for tests, not for builds")
        try:
            return make(self._opener)
        except P4ControlError as error:
            raise Refused(
                f"{error.message}; {error.remedy}" if error.remedy else error.message
            ) from error

    def close(self) -> None:
        """Close all of them; what waits is forgotten."""
        for one in (self._packets, self._notifications):
            if one is not None:
                one.close()
        self._packets = self._notifications = None
        self._waiting = []
        self.told = {}


@dataclass
class ControllerCommands(Commands):
    """What goes to and comes from the controller of a program."""

    ends: Ends = field(default_factory=Ends, kw_only=True)

    def _packet_send(self, words: list[str]) -> list[str]:
        try:
            self.ends.packets().send(bytes.fromhex(words[0]))
        except P4ControlError as error:
            raise Refused(error.message) from error
        return ["ok"]

    def _packets_take(self, words: list[str]) -> list[str]:
        try:
            found, lost = self.ends.packets().take()
        except P4ControlError as error:
            raise Refused(error.message) from error
        return [*(f"- {one.hex()}" for one in found), f"ok {lost}"]

    def _digest_take(self, words: list[str]) -> list[str]:
        """The samples that have come; BMv2 may send equal ones again from now on."""
        digest = self.program.digests[int(words[0])]
        found = self.ends.samples(digest.id)
        widths = (self.program.field(one) for one in digest.fields)
        size = sum((one.width + 7) // 8 for one in widths if one is not None)
        lines, lost = [], 0
        for one in found:
            lost += one.number - self.ends.told.get(digest.id, one.number)
            self.ends.told[digest.id] = one.number + 1
            lines += [
                f"- {one.data[at * size : at * size + size].hex()}" for at in range(one.count)
            ]
        acknowledged = [
            standard("learning_ack_buffer", i32(digest.id), i64(one.number)) for one in found
        ]
        self.now(acknowledged)
        return [*lines, f"ok {lost}"]

    def samples_at_once(self) -> list[Call]:
        """Calls that have each sample told as it comes, instead of 16 or what a second brings."""
        return [
            standard("learning_set_buffer_size", i32(one.id), i32(1))
            for one in self.program.digests
        ]
