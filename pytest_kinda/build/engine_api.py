"""The Docker API, spoken directly: one call, one stream, no library between."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.operations import Place

DEFAULT_TIMEOUT = 60.0
"""Seconds that a call may take where the caller says nothing."""


def docker_address() -> str:
    """Where the Docker API is: ``$DOCKER_HOST``, else the Unix socket.

    Raises KindaError for an address that is neither ``unix://`` nor plain ``tcp://``.
    """
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if urlsplit(address).scheme not in ("unix", "tcp"):
        raise KindaError(
            f"DOCKER_HOST is {address!r}; expected unix://PATH or tcp://HOST:PORT",
            remedy="run pytest on the machine of the Docker Engine, or unset DOCKER_HOST",
        )
    return address


def connect(timeout: float) -> socket.socket:
    """A stream to the Docker Engine; ``timeout`` in seconds. Raises HostError."""
    address = urlsplit(docker_address())
    try:
        if address.scheme == "unix":
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            found.settimeout(timeout)
            found.connect(address.path)
            return found
        return socket.create_connection((address.hostname or "", address.port or 2375), timeout)
    except OSError as error:
        raise HostError(
            f"the Docker API at {docker_address()} does not answer: {error}",
            remedy="kinda doctor",
        ) from error


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that is made by :func:`connect`."""

    def connect(self) -> None:
        self.sock = connect(self.timeout or DEFAULT_TIMEOUT)


class EngineError(HostError):
    """The Docker Engine refused a call; ``status`` is HTTP's (404: there is no such thing)."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


def docker_request(method: str, path: str, body: Any = None, *, timeout: float = 60.0) -> Any:
    """One call of the Docker API; the decoded JSON answer (``None`` where it is empty).

    ``body`` is sent as JSON, ``bytes`` as a tar archive. Raises EngineError with the Engine's own
    message, HostError where it does not answer.
    """
    answer = _answer(method, path, body, timeout)
    return json.loads(answer) if answer.strip() else None


def container_logs(container: str, *, lines: int = 200, timeout: float = 60.0) -> str:
    """The last lines that a container's first process printed, each with its time.

    Raises EngineError, HostError.
    """
    from pytest_kinda.build.execution import demultiplex

    query = f"stdout=1&stderr=1&timestamps=1&tail={lines}"
    data = _answer("GET", f"/containers/{quote(container)}/logs?{query}", None, timeout)
    if data[:1] in (b"\1", b"\2"):  # else it has a terminal, whose output has no frames
        data = b"".join(demultiplex(data))
    return data.decode("utf-8", "replace")


def _answer(method: str, path: str, body: Any, timeout: float) -> bytes:
    connection = _Connection("docker", timeout=timeout)
    kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise HostError(f"Docker API {method} {path}: {error!r}", remedy="kinda doctor") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise EngineError(
            f"Docker API {method} {path}: {message_of(answer)} ({response.status})",
            response.status,
        )
    return answer


def message_of(answer: bytes) -> str:
    """The Engine's own words in the body of a refusal."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(answer)["message"])
    return answer.decode(errors="replace").strip()


def filtered(path: str, **filters: list[str]) -> str:
    """A path with the query that selects objects.

    >>> filtered("/networks", label=["a=b"])
    '/networks?filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D'
    """
    joint = "&" if "?" in path else "?"
    return path + joint + urlencode({"filters": json.dumps(filters)})


def containers_of(label: str) -> list[dict[str, Any]]:
    """The containers with a label (``key=value``), running or not."""
    found: list[dict[str, Any]] = docker_request(
        "GET", filtered("/containers/json?all=1", label=[label])
    )
    return found


def networks_of(label: str) -> list[dict[str, Any]]:
    """The networks with a label (``key=value``)."""
    found: list[dict[str, Any]] = docker_request("GET", filtered("/networks", label=[label]))
    return found


def inspect(container: str) -> dict[str, Any]:
    """What the Engine knows of a container. Raises EngineError."""
    found: dict[str, Any] = docker_request("GET", f"/containers/{quote(container)}/json")
    return found


def place_of(container: str) -> Place:
    """The namespaces of a running container. Raises HostError if it does not run."""
    state = inspect(container)["State"]
    pid = int(state["Pid"])
    try:
        if not pid:
            raise FileNotFoundError
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise HostError(
            f"container {container} does not run: {state['Status']}, exit code {state['ExitCode']}"
            + (f", {state['Error']}" if state.get("Error") else "")
        ) from None
    # The name in parentheses may hold blanks and parentheses; field 22 counts behind the last one.
    return Place(container, pid, int(stat.rpartition(")")[2].split()[19]))


class Events:
    """The Engine's events from now on, as an iterator that another thread can end.

    Example:
        ``events = Events(type=["container"], event=["start"])`` … ``events.close()``
    """

    def __init__(self, **filters: list[str]) -> None:
        self._connection = _Connection("docker", timeout=DEFAULT_TIMEOUT)
        self._closed = False
        self._connection.request("GET", filtered("/events", **filters))
        self._connection.sock.settimeout(None)
        self._response = self._connection.getresponse()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while True:
            try:
                line = self._response.readline()
            except (OSError, http.client.HTTPException, ValueError):
                line = b""
            if not line:
                if self._closed:
                    return
                raise HostError("the Docker Engine ended its events", remedy="kinda doctor")
            if line.strip():
                yield json.loads(line)

    def close(self) -> None:
        """End the iteration; safe from any thread."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)
