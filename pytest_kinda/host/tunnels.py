"""Carry out and undo ``AddTunnel``, by the driver that it names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import HostError
from pytest_kinda.host import gre, gre_bpf, vxlan
from pytest_kinda.host.namespaces import unshare_network
from pytest_kinda.operations import AddTunnel

Enter = Callable[[], AbstractContextManager[object]]
"""Makes a context in which the calling thread is in the namespace of the tunnel's place."""

DRIVERS = ("bpf", "gre", "vxlan")

_REMEDY = {
    "gre": "this kernel has no ip_gre; use tunnel driver bpf",
    "vxlan": "this kernel has no vxlan; use tunnel driver bpf",
    "bpf": "use a kernel with cls_bpf and sch_ingress, or tunnel driver gre",
}


def add_tunnels(pairs: Sequence[tuple[AddTunnel, Enter]]) -> None:
    """Make the tunnels of the nodes of one testbed, each in its place.

    The eBPF ones of a call share a single map of peers. A call of its own for a node that has
    been restarted gives it a map of its own: as large, and never to be changed either.
    Raises HostError that names the place; what has been made by then is left for the undo.
    """
    for operation, _ in pairs:
        if operation.driver not in DRIVERS:
            raise HostError(
                f"tunnel of {operation.place}: there is no driver {operation.driver!r}",
                remedy=f"use one of {', '.join(DRIVERS)}",
            )
    by_bpf = [operation for operation, _ in pairs if operation.driver == "bpf"]
    peers = gre_bpf.make_map(gre_bpf.shared_peers(by_bpf)) if by_bpf else -1
    try:
        for operation, enter in pairs:
            try:
                with enter(), IPRoute() as ip:
                    if operation.driver == "bpf":
                        gre_bpf.add(ip, operation, peers)
                    else:
                        (gre if operation.driver == "gre" else vxlan).add(ip, operation)
            except (NetlinkError, OSError) as error:
                raise HostError(
                    f"tunnel of {operation.place} (driver {operation.driver}): {error}",
                    remedy=_REMEDY[operation.driver],
                ) from error
    finally:
        if peers >= 0:
            os.close(peers)


def remove_tunnel(operation: AddTunnel) -> None:
    """Take a tunnel away from the namespace that the calling thread is in; idempotent."""
    with IPRoute() as ip:
        if operation.driver == "bpf":
            gre_bpf.remove(ip, operation)
        else:
            gre.remove(ip, operation)


def refusal(driver: str) -> str:
    """Why a driver cannot be used on this machine; empty if it can, found by trying.

    Tries it in a network namespace that lives as long as the call. Note that trying ``gre`` loads
    ip_gre where it is a module, which then shows gre0 and its like in every namespace.
    """
    outcome = ["the trial did not end"]

    def attempt() -> None:
        try:
            unshare_network()
            operation = AddTunnel(
                place="trial",
                driver=driver,
                local="127.0.0.1",
                underlay=("lo",),
                addresses=(),
                aggregates=(),
                peers=(),
            )
            add_tunnels([(operation, nullcontext)])
            outcome[0] = ""
        except (HostError, OSError) as error:
            outcome[0] = str(error)

    # A thread that changes its namespace is not used for anything else.
    thread = threading.Thread(target=attempt, name=f"try {driver}")
    thread.start()
    thread.join()
    return outcome[0]
