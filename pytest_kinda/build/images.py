"""Images of the Docker Engine put into the nodes' containerd, side by side, without a file."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import quote

from pytest_kinda.build.engine_api import connect, docker_request, message_of
from pytest_kinda.build.sessions import ContainerSession
from pytest_kinda.errors import HostError

_IMPORT = ("ctr", "--namespace", "k8s.io", "images", "import", "--digests", "-")
_PIECE = 1 << 20  # bytes


def load_image(image: str, containers: Mapping[str, str], *, timeout: float = 300.0) -> None:
    """Load an image into nodes, whose container ids are given by name.

    The Engine's archive is read once and written to all of them; ``timeout`` in seconds is for
    each piece. Raises HostError where the Engine has no such image, or a node refuses it.

    Example:
        ``load_image("my/app:1", {"w1": container_id})``
    """
    docker_request("GET", f"/images/{quote(image, safe='')}/json")  # a clear error before any work
    sessions = {
        name: ContainerSession(container, _IMPORT, stdin=True)
        for name, container in containers.items()
    }
    try:
        _copy(image, sessions, timeout)
        for name, session in sessions.items():
            session.close_stdin()
            said = bytearray()
            while (piece := session.read()) is not None:
                said += piece[1]
            if rc := session.status():
                text = said.decode(errors="replace").strip()[-500:]
                raise HostError(f"node {name} did not take image {image} (status {rc}): {text}")
    finally:
        for session in sessions.values():
            session.close()


def _copy(image: str, sessions: Mapping[str, ContainerSession], timeout: float) -> None:
    connection = http.client.HTTPConnection("docker")
    connection.sock = connect(timeout)
    try:
        connection.request("GET", f"/images/{quote(image, safe='')}/get")
        answer = connection.getresponse()
        if answer.status != 200:
            raise HostError(f"image {image} cannot be read: {message_of(answer.read())}")
        while piece := answer.read(_PIECE):
            for session in sessions.values():
                session.write(piece)
    except (OSError, http.client.HTTPException) as error:
        raise HostError(f"loading image {image} broke off: {error!r}") from error
    finally:
        connection.close()
