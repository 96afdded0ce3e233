"""Packets between a program and its controller: the CPU port.

A program sends a packet to the controller by the port that ``cpu_port`` names, and finds the
controller's packets there. Where its p4info declares headers for that (``@controller_header``),
packets have those fields by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.control import Control
from pytest_kinda.p4.p4info import ControllerHeader
from pytest_kinda.p4.values import Natural, number

IN, OUT = "packet_in", "packet_out"


@dataclass(frozen=True)
class PacketIn:
    """A packet that the program has sent to the controller.

    ``data`` is all of it; ``fields`` are those of the header ``packet_in`` of the program's p4info
    (none without one), ``payload`` is what follows them.
    """

    data: bytes
    fields: Mapping[str, int] = field(default_factory=dict)
    payload: bytes = b""


class PacketControl:
    """The CPU port of one switch; ``headers`` are those of ``controller_headers``."""

    def __init__(self, control: Control, headers: Mapping[str, ControllerHeader]) -> None:
        self._control = control
        self._headers = headers
        self._kept: list[PacketIn] = []

    def send(self, payload: bytes, fields: Mapping[str, Natural] | None = None) -> None:
        """Send a packet in by the CPU port; with ``fields`` the header ``packet_out`` before it.

        Raises P4ControlError for a field that is missing, unknown or too wide, and where the
        switch has no CPU port.
        """
        data = payload if fields is None else self._header(fields) + payload
        self._control.ask([f"packet-send {data.hex()}"], "packet out")

    def take(self) -> list[PacketIn]:
        """The packets that wait, oldest first; they are forgotten.

        Raises P4ControlError where more came than the switch keeps (1024), or it has no CPU port.
        """
        answer = self._control.ask(["packets-take"], "packets in")[0]
        found, self._kept = self._kept, []
        found += [self._record(bytes.fromhex(one[2:].strip("-"))) for one in answer[:-1]]
        if lost := int(answer[-1].split()[1]):
            self._kept = found
            raise P4ControlError(
                f"packets in: {lost} were lost, since {len(answer) - 1} had not been taken",
                remedy="take them more often; those that were kept are given by the next call",
            )
        return found

    def next(self, wait: Callable[[Callable[[], str]], None]) -> PacketIn:
        """The oldest packet. ``wait`` repeats what it is given until that answers with ``""``."""

        def look() -> str:
            self._kept = self.take()
            return "" if self._kept else f"none; {self._said()}"

        if not self._kept:
            wait(look)
        return self._kept.pop(0)

    def _said(self) -> str:
        """What the switch has received, sent and lost, or that it does not count."""
        try:
            return str(self._control.statistics())
        except P4ControlError as error:
            return error.message

    def clear(self) -> None:
        """Forget what was taken out of the switch and not given to anybody."""
        self._kept = []

    def _record(self, data: bytes) -> PacketIn:
        header = self._headers.get(IN)
        if header is None or len(data) * 8 < header.width:
            return PacketIn(data, {}, data)
        size = header.width // 8
        rest, bits = int.from_bytes(data[:size], "big"), header.width
        fields = {}
        for one in header.fields:
            bits -= one.width
            value = rest >> bits & ((1 << one.width) - 1)
            if not one.fills:
                fields[one.name] = value
        return PacketIn(data, fields, data[size:])

    def _header(self, fields: Mapping[str, Natural]) -> bytes:
        header = self._headers.get(OUT)
        if header is None:
            raise P4ControlError(
                f"packet out: found fields {', '.join(fields)}, but the p4info has no header "
                f"{OUT}; expected the packet's bytes alone",
                remedy='declare @controller_header("packet_out") and give p4info=',
            )
        given = dict(fields)
        value = 0
        for one in header.fields:
            if one.name not in given and not one.fills:
                raise P4ControlError(f"packet out: no value for {one.name}; {_listed(header)}")
            part = number(given.pop(one.name, 0), one.width, f"packet out: {one.name}")
            value = value << one.width | part
        if given:
            raise P4ControlError(f"packet out: no field {', '.join(given)}; {_listed(header)}")
        return value.to_bytes(header.width // 8, "big")


def _listed(header: ControllerHeader) -> str:
    fields = ", ".join(f"{one.name} ({one.width} bits)" for one in header.fields if not one.fills)
    return f"it has {fields}"
