"""nft tables in a container, loaded by the container's own ``nft`` (else by the machine's).

The rules then fit the version that will list them, and a node's image is all that is needed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from pytest_kinda.errors import HostError
from pytest_kinda.host.namespaces import CLONE_NEWNET, Namespace
from pytest_kinda.operations import LoadNft

_CLONE_NEWNS = 0x00020000
_LIMIT = 30.0  # seconds
_WHERE = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")


def load(operation: LoadNft, namespace: Namespace) -> None:
    """Replace the table in one transaction. Raises HostError with what nft says."""
    _check(operation)
    table = f"{operation.family} {operation.table}"
    # "add" first, so that "delete" cannot fail where the table is not there yet.
    run(f"add table {table}\ndelete table {table}\n{operation.ruleset}\n", namespace)


def unload(operation: LoadNft, namespace: Namespace) -> None:
    """Delete the table; one that is not there is no error. Raises HostError."""
    _check(operation)
    table = f"{operation.family} {operation.table}"
    run(f"add table {table}\ndelete table {table}\n", namespace)


def run(script: str, namespace: Namespace) -> str:
    """Run a script in a container's namespaces; what nft printed. Raises HostError."""
    own = namespace.pid != 0 and any(_in_root(namespace, path) for path in _WHERE)
    if not own and not any(Path(path).exists() for path in _WHERE):
        raise HostError(
            "there is no nft in the container and none on this machine",
            remedy="install nftables in the image or on the machine",
        )
    try:
        done = enter_and_run(("nft", "-f", "-"), namespace, stdin=script, mounts=own)
    except (OSError, subprocess.SubprocessError) as error:
        raise HostError(f"nft could not be run: {error}") from error
    if done.returncode != 0:
        raise HostError(f"nft refused the rules: {done.stderr.strip()[:2000]}")
    return done.stdout


def enter_and_run(
    argv: tuple[str, ...], namespace: Namespace, *, stdin: str = "", mounts: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program in a container's network namespace, with ``mounts`` in its file system too.

    A child enters them between fork and exec; the calling thread stays where it is.
    Raises OSError, subprocess.SubprocessError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    wanted: list[tuple[int, int]] = [(namespace.fileno(), CLONE_NEWNET)]
    opened = -1
    if mounts:
        opened = os.open(f"/proc/{namespace.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        wanted.append((opened, _CLONE_NEWNS))

    def enter() -> None:
        for descriptor, kind in wanted:
            if libc.setns(descriptor, kind) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    try:
        return subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            preexec_fn=enter,
        )
    finally:
        if opened >= 0:
            os.close(opened)


def _in_root(namespace: Namespace, path: str) -> bool:
    # Only a look: whether a link leads out of the container does not matter for the answer.
    return os.path.lexists(f"{namespace.root}{path}")


def _check(operation: LoadNft) -> None:
    if operation.family not in ("ip", "ip6", "inet", "arp", "bridge", "netdev"):
        raise HostError(f"nft: there is no family {operation.family!r}")
    if not operation.table.replace("_", "a").isalnum():
        raise HostError(f"nft: {operation.table!r} is no name of a table")
