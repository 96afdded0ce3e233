"""An outside: a machine beyond this one with a DNS server, a web page and a registry's port.

It is a network namespace behind a cable from this machine, with addresses that are nobody's
(RFC 5737). It knows no way to a testbed: what comes must have this machine's address.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.places import FakeContainer

ADDRESS = "198.51.100.2"
NAMES = ("web.example", "registry.example")
PAGE = b"a page from outside\n"
REGISTRY_PORT = 5000
_MACHINE = "198.51.100.1"
_CABLE = "kindaoutside"


class Outside:
    """What was asked of it: names, pages by path, and connections to the registry's port."""

    def __init__(self, place: FakeContainer) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self.peers: set[str] = set()
        self.pulls = 0
        self._sockets: list[socket.socket] = []
        dns = self._opened(place, socket.SOCK_DGRAM, 53)
        web, registry = (self._opened(place, socket.SOCK_STREAM, n) for n in (80, REGISTRY_PORT))
        self._threads = [
            threading.Thread(target=self._serve, args=(one, what), daemon=True)
            for one, what in ((dns, self._resolve), (web, self._page), (registry, self._refuse))
        ]
        for one in self._threads:
            one.start()

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _opened(self, place: FakeContainer, kind: int, port: int) -> socket.socket:
        found: socket.socket = place.call(socket.socket, socket.AF_INET, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((ADDRESS, port))
        found.settimeout(0.2)
        if kind == socket.SOCK_STREAM:
            found.listen(50)
        self._sockets.append(found)
        return found

    def _serve(self, one: socket.socket, what: Callable[[socket.socket], None]) -> None:
        while one.fileno() >= 0:
            try:
                what(one)
            except TimeoutError:
                continue
            except OSError:
                if one.fileno() < 0:
                    return

    def _resolve(self, one: socket.socket) -> None:
        query, client = one.recvfrom(4096)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels)
        question = query[12 : at + 5]
        (kind,) = struct.unpack("!H", question[-4:-2])
        self.names.append(name)
        known = name.lower() in NAMES
        answers = known and kind == 1
        code = 0x8180 if known else 0x8183
        reply = query[:2] + struct.pack("!HHHHH", code, 1, int(answers), 0, 0) + question
        if answers:
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4)
            reply += record + socket.inet_aton(ADDRESS)
        one.sendto(reply, client)

    def _page(self, one: socket.socket) -> None:
        connection, (peer, _) = one.accept()
        with connection:
            connection.settimeout(2)
            request = connection.recv(4096).decode(errors="replace")
            self.peers.add(peer)
            self.paths.append(request.split()[1] if " " in request else request)
            head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(PAGE)}\r\n\r\n"
            connection.sendall(head.encode() + PAGE)

    def _refuse(self, one: socket.socket) -> None:
        connection, _ = one.accept()
        connection.close()
        self.pulls += 1


@contextmanager
def outside() -> Iterator[Outside]:
    """It stands while the block runs; afterwards the machine is as before."""
    place = FakeContainer("outside")
    found = None
    try:
        _ip("link", "add", _CABLE, "type", "veth", "peer", "name", "eth0", "netns", place.pid)
        _ip("link", "set", _CABLE, "addrgenmode", "none")  # IPv6 would come a second later
        _ip("address", "add", f"{_MACHINE}/30", "dev", _CABLE)
        _ip("link", "set", _CABLE, "up")
        place.run("ip", "address", "add", f"{ADDRESS}/30", "dev", "eth0")
        place.run("ip", "link", "set", "eth0", "up")
        found = Outside(place)
        yield found
    finally:
        if found is not None:
            found.close()
        subprocess.run(["ip", "link", "del", _CABLE], check=False, capture_output=True, timeout=20)
        place.end()


def _ip(*argv: Any) -> None:
    subprocess.run(["ip", *map(str, argv)], check=True, timeout=20)
