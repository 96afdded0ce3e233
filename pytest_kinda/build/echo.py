"""ICMP echo from nodes: who answers whom, asked by sockets of ours in the nodes' networks.

No program runs in a node for it. Between 65 nodes there are 8,320 questions, which were as many
processes of ``ping``, and minutes of two processors.

Sources: RFC 792 and RFC 4443 (echo and its answer), raw(7), RFC 3542 section 3.2 (ICMP6_FILTER).
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

Opener = Callable[[str, int, int, int], socket.socket]
"""Opens a socket in a node's network: its name, then what ``socket.socket`` takes."""

_HEAD = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_ASKED, _ANSWERED = 8, 0
_ASKED6, _ANSWERED6 = 128, 129
_SOL_RAW, _ICMP_FILTER = 255, 1
_SOL_ICMPV6, _ICMP6_FILTER = 58, 1


class Echoes:
    """Asks for echoes; its sockets stay open between questions, and keep the networks alive.

    Example::

        with Echoes(opener) as echoes:
            silent = echoes.ask({"w1": ["10.9.0.5", "10.9.0.9"]})
    """

    def __init__(self, opener: Opener) -> None:
        self._open = opener
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._round = int.from_bytes(os.urandom(2), "big")  # others ask in these networks too

    def __enter__(self) -> Echoes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()

    def ask(
        self, questions: Mapping[str, Sequence[str]], *, wait: float = 1.0
    ) -> dict[str, list[str]]:
        """The addresses that do not answer one packet of each node, asked all at once.

        ``wait`` is the seconds for which answers are waited for. Raises GoneError, HostError where
        a node's network is not there.
        """
        self._round = (self._round + 1) % 65536
        silent = {name: dict.fromkeys(some) for name, some in questions.items()}
        numbered: dict[tuple[str, int], list[str]] = {}
        for name, some in questions.items():
            for address in dict.fromkeys(some):
                numbered.setdefault((name, _family(address)), []).append(address)
        with selectors.DefaultSelector() as selector:
            for key, addresses in numbered.items():
                selector.register(self._socket(*key), selectors.EVENT_READ, (key[0], addresses))
            for key, addresses in numbered.items():
                self._send(self._socket(*key), addresses)
                self._collect(selector, silent, 0.0)
            until = time.monotonic() + wait
            while any(silent.values()) and (left := until - time.monotonic()) > 0:
                self._collect(selector, silent, left)
        return {name: list(some) for name, some in silent.items()}

    def _socket(self, name: str, family: int) -> socket.socket:
        found = self._sockets.get((name, family))
        if found is None:
            six = family == socket.AF_INET6
            protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
            found = self._open(name, family, socket.SOCK_RAW, protocol)
            self._sockets[name, family] = found
            found.setblocking(False)
            wanted = _only(_ANSWERED6, 256) if six else _only(_ANSWERED, 32)
            level, option = (_SOL_ICMPV6, _ICMP6_FILTER) if six else (_SOL_RAW, _ICMP_FILTER)
            found.setsockopt(level, option, wanted)
        return found

    def _send(self, opened: socket.socket, addresses: Sequence[str]) -> None:
        for number, address in enumerate(addresses):
            try:
                opened.sendto(question(opened.family, self._round, number), (address, 0))
            except OSError:
                continue  # no route, or no room: nobody answers what was not sent

    def _collect(
        self,
        selector: selectors.BaseSelector,
        silent: Mapping[str, dict[str, None]],
        wait: float,
    ) -> None:
        for key, _ in selector.select(wait):
            name, addresses = key.data
            assert isinstance(key.fileobj, socket.socket)
            for number in answers(key.fileobj, self._round):
                if number < len(addresses):
                    silent[name].pop(addresses[number], None)


def question(family: int, identifier: int, number: int) -> bytes:
    """An echo request; the kernel puts the checksum into one of IPv6."""
    if family == socket.AF_INET6:
        return _HEAD.pack(_ASKED6, 0, 0, identifier, number)
    total = (_ASKED << 8) + identifier + number
    total = (total & 0xFFFF) + (total >> 16)
    return _HEAD.pack(_ASKED, 0, ~(total + (total >> 16)) & 0xFFFF, identifier, number)


def answers(opened: socket.socket, identifier: int) -> Iterator[int]:
    """Numbers of the questions whose answers a raw socket holds now."""
    while True:
        try:
            packet = opened.recv(2048)
        except OSError:
            return  # nothing more, or word of an unreachable one
        if opened.family == socket.AF_INET:
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if len(packet) >= _HEAD.size:
            kind, _, _, whose, number = _HEAD.unpack_from(packet)
            if kind in (_ANSWERED, _ANSWERED6) and whose == identifier:
                yield number


def _family(address: str) -> int:
    return int(socket.AF_INET6 if ":" in address else socket.AF_INET)


def _only(kind: int, kinds: int) -> bytes:
    """A filter that lets one type of ICMP pass: a set bit blocks."""
    words = [0xFFFFFFFF] * (kinds // 32)
    words[kind // 32] &= ~(1 << kind % 32)
    return struct.pack(f"={len(words)}I", *words)
