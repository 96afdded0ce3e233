"""What a plan must know of this machine, found by asking the kernel and the Docker Engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.plan.values import HostFacts


def facts() -> HostFacts:
    """The facts of this machine: its kernel's drivers, and every IPv4 network in use.

    Raises HostError where the Docker Engine does not answer.
    """
    found = dict(_host_facts())
    found["networks"] = {
        **found.get("networks", {}),
        **docker_networks(docker_request("GET", "/networks")),
    }
    known = {name: found[name] for name in HostFacts.__dataclass_fields__ if name in found}
    return HostFacts(**known)


def docker_networks(listing: list[dict[str, Any]]) -> dict[str, str]:
    """The IPv4 subnets of Docker's networks, by a name for messages.

    >>> docker_networks([{"Name": "n", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}])
    {'Docker network n': '172.17.0.0/16'}
    """
    return {
        f"Docker network {network['Name']}": config["Subnet"]
        for network in listing
        for config in network.get("IPAM", {}).get("Config") or ()
        if ":" not in config.get("Subnet", ":")
    }


def _host_facts() -> Mapping[str, Any]:
    """The host room's facts; without that module the one that no cluster starts without."""
    try:
        found: Mapping[str, Any] = import_module("pytest_kinda.host.facts").host_facts()
    except ModuleNotFoundError:
        return {"restricted": lacks_sys_resource(Path("/proc/self/status").read_text())}
    return found


def lacks_sys_resource(status: str) -> bool:
    """Whether the bounding set of ``/proc/PID/status`` lacks CAP_SYS_RESOURCE (bit 24).

    >>> lacks_sys_resource("CapBnd:\\t000001ffffffffff\\n")
    False
    """
    bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bounding is not None and not int(bounding.group(1), 16) >> 24 & 1
