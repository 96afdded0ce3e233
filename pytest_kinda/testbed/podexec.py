"""Commands in pods, over the API server's websocket: streams, end of input, the exit status.

The status comes on a channel of its own, so that a command that failed and an exec that could
not be made are never mistaken for each other.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_kinda.errors import ClusterError, HostError
from pytest_kinda.testbed.api import Api

_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class PodSession:
    """One running command in a pod."""

    def __init__(
        self, api: Api, namespace: str, pod: str, container: str, argv: Sequence[str], stdin: bool
    ) -> None:
        self._what = f"exec in pod {namespace}/{pod}"
        query: dict[str, Any] = {
            "command": list(argv),
            "stdin": str(stdin).lower(),
            "stdout": "true",
            "stderr": "true",
        }
        if container:
            query["container"] = container
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        self._socket = api.websocket(path, query, _PROTOCOLS)
        self._socket.settimeout(None)
        self._can_close = self._socket.getsubprotocol() == _PROTOCOLS[0]
        self._status: Any = None
        self._closing = threading.Event()

    def read(self) -> tuple[int, bytes] | None:
        """The next piece of stream 1 or 2; None at the end. Raises HostError."""
        import websocket

        while self._status is None:
            try:
                code, frame = self._socket.recv_data(control_frame=False)
            except (OSError, websocket.WebSocketException) as error:
                if self._closing.is_set():
                    return None
                raise HostError(f"{self._what}: the connection broke: {error}") from error
            if code == websocket.ABNF.OPCODE_CLOSE:
                return None
            if not frame or frame[0] == _CLOSE:
                continue
            channel, data = frame[0], bytes(frame[1:])
            if channel == _ERROR:
                self._status = json.loads(data)
                return None
            if channel in (_STDOUT, _STDERR) and data:
                return channel, data
        return None

    def write(self, data: bytes) -> None:
        """Send to standard input."""
        for place in range(0, len(data), 32768):
            self._socket.send_binary(bytes([_STDIN]) + data[place : place + 32768])

    def close_stdin(self) -> None:
        """End standard input. Raises HostError where the API server is older than 1.30."""
        if not self._can_close:
            raise HostError(f"{self._what}: this API server cannot end a command's input")
        self._socket.send_binary(bytes([_CLOSE, _STDIN]))

    def status(self) -> int:
        """The exit status. Raises HostError when the command could not be run at all."""
        found = self._status
        if found is None:
            raise HostError(f"{self._what}: the connection ended without an exit status")
        if found.get("status") == "Success":
            return 0
        for cause in (found.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        message = str(found.get("message", found))
        # What a shell would answer where there is no such program.
        if "executable file not found" in message or "no such file or directory" in message:
            return 127
        raise HostError(f"{self._what}: {message}")

    def kill(self) -> None:
        """Nothing: the API cannot kill; the streams are closed."""

    def close(self) -> None:
        """Let go of the streams."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown()


class PodExecution:
    """Starts commands in one container of a pod."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        pod: str,
        container: str = "",
        need_machine: Callable[[str], None] = lambda what: None,
    ) -> None:
        """``need_machine`` raises LabError where nothing runs that could do it."""
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self._container = container
        self._need_machine = need_machine

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
    ) -> PodSession:
        """Start a command. Raises HostError, LabError.

        The API takes neither environment nor directory: a shell in the pod sets them.
        """
        self._need_machine("a command")
        if workdir:
            argv = ("sh", "-c", 'cd -- "$1" && shift && exec "$@"', "sh", workdir, *argv)
        if env:
            argv = ("env", *(f"{key}={value}" for key, value in env.items()), *argv)
        try:
            return PodSession(self._api, self._namespace, self._pod, self._container, argv, stdin)
        except ClusterError as error:
            raise HostError(str(error)) from error
