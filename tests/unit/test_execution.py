"""The exec stream: frames that arrive with the headers, cut streams, status and time limits."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from pathlib import Path

import pytest

from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.build.execution import ContainerExecution, demultiplex
from pytest_kinda.errors import HostError, KindaError, WaitTimeoutError


def frame(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(content)) + content


def test_frames_are_told_apart() -> None:
    data = frame(1, b"out") + frame(2, b"err") + frame(1, b"more")
    assert demultiplex(data) == (b"outmore", b"err")


@pytest.mark.parametrize("cut", [3, 9])
def test_a_cut_stream_is_refused(cut: int) -> None:
    with pytest.raises(HostError, match="cut off"):
        demultiplex(frame(1, b"output")[:cut])


class Engine:
    """A socket that answers like a Docker Engine, everything in one segment."""

    def __init__(self, path: Path, output: bytes, *, hang: bool = False) -> None:
        self.output, self.hang = output, hang
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.held: list[socket.socket] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            peer, _ = self.listener.accept()
            request = self.request(peer)
            if b"/start" in request:
                peer.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n" + self.output)
                if self.hang:
                    self.held.append(peer)
                    continue
            elif b"/json" in request:
                self.answer(peer, {"Running": False, "ExitCode": 7, "Pid": 0})
            elif b"/exec" in request:
                self.answer(peer, {"Id": "e1"})
            else:
                self.answer(peer, {"message": "no such thing"}, "404 Not Found")
            peer.close()

    @staticmethod
    def request(peer: socket.socket) -> bytes:
        """The first line; the body is read too, else the close resets the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += peer.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        while len(body) < (int(length.group(1)) if length else 0):
            body += peer.recv(65536)
        return head.split(b"\r\n")[0]

    @staticmethod
    def answer(peer: socket.socket, value: object, status: str = "200 OK") -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        peer.sendall(head + body)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    return path


def test_output_in_the_segment_of_the_headers_is_kept(address: Path) -> None:
    Engine(address, frame(1, b"short") + frame(2, b"!"))
    finished = ContainerExecution("c", "r1").run(["true"])
    assert (finished.rc, finished.stdout, finished.stderr) == (7, b"short", b"!")
    assert not finished.ok


def test_a_command_that_does_not_end_is_named(address: Path) -> None:
    Engine(address, b"", hang=True)
    with pytest.raises(WaitTimeoutError, match=r"r1: 'sleep 9' still ran after 0.2 s"):
        ContainerExecution("c", "r1").run(["sleep", "9"], timeout=0.2)


def test_the_engines_message_is_in_the_error(address: Path) -> None:
    Engine(address, b"")
    with pytest.raises(HostError, match="no such thing"):
        docker_request("GET", "/networks/none")


def test_an_engine_that_is_not_there(address: Path) -> None:
    with pytest.raises(HostError, match="does not answer"):
        docker_request("GET", "/info")


def test_an_unknown_kind_of_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")
    with pytest.raises(KindaError, match="ssh://far"):
        docker_request("GET", "/info")
