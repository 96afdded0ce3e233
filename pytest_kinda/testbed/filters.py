"""Filters in tcpdump's language, compiled and applied to packets by libpcap.

The keeper's captures filter in the kernel with the same language; here it is for packets that are
on disk already: ``capture.count("proto gre")``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from types import TracebackType
from typing import Any

from pytest_kinda.errors import CaptureError

ETHERNET = 1
_NETMASK_UNKNOWN = 0xFFFFFFFF


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


class _Header(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


@cache
def _libpcap() -> Any:
    """The library, with the types of what is called. Raises CaptureError where there is none."""
    for name in (ctypes.util.find_library("pcap"), "libpcap.so.0.8", "libpcap.so.1"):
        if not name:
            continue
        try:
            library = ctypes.CDLL(name)
            break
        except OSError:
            continue
    else:
        raise CaptureError(
            "a capture filter needs libpcap, and this machine has none",
            remedy="install libpcap (Debian: apt-get install libpcap0.8), or run `kinda setup`",
        )
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_open_dead.argtypes = [ctypes.c_int, ctypes.c_int]
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_geterr.argtypes = [ctypes.c_void_p]
    library.pcap_close.argtypes = [ctypes.c_void_p]
    library.pcap_close.restype = None
    library.pcap_compile.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(_Program),
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_uint32,
    ]
    library.pcap_freecode.argtypes = [ctypes.POINTER(_Program)]
    library.pcap_freecode.restype = None
    library.pcap_offline_filter.argtypes = [
        ctypes.POINTER(_Program),
        ctypes.POINTER(_Header),
        ctypes.c_char_p,
    ]
    return library


class PacketFilter:
    """A compiled filter; a context manager, since libpcap holds memory for it.

    Raises CaptureError with libpcap's own words for an expression it does not accept. Example::

        with PacketFilter("proto gre") as wanted:
            wanted.matches(frame)
    """

    def __init__(self, expression: str, *, linktype: int = ETHERNET) -> None:
        self.expression = expression
        library = _libpcap()
        handle = library.pcap_open_dead(linktype, 262144)
        self._program = _Program()
        try:
            if library.pcap_compile(
                handle, ctypes.byref(self._program), expression.encode(), 1, _NETMASK_UNKNOWN
            ):
                reason = library.pcap_geterr(handle).decode("utf-8", "replace")
                raise CaptureError(
                    f"capture filter {expression!r}: {reason}",
                    remedy="filters are in tcpdump's language, such as 'icmp', 'proto gre', "
                    "'host 10.9.0.1 and tcp port 80' (man pcap-filter)",
                )
        finally:
            library.pcap_close(handle)
        self._open = True

    def matches(self, data: bytes, length: int | None = None) -> bool:
        """Whether the bytes of a frame fit; ``length`` is its length on the wire in bytes."""
        header = _Header(0, 0, len(data), len(data) if length is None else length)
        return bool(
            _libpcap().pcap_offline_filter(ctypes.byref(self._program), ctypes.byref(header), data)
        )

    def close(self) -> None:
        """Give libpcap its memory back."""
        if self._open:
            self._open = False
            _libpcap().pcap_freecode(ctypes.byref(self._program))

    def __enter__(self) -> PacketFilter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
