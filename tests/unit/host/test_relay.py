"""The relay's process: bytes both ways, who is not there, targets that change."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kinda.host import relay
from tests.support.builds import await_true

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it enters namespaces")

HERE = {"@host": {"pid": 0, "started": 0}}


class Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest_kinda.host.relay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, do: str, **more: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        assert ready, f"no answer to {do} within 30 s"
        return json.loads(self.process.stdout.readline())

    def open(self, to: socket.socket | None, name: str = "r", **more: Any) -> Any:
        told = {"place": "@host", "port": 0, "places": HERE, **more}
        return self.ask("open", name=name, to=target(to), **told)


def target(to: socket.socket | None) -> Any:
    if to is None:
        return None
    return {"place": "@host", "addresses": ["127.0.0.1"], "port": to.getsockname()[1]}


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.process.communicate(timeout=20)  # its standard input ends, and so does it
    assert made.process.returncode == 0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(20)
        yield made


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_bytes_go_both_ways_and_so_does_the_end(child: Child, listener: socket.socket) -> None:
    port = child.open(listener)["ok"]["port"]
    with dial(port) as near:
        far, _ = listener.accept()
        with far:
            near.sendall(b"hello")
            assert far.recv(100) == b"hello"
            far.sendall(b"x" * 3_000_000)
            far.shutdown(socket.SHUT_WR)
            count = 0
            while piece := near.recv(1 << 20):
                count += len(piece)
    assert count == 3_000_000
    state = child.ask("status")["ok"]["relays"]["r"]
    assert (state["listening"], state["error"]) == (True, "")


def test_who_is_not_there_is_told(child: Child, listener: socket.socket) -> None:
    port = child.open(None)["ok"]["port"]
    with dial(port) as near:
        assert near.recv(1) == b""
    assert child.ask("status")["ok"]["relays"]["r"]["error"] == "it leads nowhere"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        child.ask("aim", name="r", to=target(closed), places=HERE)
        with dial(port) as near:
            assert near.recv(1) == b""
        said = child.ask("status")["ok"]["relays"]["r"]["error"]
    assert said.startswith("seen from @host, 127.0.0.1 port ")
    assert said.endswith(": Connection refused")


def test_another_target_ends_the_connections_to_the_former(
    child: Child, listener: socket.socket
) -> None:
    port = child.open(listener)["ok"]["port"]
    with dial(port) as near:
        far, _ = listener.accept()
        child.ask("aim", name="r", to=None, why="it has moved", places={})
        assert (near.recv(1), far.recv(1)) == (b"", b"")
        far.close()
    assert child.ask("status")["ok"]["relays"]["r"]["error"] == "it has moved"
    child.ask("close", name="r")
    with pytest.raises(ConnectionRefusedError):
        dial(port)


def test_a_connection_that_is_ended_as_it_is_made_ends(listener: socket.socket) -> None:
    async def ended_at_once() -> bool:
        with socket.socket() as far:
            far.setblocking(False)
            making = asyncio.create_task(relay.connect(far, *listener.getsockname()))
            await asyncio.sleep(0)
            (inner,) = asyncio.all_tasks() - {making, asyncio.current_task()}
            inner.add_done_callback(lambda _: making.cancel())
            await asyncio.wait([making], timeout=20)
            return making.cancelled()

    assert asyncio.run(ended_at_once())


def test_a_place_that_is_gone_is_let_go_of(child: Child, listener: socket.socket) -> None:
    with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as other:
        stat = open(f"/proc/{other.pid}/stat").read()  # noqa: SIM115
        place = {"pid": other.pid, "started": int(stat.rpartition(")")[2].split()[19])}
        child.open(listener, place="n", places={"n": place, **HERE})
        other.kill()
    await_true(
        lambda: not child.ask("status")["ok"]["relays"]["r"]["listening"], "the end to be seen", 20
    )
    again = child.open(listener, "other", place="n", again=True)["ok"]
    assert again["port"] == 0
    assert "n does not run" in child.ask("status")["ok"]["relays"]["other"]["error"]
    port = socket.create_server(("127.0.0.1", 0))
    taken = child.open(listener, "third", port=port.getsockname()[1])["error"]["message"]
    port.close()
    assert "Address already in use" in taken


def test_nonsense_is_answered(child: Child) -> None:
    assert "KeyError" in child.ask("aim", name="nobody", to=None)["error"]["message"]
