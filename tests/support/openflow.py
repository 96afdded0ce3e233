"""A controller in the test's own process: OpenFlow 1.3, as little of it as makes a hub.

It has each packet that fits nothing sent to it, and sends it out of all other ports. What is here
is written from the OpenFlow Switch Specification 1.3.5: headers (A.1), flow and packet messages
(A.3.4, A.3.7, A.4.1), match fields (A.2.3).
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType

VERSION = 4
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
PACKET_IN, PACKET_OUT, FLOW_MOD = 10, 13, 14
NO_BUFFER, CONTROLLER, FLOOD, ANY = 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFB, 0xFFFFFFFF
_HEAD = struct.Struct("!BBHI")
_IN_PORT = 0x80000004


class Hub:
    """Serves switches at a socket; a context manager.

    ``switches`` are the datapath ids of those that have come, ``packets`` how many they have sent.
    """

    def __init__(self, listener: socket.socket, port: int = 0, address: str = "127.0.0.1") -> None:
        self.switches: list[int] = []
        self.packets = 0
        self._listener = listener
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        self.port = int(listener.getsockname()[1])
        self._streams: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self._streams.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with suppress(OSError), stream, stream.makefile("rb") as read:
            _send(stream, HELLO)
            while len(head := read.read(_HEAD.size)) == _HEAD.size:
                _, kind, length, number = _HEAD.unpack(head)
                body = read.read(length - _HEAD.size)
                if kind == HELLO:
                    _send(stream, FEATURES_REQUEST)
                elif kind == ECHO_REQUEST:
                    _send(stream, ECHO_REPLY, body, number)
                elif kind == FEATURES_REPLY:
                    _send(stream, FLOW_MOD, ask_for_everything())
                    self.switches.append(int.from_bytes(body[:8], "big"))
                elif kind == PACKET_IN:
                    self.packets += 1
                    _send(stream, PACKET_OUT, flooded(body))

    def close(self) -> None:
        """Serve nobody any more."""
        for one in (self._listener, *self._streams):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _send(stream: socket.socket, kind: int, body: bytes = b"", number: int = 1) -> None:
    stream.sendall(_HEAD.pack(VERSION, kind, _HEAD.size + len(body), number) + body)


def _output(port: int) -> bytes:
    return struct.pack("!HHIH6x", 0, 16, port, 0xFFFF)


def ask_for_everything() -> bytes:
    """A flow of the lowest priority that sends whole packets to the controller."""
    head = struct.pack("!QQBBHHHIIIH2x", 0, 0, 0, 0, 0, 0, 0, NO_BUFFER, ANY, ANY, 0)
    match = struct.pack("!HH4x", 1, 4)
    actions = _output(CONTROLLER)
    return head + match + struct.pack("!HH4x", 4, 8 + len(actions)) + actions


def flooded(packet_in: bytes) -> bytes:
    """The packet of a packet-in, to be sent out of all ports but the one that it came by."""
    (length,) = struct.unpack_from("!H", packet_in, 18)
    fields, end = packet_in[20 : 16 + length], 16 + (length + 7) // 8 * 8
    at = fields.index(_IN_PORT.to_bytes(4, "big"))
    (port,) = struct.unpack_from("!I", fields, at + 4)
    actions = _output(FLOOD)
    head = struct.pack("!IIH6x", NO_BUFFER, port, len(actions))
    return head + actions + packet_in[end + 2 :]
