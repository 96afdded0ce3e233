"""Commands in containers with open streams: read while they run, written to, killed.

``execution`` runs a command to its end; a session is for what goes on while a test does other
things (a server, a long measurement).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.engine_api import connect, docker_address, docker_request
from pytest_kinda.build.execution import read_headers
from pytest_kinda.errors import HostError

_SETTLE = 10.0


class ContainerSession:
    """One running Docker exec. ``read`` and ``write`` may be called from different threads."""

    def __init__(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
    ) -> None:
        asked: dict[str, Any] = {
            "Cmd": list(argv),
            "AttachStdout": True,
            "AttachStderr": True,
            "AttachStdin": stdin,
            "Env": [f"{key}={value}" for key, value in (env or {}).items()],
        }
        if workdir:
            asked["WorkingDir"] = workdir
        self._id = docker_request("POST", f"/containers/{container}/exec", asked)["Id"]
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        self._stream = connect(_SETTLE)
        try:
            self._stream.sendall(
                (
                    f"POST /exec/{self._id}/start HTTP/1.1\r\nHost: docker\r\n"
                    "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                ).encode()
                + body
            )
            status, rest = read_headers(self._stream, time.monotonic() + 60.0)
            if status not in (101, 200):
                raise HostError(
                    "the Docker Engine did not start a command: " + rest.decode(errors="replace")
                )
        except BaseException:
            self._stream.close()
            raise
        self._buffer = bytearray(rest)
        self._stream.settimeout(None)
        self._closing = threading.Event()

    def read(self) -> tuple[int, bytes] | None:
        """The next piece of stream 1 or 2; None at the end.

        Raises HostError where the stream is cut within a piece.
        """
        while True:
            if len(self._buffer) >= 8:
                kind, size = struct.unpack_from(">BxxxI", self._buffer)
                if len(self._buffer) >= 8 + size:
                    piece = bytes(self._buffer[8 : 8 + size])
                    del self._buffer[: 8 + size]
                    return (2 if kind == 2 else 1), piece
            try:
                data = self._stream.recv(262144)
            except OSError:
                if self._closing.is_set():
                    return None
                raise
            if not data:
                if self._buffer and not self._closing.is_set():
                    raise HostError("the output of a command was cut off")
                return None
            self._buffer += data

    def write(self, data: bytes) -> None:
        """Send to standard input."""
        self._stream.sendall(data)

    def close_stdin(self) -> None:
        """End standard input."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)

    def status(self) -> int:
        """The exit status; the stream ends a moment before the Engine has noted it."""
        found: dict[str, Any] = {}

        def look() -> str:
            found.update(docker_request("GET", f"/exec/{self._id}/json"))
            return "it still runs" if found["Running"] or found["ExitCode"] is None else ""

        wait_until(look, "the end of a command that closed its output", limit=60.0, interval=0.01)
        return int(found["ExitCode"])

    def kill(self) -> None:
        """Kill the command and all in its process group, where the Engine is on this machine."""
        pid = docker_request("GET", f"/exec/{self._id}/json")["Pid"]
        if pid and urlsplit(docker_address()).scheme == "unix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the streams; a ``read`` that waits returns None."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()


class ContainerSessions:
    """Starts sessions in one container."""

    def __init__(self, container: str) -> None:
        self.container = container

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
    ) -> ContainerSession:
        """Start a command, as root. Raises HostError."""
        return ContainerSession(self.container, argv, stdin=stdin, env=env, workdir=workdir)
