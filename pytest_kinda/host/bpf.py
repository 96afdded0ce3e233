"""The bpf(2) system call by ctypes: maps, programs from instructions, what is loaded.

No libbpf, no compiler and no bpffs at run time: a program is a file of instructions in which
64-bit constants ``0x7ead000N`` stand for what is known only now.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from ipaddress import IPv4Address, ip_network

from pytest_kinda.errors import HostError

_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "i686": 357}
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD = 0, 2, 5
_PROG_NEXT_ID, _PROG_FD_BY_ID, _OBJECT_INFO = 11, 13, 15
_LPM_TRIE, _NO_PREALLOC = 11, 1
_SCHED_CLS = 3
_LD_IMM64, _MAP_FD = 0x18, 1
_TAG = 0x7EAD0000

MAP_TAG = 0
"""The constant that stands for the map; 1 to 15 are numbers given by the caller."""


def bpf(command: int, attributes: bytes | bytearray) -> int:
    """One bpf(2) call. Returns what the kernel returns; raises OSError.

    ``attributes`` may be a bytearray, which the kernel then writes its answer into.
    """
    machine = platform.machine()
    number = _NUMBER.get(machine)
    if number is None or sys.byteorder != "little":
        raise OSError(errno.ENOSYS, f"eBPF programs are not made for {machine}")
    room = ctypes.create_string_buffer(bytes(attributes), len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, command, room, len(attributes)))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if isinstance(attributes, bytearray):
        attributes[:] = room.raw
    return result


def make_prefix_map(name: str, peers: Mapping[str, str]) -> int:
    """A longest-prefix map from networks (either family) to IPv4 addresses; its descriptor.

    Raises HostError.
    """
    attributes = struct.pack("<7I16s", _LPM_TRIE, 20, 4, 65536, _NO_PREALLOC, 0, 0, name.encode())
    try:
        try:
            descriptor = bpf(_MAP_CREATE, attributes)
        except PermissionError:
            # Before Linux 5.11 maps count as locked memory, of which the default is 64 KiB.
            unlimited = resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
            descriptor = bpf(_MAP_CREATE, attributes)
    except (OSError, ValueError) as error:
        raise _refused("make a map", error) from error
    try:
        for prefix, endpoint in peers.items():
            key, value = prefix_key(prefix), IPv4Address(endpoint).packed
            key_room, value_room = ctypes.c_char_p(key), ctypes.c_char_p(value)
            bpf(
                _MAP_UPDATE,
                struct.pack("<IxxxxQQQ", descriptor, _address(key_room), _address(value_room), 0),
            )
    except OSError as error:
        os.close(descriptor)
        raise _refused("fill a map", error) from error
    return descriptor


def prefix_key(prefix: str) -> bytes:
    """The 20 bytes that a network is found by; IPv4 as ``::ffff:a.b.c.d``.

    >>> prefix_key("10.244.1.0/24").hex()
    '7800000000000000000000000000ffff0af40100'
    """
    network = ip_network(prefix)
    packed, bits = network.network_address.packed, network.prefixlen
    if network.version == 4:
        packed, bits = bytes(10) + b"\xff\xff" + packed, bits + 96
    return struct.pack("<I", bits) + packed


def load_classifier(
    name: str, instructions: bytes, constants: Mapping[int, int], map_descriptor: int | None = None
) -> int:
    """Load a tc program; its descriptor. ``constants`` are the values by their tag's last digit.

    The programs call ``bpf_fib_lookup``, which the kernel gives to GPL-compatible ones only.
    Raises HostError with the end of the verifier's log.
    """
    patched = patch(instructions, constants, map_descriptor)
    code, licence = ctypes.c_char_p(patched), ctypes.c_char_p(b"Dual BSD/GPL")

    def load(log: ctypes.Array[ctypes.c_char] | None) -> int:
        level, size = (1, len(log)) if log is not None else (0, 0)
        at = ctypes.addressof(log) if log is not None else 0
        head = (_SCHED_CLS, len(patched) // 8, _address(code), _address(licence))
        return bpf(
            _PROG_LOAD,
            struct.pack("<IIQQIIQII16sII", *head, level, size, at, 0, 0, name.encode(), 0, 0),
        )

    try:
        return load(None)
    except OSError as error:
        log = ctypes.create_string_buffer(1 << 20)
        try:
            return load(log)
        except OSError:
            lines = log.value.decode(errors="replace").strip().splitlines()[-6:]
            raise _refused(f"load program {name}", error, lines) from error


@cache
def instructions(name: str) -> bytes:
    """The instructions of a program that ships with the package."""
    return (files("pytest_kinda.host") / "programs" / f"{name}.bin").read_bytes()


def patch(
    instructions: bytes, constants: Mapping[int, int], map_descriptor: int | None = None
) -> bytes:
    """Put the constants and the map's descriptor in. Raises HostError for one that is missing."""
    code = bytearray(instructions)
    at = 0
    while at < len(code):
        wide = code[at] == _LD_IMM64
        low = struct.unpack_from("<I", code, at + 4)[0]
        if wide and low & 0xFFFFFFF0 == _TAG:
            tag = low & 0xF
            if tag == MAP_TAG and map_descriptor is not None:
                code[at + 1] = code[at + 1] & 0x0F | _MAP_FD << 4
                struct.pack_into("<I", code, at + 4, map_descriptor)
            elif tag in constants:
                struct.pack_into("<I", code, at + 4, constants[tag])
            else:
                raise HostError(f"the program wants a value for its constant {tag}")
        at += 16 if wide else 8
    return bytes(code)


def loaded_programs() -> dict[int, str]:
    """The names of all loaded programs of the machine by id. Raises HostError."""
    found: dict[int, str] = {}
    program = 0
    while True:
        try:
            question = bytearray(struct.pack("<III", program, 0, 0))
            bpf(_PROG_NEXT_ID, question)
            program = struct.unpack_from("<I", question, 4)[0]
            descriptor = bpf(_PROG_FD_BY_ID, struct.pack("<III", program, 0, 0))
        except FileNotFoundError:
            # No next one, or this one went away in between.
            if struct.unpack_from("<I", question, 4)[0] == 0:
                return found
            continue
        except OSError as error:
            raise _refused("list the programs", error) from error
        try:
            found[program] = _program_name(descriptor)
        finally:
            os.close(descriptor)


def _program_name(descriptor: int) -> str:
    info = ctypes.create_string_buffer(80)
    bpf(_OBJECT_INFO, struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info)))
    return info.raw[64:80].split(b"\0")[0].decode()


def _address(pointer: ctypes.c_char_p) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _refused(what: str, error: Exception, lines: list[str] | None = None) -> HostError:
    text = "\n".join(f"    {line}" for line in lines or ())
    remedy = "run as root with Linux 5.10 or newer, or choose another tunnel driver"
    return HostError(
        f"bpf: could not {what}: {error}" + (f"\n{text}" if text else ""), remedy=remedy
    )
