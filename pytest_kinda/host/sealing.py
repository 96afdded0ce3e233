"""An interface that the kernel takes nothing from: a tc program drops all that arrives.

Packet sockets see a frame before tc does, so that a program which reads them has it and the kernel
never answers beside it: an ARP request got two replies without this, the kernel's first.
"""

from __future__ import annotations

import os

from pyroute2 import IPRoute

from pytest_kinda.host import bpf, filters

_PRIORITY = 0x6B69
# r0 = TC_ACT_SHOT; exit
_DROP = bytes.fromhex("b700000002000000 9500000000000000")


def ignore_arrivals(ip: IPRoute, index: int) -> None:
    """Drop what arrives on an interface; a second time is no error. Raises HostError."""
    filters.add_hooks(ip, index)
    descriptor = bpf.load_classifier("kinda_ignore", _DROP, {})
    try:
        filters.put(ip, index, filters.INGRESS, descriptor, name="kinda_ignore", priority=_PRIORITY)
    finally:
        os.close(descriptor)
