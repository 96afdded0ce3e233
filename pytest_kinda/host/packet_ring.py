"""A packet socket with a ring of blocks shared with the kernel (TPACKET_V3).

Frames come with the kernel's nanosecond stamps, in blocks of many, without a system call each.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_kinda.errors import HostError

RETIRE = 20
"""Milliseconds after which the kernel hands over a block that is not full."""

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 3
_FRAME = 2048
_USER = 1  # the block is ours
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40
_OUTGOING = 4

_BLOCK = struct.Struct("=8xIIII")  # status, packets, offset of the first, length
_FRAME_HEAD = struct.Struct("=IIIIIIHHIIH")
_KIND_OF_PACKET = 48 + 10  # sll_pkttype, behind the aligned header
_STATUS_AT, _COUNT_AT = 8, 12

REJECT_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)


@dataclass(frozen=True)
class Frame:
    """One frame: ``time`` in nanoseconds since the epoch, ``length`` as on the wire."""

    time: int
    outgoing: bool
    length: int
    data: bytes


class PacketRing:
    """Frames of one interface of the thread's namespace, both directions.

    ``program`` are classic BPF instructions that say how many bytes of a frame are kept (0: none).
    ``memory`` in bytes bounds the ring. Raises HostError.
    """

    def __init__(self, interface: str, program: bytes, memory: int = 16 << 20) -> None:
        self.interface = interface
        self.packets = 0
        self.drops = 0
        self._block_size = 1 << 20 if memory >= 8 << 20 else 1 << 18
        self._blocks = max(4, memory // self._block_size)
        self._at = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except OSError as error:
            raise HostError(f"no packet socket: {error.strerror}", remedy="run as root") from error
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
            frames = self._block_size // _FRAME * self._blocks
            request = struct.pack(
                "=7I", self._block_size, self._blocks, _FRAME, frames, RETIRE, 0, 0
            )
            self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
            self._map = mmap.mmap(self._socket.fileno(), self._block_size * self._blocks)
            self.attach(program)
            self._socket.bind((interface, _ETH_P_ALL))  # nothing comes before the filter is on
        except OSError as error:
            self._socket.close()
            there = ""
            if error.errno == errno.ENODEV:
                there = f"; there are {', '.join(name for _, name in socket.if_nameindex())}"
            raise HostError(f"capture on {interface}: {error.strerror}{there}") from error

    def fileno(self) -> int:
        """Readable when a block of frames is there."""
        return self._socket.fileno()

    def lost(self) -> bool:
        """Whether the interface has been deleted; one that is down may come up again.

        Reading the socket's error clears it: until then the socket is readable all the time.
        """
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return not self._socket.getsockname()[0]

    def attach(self, program: bytes) -> None:
        """Filter what comes from now on by these instructions. Raises OSError."""
        held = ctypes.create_string_buffer(program, len(program))
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(program) // 8, ctypes.addressof(held)),
        )

    def frames(self) -> Iterator[Frame]:
        """The frames of all blocks that the kernel has handed over; the blocks go back to it."""
        for _ in range(self._blocks):  # at most one round, so that others get their turn
            base = self._at * self._block_size
            status, count, first, _ = _BLOCK.unpack_from(self._map, base)
            if not status & _USER:
                return
            yield from self._of_block(base + first, count)
            # A count of zero is what pending() knows an empty block by.
            struct.pack_into("=I", self._map, base + _COUNT_AT, 0)
            struct.pack_into("=I", self._map, base + _STATUS_AT, 0)
            self._at = (self._at + 1) % self._blocks

    def pending(self) -> tuple[int, bool]:
        """Which block is next, and whether frames are in it by now (handed over or not)."""
        base = self._at * self._block_size
        _, count, _, _ = _BLOCK.unpack_from(self._map, base)
        return self._at, count > 0

    def read_statistics(self) -> None:
        """Add the kernel's counters to ``packets`` (drops included) and ``drops``."""
        data = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        packets, drops, _ = struct.unpack("=3I", data)
        self.packets += packets
        self.drops += drops

    def close(self) -> None:
        """Give the ring back."""
        self._map.close()
        self._socket.close()

    def _of_block(self, place: int, count: int) -> Iterator[Frame]:
        ring = self._map
        for _ in range(count):
            following, seconds, nanoseconds, kept, length, status, mac, _, _, tci, tpid = (
                _FRAME_HEAD.unpack_from(ring, place)
            )
            data = ring[place + mac : place + mac + kept]
            if status & _VLAN_VALID:
                # The kernel has taken the tag out of the frame; on the wire it is there.
                kind = tpid if status & _VLAN_TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", kind, tci & 0xFFFF) + data[12:]
                length += 4
            outgoing = ring[place + _KIND_OF_PACKET] == _OUTGOING
            yield Frame(seconds * 1_000_000_000 + nanoseconds, outgoing, length, data)
            place += following
