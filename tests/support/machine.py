"""What a machine looks like from outside, so that before and after can be compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_kinda.host.bpf import loaded_programs
from pytest_kinda.plan.kubelet import TUNABLES

Snapshot = Mapping[str, frozenset[str]]

AFTER_A_KILL = 150.0
"""Seconds until the kernel has let go of the network namespace of a node that was killed or started
again: connections that its processes had to peers that answer no more keep it, and the programs on
its interfaces, for their retransmissions (tcp_orphan_retries: 8, about 102 s)."""

_COUNTERS = re.compile(r"counter packets \d+ bytes \d+|^\[\d+:\d+\] | \[\d+:\d+\]$")
_SYSCTLS = (
    *TUNABLES,
    "fs/inotify/*",
    "net/bridge/*",
    "net/ipv[46]/conf/all/*",
    "net/ipv[46]/conf/default/*",
    "net/ipv4/*",
    "net/netfilter/nf_conntrack_max",
)
# Docker's own bridge gets its carrier and its link-local address with the first container.
_BORN_WITH_DOCKER = re.compile(r"\bdocker0\b")


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


def _qdiscs() -> frozenset[str]:
    return frozenset(re.sub(r" refcnt \d+", "", line) for line in _lines("tc", "qdisc", "show"))


def _sysctls() -> frozenset[str]:
    """The kernel's settings that belong to the machine, or to its own network."""
    found = set()
    for path in (one for pattern in _SYSCTLS for one in Path("/proc/sys").glob(pattern)):
        try:
            found.add(f"{path} {path.read_text().strip()}")
        except OSError:  # a folder, or one that is only written
            continue
    return frozenset(found)


def _files() -> frozenset[str]:
    """What people configure: /etc, and the kubeconfig and caches of this user."""
    return _lines("find", "/etc", str(Path.home() / ".kube"), "-printf", "%p %T@\\n")


def _bpf_programs() -> frozenset[str]:
    return frozenset(f"program {number} {name}" for number, name in loaded_programs().items())


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
        "qdiscs": _qdiscs(),
        "policy rules": _lines("ip", "rule") | _lines("ip", "-6", "rule"),
        "routes": _routes(),
        "iptables": _rules("iptables-save"),
        "ip6tables": _rules("ip6tables-save"),
        "nft": _rules("nft", "list", "ruleset"),
        "namespaces": _lines("ip", "netns"),
        "mounts": frozenset(Path("/proc/self/mounts").read_text().splitlines()),
        "BPF programs": _bpf_programs(),
        "processes": processes(state_home),
        "sysctls": _sysctls(),
        "files": _files(),
    }


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What has come and what is gone, one line each."""
    found = []
    for what in before:
        found += [f"{what}: + {one}" for one in sorted(after[what] - before[what])]
        if what != "BPF programs":  # the kernel may free one of an earlier test during this one
            found += [f"{what}: - {one}" for one in sorted(before[what] - after[what])]
    return found


def await_same(
    before: Snapshot,
    state_home: Path,
    limit: float,
    more: Callable[[], Snapshot] = dict,
) -> float:
    """Wait until the machine is as before; the seconds it took. Raises AssertionError.

    ``more`` is what ``before`` holds beside a snapshot.
    """
    begun = time.monotonic()
    while True:
        found = differences(before, {**snapshot(state_home), **more()})
        taken = time.monotonic() - begun
        if not found:
            return taken
        if taken > limit:
            raise AssertionError(
                f"after {taken:.1f} s the machine is not as before:\n  " + "\n  ".join(found)
            )
        time.sleep(0.25)
