"""What a plan must know of this machine, found by asking the kernel and the Docker Engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.errors import HostError
from pytest_kinda.host.facts import host_facts
from pytest_kinda.plan.values import HostFacts

_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_RIGHTS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def facts() -> HostFacts:
    """The facts of this machine: its kernel's drivers, and every IPv4 network in use.

    Raises HostError where the Docker Engine does not answer, or a right that a build needs is
    missing.
    """
    if missing := missing_rights(Path("/proc/self/status").read_text()):
        raise HostError(
            f"network namespaces and links need {' and '.join(missing)}, which this process "
            f"(user {os.geteuid()}) does not have",
            remedy='run it as root: sudo env "PATH=$PATH" pytest ...',
        )
    found = dict(host_facts())
    found["networks"] = {
        **found.get("networks", {}),
        **docker_networks(docker_request("GET", "/networks")),
    }
    found["nameservers"] = machine_nameservers()
    known = {name: found[name] for name in HostFacts.__dataclass_fields__ if name in found}
    return HostFacts(**known)


def machine_nameservers(files: Sequence[Path] = _RESOLVERS) -> tuple[str, ...]:
    """The IPv4 name servers that this machine asks and that others can ask too.

    One on the machine's loopback is for the machine only: then those that it asks itself, where
    systemd-resolved has written them down.
    """
    for path in files:
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        words = [line.split() for line in lines]
        named = [one[1] for one in words if len(one) > 1 and one[0] == "nameserver"]
        usable = tuple(one for one in named if ":" not in one and not one.startswith("127."))
        if usable:
            return usable
    return ()


def missing_rights(status: str) -> list[str]:
    """Which of the capabilities that a build needs are not effective in ``/proc/PID/status``.

    >>> missing_rights("CapEff:\\t0000000000001000\\n")
    ['CAP_SYS_ADMIN']
    """
    effective = next(
        (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), -1
    )
    return [name for name, bit in _RIGHTS.items() if not effective >> bit & 1]


def docker_networks(listing: list[dict[str, Any]]) -> dict[str, str]:
    """The IPv4 subnets of Docker's networks, by a name for messages.

    >>> docker_networks([{"Name": "n", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}])
    {'Docker network n': '172.17.0.0/16'}
    """
    return {
        f"Docker network {network['Name']}": config["Subnet"]
        for network in listing
        for config in network.get("IPAM", {}).get("Config") or ()
        # Kathara's networks have no addresses of Docker's and say so by an empty prefix
        if ":" not in config.get("Subnet", ":") and not config["Subnet"].endswith("/0")
    }
