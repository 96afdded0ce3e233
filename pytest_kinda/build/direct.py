"""The network engine without Kathara: plain containers, wired by the plan's operations alone.

Containers start without a network; each collision domain of two ends is a veth pair between them,
a larger one a bridge in a namespace of the testbed. No Docker network, no rule on the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_kinda.build.devices import archive
from pytest_kinda.build.engine import Deployed
from pytest_kinda.build.engine_api import EngineError, docker_request, place_of
from pytest_kinda.build.kathara import GIVEN_CAPABILITIES, image_of
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.kind import TESTBED_LABEL
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import DeviceSpec, NodePlan, Plan

STEP = "devices' containers"
NODE_LABEL = "org.pytest-kinda.node"
_AT_ONCE = 8

# As Kathara sets them, so that a device is the same under both engines.
_SYSCTLS: Mapping[str, str] = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.lo.rp_filter": "0",
    "net.ipv4.ip_forward": "1",
    "net.ipv4.icmp_ratelimit": "0",
}


class DirectEngine:
    """Starts the devices of a plan as containers without a network."""

    def deploy(self, plan: Plan, testbed: str, keeper: KeeperClient) -> Deployed:
        """Start every device; the cables are the wiring's. Raises BuildError."""
        label = f"{TESTBED_LABEL}={testbed}"
        keeper.record([{"undo": "docker-container", "label": label}])
        found = Deployed()
        with ThreadPoolExecutor(_AT_ONCE, "device") as pool:
            running = [(one, pool.submit(_start, one, testbed)) for one in plan.devices]
            for node, started in running:
                found.containers[node.name] = started.result()
            places = pool.map(place_of, found.containers.values())
            found.places = dict(zip(found.containers, places, strict=True))
        return found


def _start(node: NodePlan, testbed: str) -> str:
    name = f"kinda-{testbed}-{node.engine_name}"
    device = node.device or DeviceSpec()
    try:
        made = docker_request("POST", f"/containers/create?name={name}", container(node, testbed))
        if device.files:
            path = f"/containers/{made['Id']}/archive?path=/"
            docker_request("PUT", path, archive(device.files))
        docker_request("POST", f"/containers/{made['Id']}/start")
    except EngineError as error:
        raise BuildError(STEP, f"{node.name}: {error.message}", remedy="kinda doctor") from error
    return str(made["Id"])


def container(node: NodePlan, testbed: str) -> dict[str, Any]:
    """What the Docker Engine is asked for. Raises BuildError for what this engine cannot give."""
    device = node.device or DeviceSpec()
    if device.ports:
        raise BuildError(
            STEP,
            f"device {node.name} publishes ports, which needs an interface of Docker's",
            remedy='engine="kathara" gives it one',
        )
    ipv6 = any(":" in one for each in node.interfaces for one in each.addresses)
    sysctls = {**_SYSCTLS, "net.ipv6.conf.all.disable_ipv6": "0" if ipv6 else "1"}
    if ipv6:
        sysctls["net.ipv6.conf.all.forwarding"] = "1"
    found: dict[str, Any] = {
        "Image": image_of(device.image),
        "Hostname": node.name,
        "Env": [f"{key}={value}" for key, value in device.env.items()],
        "Labels": {TESTBED_LABEL: testbed, NODE_LABEL: node.name},
        "Tty": True,
        "OpenStdin": True,
        "HostConfig": {
            "NetworkMode": "none",
            "CapAdd": sorted(GIVEN_CAPABILITIES.union(device.capabilities)),
            "Privileged": device.privileged,
            "Sysctls": {**sysctls, **device.sysctls},
            "Binds": [
                f"{one.source}:{one.target}{':ro' if one.read_only else ''}"
                for one in device.mounts
            ],
            "NanoCpus": int((device.cpus or 0) * 1e9),
            "Memory": device.memory or 0,
        },
    }
    if device.command:
        found["Cmd"] = list(device.command)
    return found
