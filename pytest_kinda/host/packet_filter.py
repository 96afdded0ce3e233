"""Capture filters in tcpdump's language, compiled to classic BPF by libpcap."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
from typing import Any

from pytest_kinda.errors import CaptureError

_ETHERNET = 1
_NO_NETMASK = 0xFFFFFFFF
_RETURN = 0x06


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def compile_filter(expression: str, snaplen: int) -> bytes:
    """Instructions that keep ``snaplen`` bytes of what fits the expression; empty: of everything.

    Raises CaptureError with libpcap's words, or where there is no libpcap.

    >>> len(compile_filter("", 100))
    8
    """
    if not expression.strip():
        return struct.pack("=HBBI", _RETURN, 0, 0, snaplen)
    library = _libpcap()
    handle = library.pcap_open_dead(_ETHERNET, snaplen)
    if not handle:
        raise CaptureError("libpcap has no memory left")
    try:
        program = _Program()
        if library.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, _NO_NETMASK):
            said = library.pcap_geterr(handle).decode(errors="replace")
            raise CaptureError(
                f"capture filter {expression!r}: {said}",
                remedy='see "man pcap-filter" for what is accepted',
            )
        try:
            return ctypes.string_at(program.instructions, program.length * 8)
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)


def _libpcap() -> Any:
    for name in ("libpcap.so.0.8", "libpcap.so.1", ctypes.util.find_library("pcap")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None:
            library.pcap_open_dead.restype = ctypes.c_void_p
            library.pcap_geterr.restype = ctypes.c_char_p
            library.pcap_geterr.argtypes = [ctypes.c_void_p]
            library.pcap_close.argtypes = [ctypes.c_void_p]
            library.pcap_compile.argtypes = [
                ctypes.c_void_p,
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_int,
                ctypes.c_uint32,
            ]
            return library
    raise CaptureError(
        "a capture filter needs libpcap, and this machine has none",
        remedy="install libpcap (Debian: apt-get install libpcap0.8), or run `kinda setup`",
    )
