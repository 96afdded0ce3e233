"""What a machine looks like from outside, so that before and after can be compared."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

Snapshot = Mapping[str, frozenset[str]]

AFTER_A_KILL = 150.0
"""Seconds until the kernel has let go of the network namespace of a node that was killed or started
again: connections that its processes had to peers that answer no more keep it, and the programs on
its interfaces, for their retransmissions (tcp_orphan_retries: 8, about 102 s)."""

_COUNTERS = re.compile(r"counter packets \d+ bytes \d+|^\[\d+:\d+\] | \[\d+:\d+\]$")
# Docker's own bridge gets its carrier and its link-local address with the first container.
_BORN_WITH_DOCKER = re.compile(r"\bdocker0\b")
_BPF = (
    321  # the number of bpf(2) on x86-64, its commands, and where a program's information names it
)
_GET_NEXT_ID, _GET_FD_BY_ID, _GET_INFO_BY_FD = 11, 13, 15
_NAME_AT = 64


def _lines(*argv: str) -> frozenset[str]:
    if shutil.which(argv[0]) is None:
        return frozenset()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return frozenset(line.rstrip() for line in done.stdout.splitlines() if line.strip())


def _links() -> frozenset[str]:
    done = subprocess.run(
        ["ip", "-d", "-j", "link"], capture_output=True, text=True, timeout=60, check=True
    )
    return frozenset(
        f"{one['ifname']} {one.get('linkinfo', {}).get('info_kind', '')} {one.get('master', '')} "
        f"mtu {one['mtu']}"
        for one in json.loads(done.stdout)
    )


def _routes() -> frozenset[str]:
    lines = _lines("ip", "route", "show", "table", "all") | _lines(
        "ip", "-6", "route", "show", "table", "all"
    )
    return frozenset(
        line.replace(" linkdown", "") for line in lines if not _BORN_WITH_DOCKER.search(line)
    )


def _rules(*argv: str) -> frozenset[str]:
    return frozenset(_COUNTERS.sub("", line) for line in _lines(*argv) if not line.startswith("#"))


def _bpf_programs() -> frozenset[str]:
    """The loaded programs by id and name."""
    found = []
    previous = 0
    while (known := _bpf(_GET_NEXT_ID, struct.pack("II", previous, 0))) is not None:
        (previous,) = struct.unpack_from("I", known, 4)
        found.append(f"program {previous} {_name_of_program(previous)}")
    return frozenset(found)


def _name_of_program(number: int) -> str:
    """What its loader called it; nothing if it has gone in the meantime."""
    libc = ctypes.CDLL(None, use_errno=True)
    asked = ctypes.create_string_buffer(struct.pack("I", number), 128)
    descriptor = libc.syscall(_BPF, _GET_FD_BY_ID, asked, 128)
    if descriptor < 0:
        return ""
    about = ctypes.create_string_buffer(128)
    try:
        _bpf(_GET_INFO_BY_FD, struct.pack("IIQ", descriptor, 128, ctypes.addressof(about)))
    finally:
        os.close(descriptor)
    return about.raw[_NAME_AT : _NAME_AT + 16].rstrip(b"\0").decode()


def _bpf(command: int, attribute: bytes) -> bytes | None:
    """bpf(2); what the kernel left in the attribute, or None if it refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    given = ctypes.create_string_buffer(attribute, 128)
    return given.raw if libc.syscall(_BPF, command, given, 128) == 0 else None


def processes(state_home: Path) -> frozenset[str]:
    """Processes that were started with this state directory: pytest, keepers, their children."""
    mark = f"XDG_STATE_HOME={state_home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                argv = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{entry.name} {argv.decode(errors='replace').strip()[:160]}")
        except OSError:
            continue
    return frozenset(found)


def snapshot(state_home: Path) -> Snapshot:
    """The state of the machine that a testbed with this state directory could have changed.

    Where others build testbeds at the same time, ``KINDA_TEST_SHARED_MACHINE=1`` leaves only what
    is surely of this state directory.
    """
    if os.environ.get("KINDA_TEST_SHARED_MACHINE"):
        return {"processes": processes(state_home)}
    return {
        "containers": _lines("docker", "ps", "-a", "--format", "{{.ID}} {{.Names}}"),
        "volumes": _lines("docker", "volume", "ls", "-q"),
        "networks": _lines("docker", "network", "ls", "--format", "{{.ID}} {{.Name}}"),
        "links": _links(),
        "policy rules": _lines("ip", "rule") | _lines("ip", "-6", "rule"),
        "routes": _routes(),
        "iptables": _rules("iptables-save"),
        "ip6tables": _rules("ip6tables-save"),
        "nft": _rules("nft", "list", "ruleset"),
        "namespaces": _lines("ip", "netns"),
        "mounts": frozenset(Path("/proc/self/mounts").read_text().splitlines()),
        "BPF programs": _bpf_programs(),
        "processes": processes(state_home),
    }


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What has come and what is gone, one line each."""
    found = []
    for what in before:
        found += [f"{what}: + {one}" for one in sorted(after[what] - before[what])]
        if what != "BPF programs":  # the kernel may free one of an earlier test during this one
            found += [f"{what}: - {one}" for one in sorted(before[what] - after[what])]
    return found


def await_same(before: Snapshot, state_home: Path, limit: float) -> float:
    """Wait until the machine is as before; the seconds it took. Raises AssertionError."""
    begun = time.monotonic()
    while True:
        found = differences(before, snapshot(state_home))
        taken = time.monotonic() - begun
        if not found:
            return taken
        if taken > limit:
            raise AssertionError(
                f"after {taken:.1f} s the machine is not as before:\n  " + "\n  ".join(found)
            )
        time.sleep(0.25)
