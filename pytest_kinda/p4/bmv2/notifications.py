"""What BMv2 publishes of itself: the samples of digests, over nanomsg's PUB socket.

Sources: nanomsg's RFCs sp-tcp-mapping-01 (a header of 8 bytes each way, then messages behind their
length in 8 bytes) and sp-protocol ids (publish/subscribe 2: PUB 32, SUB 33; a subscriber sends
nothing more, and sorts out by itself). The message: ``LearnEngineIface::msg_hdr_t`` of the
behavioral model 1.15, in the byte order of the machine.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_kinda.errors import HostError, P4ControlError
from pytest_kinda.p4.bmv2.packet_end import Opener

PORT = 9091
"""Where ``--notifications-addr`` has it, on the loopback of the switch's own network."""

LIMIT = 5.0
"""Seconds for the answer to the first header: BMv2's own thread gives it."""

_HELLO = b"\0SP\0" + struct.pack("!HH", 33, 0)
_GREETED = b"\0SP\0" + struct.pack("!HH", 32, 0)
_LENGTH = struct.Struct("!Q")
_HEAD = struct.Struct("=4sQiiQI")
_MOST = 64 << 20
_PIECE = 65536


@dataclass(frozen=True)
class Samples:
    """A message of a digest: ``number`` counts its messages from 0, ``count`` samples follow."""

    digest: int
    number: int
    count: int
    data: bytes


class Notifications:
    """A subscription to what one BMv2 publishes; what comes waits in its socket.

    Raises P4ControlError where nothing publishes there: simple_switch_grpc gives all to P4Runtime.
    """

    def __init__(self, opener: Opener) -> None:
        self._data = bytearray()
        try:
            self._socket = opener(socket.AF_INET, socket.SOCK_STREAM)
        except HostError as error:
            raise P4ControlError(f"no way to its notifications: {error.message}") from error
        try:
            self._begin()
        except OSError as error:
            self._socket.close()
            raise P4ControlError(
                f"no notifications at TCP port {PORT} of its loopback: {error}",
                remedy="digests need simple_switch with nanomsg: simple_switch_grpc tells them to "
                "clients of P4Runtime only",
            ) from error
        except P4ControlError:
            self._socket.close()
            raise

    def _begin(self) -> None:
        self._socket.settimeout(LIMIT)
        self._socket.connect(("127.0.0.1", PORT))
        self._socket.sendall(_HELLO)
        found = b""
        while len(found) < len(_GREETED):
            if not (piece := self._socket.recv(len(_GREETED) - len(found))):
                raise OSError("it closed the connection")
            found += piece
        if found != _GREETED:
            raise P4ControlError(
                f"notifications: found {found.hex()}; expected nanomsg's {_GREETED.hex()}: "
                f"something other than BMv2 listens on TCP port {PORT}"
            )
        self._socket.setblocking(False)

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it: a test's end does, and a restart of the switch."""
        return self._socket.fileno() >= 0

    def take(self) -> list[Samples]:
        """The samples that have come, oldest first. Raises P4ControlError where BMv2 is gone."""
        while True:
            try:
                piece = self._socket.recv(_PIECE)
            except BlockingIOError:
                break
            except OSError as error:
                raise P4ControlError(f"its notifications are gone: {error}") from error
            if not piece:
                raise P4ControlError("its notifications are gone: it closed the connection")
            self._data += piece
        return [one for message in self._messages() if (one := samples_of(message)) is not None]

    def _messages(self) -> Iterator[bytes]:
        while len(self._data) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._data)
            if size > _MOST:
                raise P4ControlError(
                    f"found a notification of {size} bytes; expected up to {_MOST}"
                )
            end = _LENGTH.size + size
            if len(self._data) < end:
                return
            message = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield message

    def close(self) -> None:
        """Give it up: samples are lost from now on."""
        self._socket.close()


def samples_of(message: bytes) -> Samples | None:
    """The samples of a message; None of one about something else, such as a port's state."""
    if len(message) < _HEAD.size:
        return None
    topic, _, _, digest, number, count = _HEAD.unpack_from(message)
    if topic != b"LEA|":
        return None
    return Samples(digest, number, count, message[_HEAD.size :])
