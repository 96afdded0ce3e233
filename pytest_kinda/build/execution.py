"""Commands in containers, over the Docker API and without a library between.

docker-py reads an exec's stream from beneath the buffer that already holds what came in the same
segment as the response's headers: under load the whole output of a short command can be lost.
Here the bytes after the headers are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.engine_api import (
    DEFAULT_TIMEOUT,
    connect,
    docker_address,
    docker_request,
    message_of,
)
from pytest_kinda.errors import HostError, WaitTimeoutError

_MOST_HEADERS = 65536


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    rc: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.rc == 0


class Execution(Protocol):
    """A place where commands can be run, container or not."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
    ) -> Finished:
        """Run a command to its end. Raises WaitTimeoutError, HostError."""


class ContainerExecution:
    """Commands in one container, as root, each a Docker exec."""

    def __init__(self, container: str, name: str = "") -> None:
        self.container = container
        self.name = name or container[:12]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        workdir: str = "",
    ) -> Finished:
        """Run a command to its end and keep all of its output.

        ``timeout`` is in seconds; a command that takes longer is killed. Raises WaitTimeoutError,
        and HostError where the container is gone.
        """
        deadline = time.monotonic() + timeout
        asked: dict[str, Any] = {
            "Cmd": list(argv),
            "AttachStdout": True,
            "AttachStderr": True,
            "AttachStdin": bool(stdin),
            "Env": [f"{key}={value}" for key, value in (env or {}).items()],
        }
        if workdir:
            asked["WorkingDir"] = workdir
        made = docker_request("POST", f"/containers/{self.container}/exec", asked, timeout=timeout)
        try:
            stdout, stderr = _attach(made["Id"], stdin, deadline)
        except TimeoutError:
            self._kill(made["Id"])
            raise WaitTimeoutError(
                f"{self.name}: {' '.join(argv)!r} still ran after {timeout:g} s and was killed"
            ) from None
        return Finished(self._status(made["Id"], deadline), stdout, stderr)

    def _status(self, exec_id: str, deadline: float) -> int:
        # The stream ends a moment before the Engine has noted the exit status.
        found: dict[str, Any] = {}

        def look() -> str:
            found.update(docker_request("GET", f"/exec/{exec_id}/json"))
            return "it still runs" if found["Running"] or found["ExitCode"] is None else ""

        try:
            wait_until(
                look,
                f"the end of a command on {self.name} that closed its output",
                limit=max(1.0, deadline - time.monotonic()),
                interval=0.01,
            )
        except WaitTimeoutError:
            self._kill(exec_id)
            raise
        return int(found["ExitCode"])

    @staticmethod
    def _kill(exec_id: str) -> None:
        pid = docker_request("GET", f"/exec/{exec_id}/json")["Pid"]
        # A pid of another machine's Engine is not ours to kill; the container's end is its end.
        if pid and urlsplit(docker_address()).scheme == "unix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _attach(exec_id: str, stdin: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Start an exec and read both its streams to their end. Raises TimeoutError, HostError."""
    body = json.dumps({"Detach": False, "Tty": False}).encode()
    request = (
        f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
        f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with connect(max(0.1, deadline - time.monotonic())) as stream:
        stream.sendall(request + body)
        status, rest = read_headers(stream, deadline)
        if status not in (101, 200):
            raise HostError(f"the Docker Engine did not start a command: {message_of(rest)}")
        if stdin:
            return _exchange(stream, stdin, rest, deadline)
        data = bytearray(rest)
        while chunk := _receive(stream, deadline):
            data += chunk
        return demultiplex(bytes(data))


def _receive(stream: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    stream.settimeout(left)
    return stream.recv(262144)


def read_headers(stream: socket.socket, deadline: float) -> tuple[int, bytes]:
    """The status of an answer, and what came behind its headers in the same segments."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        chunk = _receive(stream, deadline)
        if not chunk or len(data) > _MOST_HEADERS:
            raise HostError(f"the Docker Engine broke off its answer: {bytes(data[:200])!r}")
        data += chunk
    head, _, rest = bytes(data).partition(b"\r\n\r\n")
    return int(head.split(None, 2)[1]), rest


def _exchange(
    stream: socket.socket, stdin: bytes, rest: bytes, deadline: float
) -> tuple[bytes, bytes]:
    """Write all of ``stdin`` while reading, so that neither side waits for the other."""
    data = bytearray(rest)
    unsent = memoryview(stdin)
    stream.setblocking(False)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        readable, writable, _ = select.select([stream], [stream] if unsent else [], [], left)
        if writable:
            with contextlib.suppress(BlockingIOError):
                unsent = unsent[stream.send(unsent[:65536]) :]
            if not unsent:
                stream.shutdown(socket.SHUT_WR)
        if readable:
            with contextlib.suppress(BlockingIOError):
                chunk = stream.recv(262144)
                if not chunk:
                    return demultiplex(bytes(data))
                data += chunk


def demultiplex(data: bytes) -> tuple[bytes, bytes]:
    """Docker's frames (stream, length, content) as stdout and stderr.

    Raises HostError where the last frame is cut off.
    """
    streams = {1: bytearray(), 2: bytearray()}
    position = 0
    while position < len(data):
        header = data[position : position + 8]
        if len(header) < 8:
            raise HostError("the output of a command was cut off within a frame's header")
        kind, size = struct.unpack(">BxxxI", header)
        content = data[position + 8 : position + 8 + size]
        if len(content) < size:
            raise HostError(f"the output of a command was cut off: {len(content)} of {size} bytes")
        streams.get(kind, streams[1]).extend(content)
        position += 8 + size
    return bytes(streams[1]), bytes(streams[2])
