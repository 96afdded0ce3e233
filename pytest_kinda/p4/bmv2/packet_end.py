"""The controller's end of BMv2's CPU port: a packet socket at the other end of its cable.

What waits is in the socket, in the kernel's hands: nothing runs beside BMv2, and no packet that it
sends before a test asks is lost.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Sequence

from pytest_kinda.errors import HostError, P4ControlError

PAIR = ("kcpu0", "kcpu1")
"""What BMv2 has for a CPU port, and where its controller is."""

SHORTEST = 14
"""Bytes of an Ethernet header: the kernel sends nothing shorter."""

_ALL = 3  # ETH_P_ALL
_SOL_PACKET, _STATISTICS, _AUXDATA = 263, 6, 8  # linux/if_packet.h
_OUTGOING = 4
_VLAN_VALID, _TPID_VALID = 0x10, 0x40
_AUX = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_LARGEST = 65535 + 4
_ROOM = 8 << 20
_SO_RCVBUFFORCE = 33

Opener = Callable[[int, int], socket.socket]
"""Makes a socket of a family and a kind in the network of a switch. Raises HostError."""


class PacketEnd:
    """Packets to and from the CPU port of a BMv2.

    Raises P4ControlError where the switch has no such port, or does not run.
    """

    def __init__(self, opener: Opener) -> None:
        try:
            self._socket = opener(socket.AF_PACKET, socket.SOCK_RAW)
        except HostError as error:
            raise P4ControlError(f"no way to its CPU port: {error.message}") from error
        try:
            self._begin()
        except OSError as error:
            self._socket.close()
            raise P4ControlError(
                f"no way to its CPU port, {PAIR[1]}: {error.strerror}",
                remedy="declare cpu_port=",
            ) from error

    def _begin(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._socket.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        self._socket.setblocking(False)
        # made with protocol 0 it has taken nothing from anywhere else
        self._socket.bind((PAIR[1], _ALL))

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it: a test's end does, and a restart of the switch."""
        return self._socket.fileno() >= 0

    def send(self, packet: bytes) -> None:
        """Send the program a packet. Raises P4ControlError for one that no interface takes."""
        if len(packet) < SHORTEST:
            raise P4ControlError(
                f"found a packet of {len(packet)} bytes; BMv2 takes {SHORTEST} and more"
            )
        try:
            self._socket.send(packet)
        except OSError as error:
            why = "is longer than the port's links let through"
            said = why if error.errno == errno.EMSGSIZE else f"was not taken: {error.strerror}"
            raise P4ControlError(f"a packet of {len(packet)} bytes {said}") from error

    def take(self) -> tuple[list[bytes], int]:
        """The packets that wait, oldest first, and how many were lost for want of room."""
        found = []
        while True:
            try:
                data, extras, _, source = self._socket.recvmsg(_LARGEST, 64)
            except BlockingIOError:
                break
            except OSError as error:
                raise P4ControlError(f"its CPU port is gone: {error.strerror}") from error
            if source[2] != _OUTGOING:
                found.append(_with_tag(data, extras))
        statistics = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return found, struct.unpack("=II", statistics)[1]

    def close(self) -> None:
        """Give it up: packets are lost from now on."""
        self._socket.close()


def _with_tag(data: bytes, extras: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A frame with the VLAN tag that the kernel has taken out of it."""
    for level, kind, value in extras:
        if (level, kind) == (_SOL_PACKET, _AUXDATA):
            status, *_, tag, protocol = _AUX.unpack(value)
            if status & _VLAN_VALID:
                protocol = protocol if status & _TPID_VALID else 0x8100
                return data[:12] + struct.pack("!HH", protocol, tag) + data[12:]
    return data
