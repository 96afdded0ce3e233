"""Places without containers: a forked process in a network namespace and a root of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kinda.host.client import Keeper
from pytest_kinda.host.namespaces import Namespace, entered, start_time, unshare_network
from pytest_kinda.operations import (
    AddAddress,
    AddRoute,
    AddVeth,
    End,
    Hop,
    Operation,
    Place,
    SetSysctl,
)

LINE = (
    AddVeth(
        End("a", "eth0", "02:00:00:00:00:01", 1400), End("r", "eth0", "02:00:00:00:00:02", 1400)
    ),
    AddVeth(End("r", "eth1"), End("b", "eth0")),
    AddAddress("a", "eth0", "10.9.0.1/30"),
    AddAddress("r", "eth0", "10.9.0.2/30"),
    AddAddress("r", "eth1", "10.9.0.5/30"),
    AddAddress("b", "eth0", "10.9.0.6/30"),
    AddAddress("a", "eth0", "fd00:9::1/64"),
    AddAddress("r", "eth0", "fd00:9::2/64"),
    AddAddress("b", "lo", "10.9.255.1/32"),
    SetSysctl("r", "net.ipv4.ip_forward", "1"),
    AddRoute("a", "10.9.0.4/30", (Hop("10.9.0.2", "eth0"),)),
    AddRoute("a", "10.9.255.1/32", (Hop("10.9.0.2", "eth0"),)),
    AddRoute("r", "10.9.255.1/32", (Hop("10.9.0.6", "eth1"),)),
    AddRoute("b", "0.0.0.0/0", (Hop("10.9.0.5", "eth0"),), source="10.9.255.1"),
)
"""Three places in a line, ``a``, the router ``r`` and ``b``, with addresses and routes."""


class FakeContainer:
    """As much of a container as ``host/`` sees: its process, namespaces and root directory."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        self.name = name
        self.root = root
        ready, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                unshare_network()
                if root is not None:
                    os.chroot(root)
                    os.chdir("/")
                os.write(told, b"r")
                for descriptor in range(1024):
                    try:
                        os.close(descriptor)
                    except OSError:
                        pass
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(told)
        assert os.read(ready, 1) == b"r"
        os.close(ready)
        self.place = Place(container=name, pid=self.pid, started=start_time(self.pid))
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv: str) -> str:
        """The output of a command of the machine's in this network namespace."""
        with Namespace.open(self.pid) as namespace, entered(namespace):
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns in this network namespace."""
        with Namespace.open(self.pid) as namespace, entered(namespace):
            return function(*arguments)

    def reaches(
        self, other: FakeContainer, address: str, count: int = 1, limit: float = 20
    ) -> bool:
        """Whether datagrams to an address of another place come there within ``limit`` seconds."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with (
            other.call(socket.socket, family, socket.SOCK_DGRAM) as server,
            self.call(socket.socket, family, socket.SOCK_DGRAM) as client,
        ):
            server.bind((address, 0))
            server.settimeout(limit)
            for _ in range(count):
                client.sendto(b"hello", server.getsockname()[:2])
            try:
                return all(server.recv(100) == b"hello" for _ in range(count))
            except (TimeoutError, OSError):
                return False

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@contextmanager
def containers(*names: str, root: Path | None = None) -> Iterator[dict[str, FakeContainer]]:
    found: dict[str, FakeContainer] = {}
    try:
        for name in names:
            own = None
            if root is not None:
                own = root / name
                own.mkdir()
            found[name] = FakeContainer(name, own)
        yield found
    finally:
        for one in found.values():
            one.end()


@contextmanager
def wired(keeper: Keeper, wiring: Sequence[Operation]) -> Iterator[dict[str, FakeContainer]]:
    """Places a and b, which a keeper wires and takes apart again."""
    with containers("a", "b") as found:
        numbers = keeper.apply(wiring, table(found))
        yield found
        keeper.revert(numbers)


def table(found: dict[str, FakeContainer]) -> dict[str, Place]:
    return {name: one.place for name, one in found.items()}
