"""Writing pcapng (draft-ietf-opsawg-pcapng) so that it can be read while it grows.

Whole blocks are handed to the kernel in one write, so a reader sees complete ones, or at worst a
last one that is cut off, which readers know how to leave.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from pytest_kinda.host.packet_ring import Frame

_SECTION, _INTERFACE, _STATISTICS, _ENHANCED = 0x0A0D0D0A, 1, 5, 6
_MAGIC = 0x1A2B3C4D
_ETHERNET = 1
_COMMENT = 1
_APPLICATION = 4
_IF_NAME, _IF_DESCRIPTION, _IF_RESOLUTION, _IF_FILTER = 2, 3, 9, 11
_FLAGS = 2
_RECEIVED, _DROPPED = 4, 5
_INBOUND, _OUTBOUND = 1, 2

_FLAG_OPTIONS = {
    outgoing: struct.pack("=HHIHH", _FLAGS, 4, _OUTBOUND if outgoing else _INBOUND, 0, 0)
    for outgoing in (False, True)
}
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_PACKET_HEAD = struct.Struct("=IIIIIII")
_LENGTH = struct.Struct("=I")


class PcapngWriter:
    """A pcapng file with the given interfaces. Raises OSError.

    ``names`` are the interfaces' names in the file, ``comments`` say what they are.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        *,
        comments: Sequence[str] = (),
        snaplen: int = 262144,
        expression: str = "",
        comment: str = "",
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o644)
        self._names = names
        head = struct.pack("=IHHq", _MAGIC, 1, 0, -1)
        head += _options([(_APPLICATION, b"pytest-kinda"), (_COMMENT, comment.encode())])
        blocks = _block(_SECTION, head)
        for at, name in enumerate(names):
            about = comments[at] if at < len(comments) else ""
            options = [
                (_COMMENT, about.encode()),
                (_IF_NAME, name.encode()),
                (_IF_RESOLUTION, bytes([9])),
                (_IF_FILTER, b"\0" + expression.encode() if expression else b""),
            ]
            body = struct.pack("=HHI", _ETHERNET, 0, snaplen) + _options(options)
            blocks += _block(_INTERFACE, body)
        self._write(blocks)

    def write(self, frames: Sequence[tuple[int, Frame]]) -> None:
        """Append frames, each with the number of its interface. Raises OSError."""
        pieces: list[bytes] = []
        for number, frame in frames:
            data = frame.data
            padding = _PADDING[len(data) % 4]
            size = 32 + len(data) + len(padding) + 12
            pieces += (
                _PACKET_HEAD.pack(
                    _ENHANCED,
                    size,
                    number,
                    frame.time >> 32,
                    frame.time & 0xFFFFFFFF,
                    len(data),
                    frame.length,
                ),
                data,
                padding,
                _FLAG_OPTIONS[frame.outgoing],
                _LENGTH.pack(size),
            )
        if pieces:
            self._write(b"".join(pieces))

    def statistics(
        self, number: int, counters: tuple[int, int], now: int, comment: str = ""
    ) -> None:
        """Append packets received and dropped of an interface, as of ``now`` (ns). Raises OSError.

        There may be several of an interface: the last one counts.
        """
        received, dropped = counters
        body = struct.pack("=III", number, now >> 32, now & 0xFFFFFFFF)
        body += _options(
            [
                (_COMMENT, comment.encode()),
                (_RECEIVED, struct.pack("=Q", received)),
                (_DROPPED, struct.pack("=Q", dropped)),
            ]
        )
        self._write(_block(_STATISTICS, body))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]


def _options(options: Sequence[tuple[int, bytes]]) -> bytes:
    found = b"".join(
        struct.pack("=HH", code, len(value)) + value + _PADDING[len(value) % 4]
        for code, value in options
        if value
    )
    return found + struct.pack("=HH", 0, 0)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("=II", kind, size) + body + struct.pack("=I", size)
