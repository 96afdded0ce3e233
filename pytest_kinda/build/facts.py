"""What a plan must know of this machine, found by asking the kernel and the Docker Engine."""

from __future__ import annotations

from typing import Any

from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.host.facts import host_facts
from pytest_kinda.plan.values import HostFacts


def facts() -> HostFacts:
    """The facts of this machine: its kernel's drivers, and every IPv4 network in use.

    Raises HostError where the Docker Engine does not answer.
    """
    found = dict(host_facts())
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
        # Kathara's networks have no addresses of Docker's and say so by an empty prefix
        if ":" not in config.get("Subnet", ":") and not config["Subnet"].endswith("/0")
    }
