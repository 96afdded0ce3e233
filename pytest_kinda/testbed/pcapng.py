"""Reading pcapng: interfaces, packets with nanosecond stamps and directions, statistics.

Only what captures hold: section headers, interface descriptions, enhanced packets and interface
statistics (draft-ietf-opsawg-pcapng), in either byte order. Other blocks are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_kinda.errors import CaptureError

_SECTION = 0x0A0D0D0A
_INTERFACE = 1
_STATISTICS = 5
_ENHANCED = 6
_MAGIC = 0x1A2B3C4D

_IF_NAME, _IF_TSRESOL, _IF_TSOFFSET = 2, 9, 14
_EPB_FLAGS = 2
_ISB_RECEIVED, _ISB_DROPPED = 4, 5


@dataclass(frozen=True)
class RawPacket:
    """One captured frame: ``time`` in nanoseconds since the epoch, ``length`` as on the wire.

    ``direction`` is ``in``, ``out`` or empty where the file does not say.
    """

    time: int
    interface: str
    direction: str
    linktype: int
    length: int
    data: bytes


@dataclass
class _Interface:
    name: str
    linktype: int
    ticks: int = 1_000_000
    offset: int = 0


def _options(data: bytes, order: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place + 4 <= len(data):
        code, size = struct.unpack_from(order + "HH", data, place)
        if code == 0:
            break
        found.setdefault(code, data[place + 4 : place + 4 + size])
        place += 4 + (size + 3) // 4 * 4
    return found


def _interface(body: bytes, order: str, number: int) -> _Interface:
    (linktype,) = struct.unpack_from(order + "H", body)
    options = _options(body[8:], order)
    name = options.get(_IF_NAME, str(number).encode()).decode("utf-8", "replace").rstrip("\0")
    made = _Interface(name, linktype)
    if resolution := options.get(_IF_TSRESOL):
        power = resolution[0] & 0x7F
        made.ticks = 2**power if resolution[0] & 0x80 else 10**power
    if offset := options.get(_IF_TSOFFSET):
        (made.offset,) = struct.unpack(order + "q", offset[:8])
    return made


def _packet(body: bytes, order: str, interfaces: list[_Interface]) -> RawPacket:
    number, high, low, captured, length = struct.unpack_from(order + "IIIII", body)
    interface = interfaces[number]
    ticks = high << 32 | low
    time = interface.offset * 1_000_000_000 + ticks * 1_000_000_000 // interface.ticks
    options = _options(body[20 + (captured + 3) // 4 * 4 :], order)
    direction = ""
    if flags := options.get(_EPB_FLAGS):
        direction = ("", "in", "out", "")[struct.unpack(order + "I", flags[:4])[0] & 3]
    return RawPacket(
        time, interface.name, direction, interface.linktype, length, body[20 : 20 + captured]
    )


def read_packets(path: Path) -> Iterator[RawPacket]:
    """The packets of a file in its order.

    A last block that is not complete yet (the writer is at work) ends the reading silently.
    Raises CaptureError for a file that is no pcapng.
    """
    interfaces: list[_Interface] = []
    for kind, body, order in _blocks(path):
        if kind == _SECTION:
            interfaces = []
        elif kind == _INTERFACE:
            interfaces.append(_interface(body, order, len(interfaces)))
        elif kind == _ENHANCED:
            yield _packet(body, order, interfaces)


def read_statistics(path: Path) -> dict[str, tuple[int, int]]:
    """Packets received and dropped by interface name, as the writer noted at its end."""
    interfaces: list[_Interface] = []
    found: dict[str, tuple[int, int]] = {}
    for kind, body, order in _blocks(path):
        if kind == _SECTION:
            interfaces = []
        elif kind == _INTERFACE:
            interfaces.append(_interface(body, order, len(interfaces)))
        elif kind == _STATISTICS:
            (number,) = struct.unpack_from(order + "I", body)
            options = _options(body[12:], order)
            received, dropped = (
                struct.unpack(order + "Q", options[code][:8])[0] if code in options else 0
                for code in (_ISB_RECEIVED, _ISB_DROPPED)
            )
            found[interfaces[number].name] = (received, dropped)
    return found


def _blocks(path: Path) -> Iterator[tuple[int, bytes, str]]:
    order = "<"
    first = True
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            (kind,) = struct.unpack_from(order + "I", head)
            if kind == _SECTION:
                magic = file.read(4)
                if len(magic) < 4:
                    return
                order = "<" if struct.unpack("<I", magic)[0] == _MAGIC else ">"
                if struct.unpack(order + "I", magic)[0] != _MAGIC:
                    raise CaptureError(
                        f"{path} is no pcapng file: its byte-order mark is {magic!r}"
                    )
                file.seek(-4, 1)
            elif first:
                raise CaptureError(f"{path} is no pcapng file: it begins with {head!r}")
            first = False
            (size,) = struct.unpack_from(order + "I", head, 4)
            body = file.read(size - 8)
            if size < 12 or len(body) < size - 8:
                return
            yield kind, body[:-4], order
