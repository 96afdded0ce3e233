"""Messages between the keeper and its clients: JSON objects with their length before them.

Plain messages over any stream. A request is ``{"call": NAME, ...}``; answers are any number of
``{"line": TEXT}`` and then one ``{"ok": VALUE}`` or ``{"error": {...}}``. Bytes travel as base64.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

from pytest_kinda import errors
from pytest_kinda.errors import HostError, KindaError

LARGEST = 256 * 1024 * 1024
"""Bytes of one message; a longer one is an error of its sender."""

_LENGTH = struct.Struct("!I")
_KINDS: Mapping[str, type[KindaError]] = {
    "HostError": HostError,
    "GoneError": errors.GoneError,
    "CaptureError": errors.CaptureError,
}


def send(
    stream: socket.socket, message: Mapping[str, Any], *, giving: socket.socket | None = None
) -> None:
    """Send one message, and a socket with it where the stream is a Unix socket.

    Raises OSError, and HostError if the message is too long.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > LARGEST:
        raise HostError(f"a message of {len(data)} bytes; at most {LARGEST} are accepted")
    data = _LENGTH.pack(len(data)) + data
    if giving is not None:  # a descriptor travels with the first byte
        data = data[socket.send_fds(stream, [data], [giving.fileno()]) :]
    stream.sendall(data)


def receive(
    stream: socket.socket, given: list[socket.socket] | None = None
) -> dict[str, Any] | None:
    """The next message; None at the end of the stream. Sockets that come with it go to ``given``.

    Raises HostError for what is no message and for a stream that ends within one; OSError.
    """
    if given is None:
        head = _exactly(stream, _LENGTH.size)
    else:
        head, handles, _, _ = socket.recv_fds(stream, _LENGTH.size, 1)
        for one in handles:
            os.set_inheritable(one, False)  # Python does not pass MSG_CMSG_CLOEXEC on
            given.append(socket.socket(fileno=one))
        head += _exactly(stream, _LENGTH.size - len(head)) if head else b""
    if not head:
        return None
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else LARGEST + 1
    if length > LARGEST:
        raise HostError(f"no message of the keeper's protocol: it begins with {head!r}")
    data = _exactly(stream, length)
    if len(data) < length:
        raise HostError(f"the stream ended after {len(data)} of {length} bytes of a message")
    try:
        message = json.loads(data)
    except ValueError as error:
        raise HostError(f"a message that is not JSON: {data[:80]!r}") from error
    if not isinstance(message, dict):
        raise HostError(f"a message that is not a JSON object: {data[:80]!r}")
    return message


def error_message(error: BaseException) -> dict[str, Any]:
    """The answer that carries an error to the client."""
    kind = type(error).__name__
    if isinstance(error, KindaError):
        message, remedy = error.message, error.remedy
    else:
        kind, message, remedy = "HostError", f"{kind}: {error}", ""
    return {"error": {"kind": kind, "message": message, "remedy": remedy}}


def raised(error: Mapping[str, Any]) -> KindaError:
    """The exception that :func:`error_message` was made of."""
    kind = _KINDS.get(str(error.get("kind")), HostError)
    return kind(str(error.get("message")), remedy=str(error.get("remedy", "")))


def pack(data: bytes) -> str:
    """Bytes as they travel in a message."""
    return base64.b64encode(data).decode()


def unpack(text: str) -> bytes:
    """What :func:`pack` packed."""
    return base64.b64decode(text)


def _exactly(stream: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = stream.recv(min(length - len(chunks), 1 << 20))
        if not chunk:
            break
        chunks += chunk
    return bytes(chunks)
