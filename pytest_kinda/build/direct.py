"""The network engine without Kathara: plain containers, wired by netlink alone.

A device is a container without any network of Docker's, with what Kathara would give it:
capabilities, network settings, terminal. Cables and hubs are operations of the plan, carried out
by the keeper; hubs stand in a namespace that the keeper holds. Undone by the testbed's label.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from urllib.parse import quote

from pytest_kinda.build.devices import archive
from pytest_kinda.build.engine import Deployed
from pytest_kinda.build.engine_api import EngineError, docker_request, place_of
from pytest_kinda.build.kathara import image_of
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.labels import NODE_LABEL, TESTBED_LABEL
from pytest_kinda.build.programs import files_of
from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.operations import Operation, Place, SetInterface
from pytest_kinda.plan.engines import KATHARA_CAPABILITIES
from pytest_kinda.plan.values import DeviceSpec, NodePlan, Plan
from pytest_kinda.setup.registry import pull

STEP = "containers"
_AT_ONCE = 8
_START_LIMIT = 60.0


class DirectEngine:
    """Starts the devices of a plan as containers that have nothing but a loopback."""

    def deploy(self, plan: Plan, testbed: str, keeper: KeeperClient) -> Deployed:
        """Start every device, several at a time.

        Raises BuildError that names the device; the journal knows the label before the first
        container is there.
        """
        if not plan.devices:
            return Deployed()
        keeper.record([{"undo": "docker-container", "label": f"{TESTBED_LABEL}={testbed}"}])
        with ThreadPoolExecutor(_AT_ONCE, "direct") as pool:
            starting = {one.name: pool.submit(_started, one, testbed) for one in plan.devices}
            try:
                places = {name: one.result() for name, one in starting.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if aside := _set_aside(plan.devices):
            keeper.apply(aside, places)
        return Deployed({name: one.container for name, one in places.items()}, places)


def _started(node: NodePlan, testbed: str) -> Place:
    """Create and start a device's container; its namespaces. Raises BuildError."""
    body = container(node, testbed)
    path = f"/containers/create?name={quote(container_name(node, testbed))}"
    try:
        try:
            made = docker_request("POST", path, body, timeout=_START_LIMIT)
        except EngineError as error:
            if error.status != 404:  # what is not there is the image
                raise
            pull(body["Image"], lambda line: None)
            made = docker_request("POST", path, body, timeout=_START_LIMIT)
        path = f"/containers/{made['Id']}"
        if node.device is not None and (files := files_of(node.device)):
            # before the start: the image's own program may read them
            docker_request("PUT", f"{path}/archive?path=/", archive(files))
        docker_request("POST", f"{path}/start", timeout=_START_LIMIT)
        return place_of(made["Id"])
    except KindaError as error:
        raise BuildError(
            STEP, f"device {node.name}: {error.message}", remedy=error.remedy
        ) from error


def container_name(node: NodePlan, testbed: str) -> str:
    """A device's container; kind's have a hyphen where this has an underscore."""
    return f"kinda-{testbed}_{node.engine_name}"


def container(node: NodePlan, testbed: str) -> dict[str, Any]:
    """A device's container as the Docker API is asked for it."""
    device = node.device or DeviceSpec()
    capabilities = sorted({*KATHARA_CAPABILITIES, *device.capabilities})
    ports = [_port(one) for one in device.ports]
    found: dict[str, Any] = {
        "Image": image_of(device.image),
        "Hostname": node.name,
        "Env": [f"{key}={value}" for key, value in device.env.items()],
        "Labels": {TESTBED_LABEL: testbed, NODE_LABEL: node.name},
        # Many images have a shell as their command, which ends at once without a terminal.
        "Tty": True,
        "OpenStdin": True,
        "ExposedPorts": {target: {} for target, _ in ports},
        "HostConfig": {
            "NetworkMode": "bridge" if ports else "none",
            "Privileged": device.privileged,
            "CapAdd": [] if device.privileged else capabilities,
            "Sysctls": {**_network_settings(node), **device.sysctls},
            "Binds": [
                f"{one.source}:{one.target}:{'ro' if one.read_only else 'rw'}"
                for one in device.mounts
            ],
            "NanoCpus": round((device.cpus or 0) * 1e9),
            "Memory": device.memory or 0,
            "PortBindings": {
                target: [at for other, at in ports if other == target] for target, _ in ports
            },
        },
    }
    if device.ulimits:
        found["HostConfig"]["Ulimits"] = [_ulimit(one) for one in device.ulimits]
    if device.entrypoint:
        found["Entrypoint"] = list(device.entrypoint)
    if device.command:
        found["Cmd"] = list(device.command)
    return found


def _network_settings(node: NodePlan) -> dict[str, str]:
    """What Kathara sets in every device, before any interface is there: those inherit it."""
    addresses = [*node.loopback, *(one for each in node.interfaces for one in each.addresses)]
    v6 = any(":" in one for one in addresses)
    found = {f"net.ipv4.conf.{scope}.rp_filter": "0" for scope in ("all", "default", "lo")}
    found |= {"net.ipv4.ip_forward": "1", "net.ipv4.icmp_ratelimit": "0"}
    found |= {
        f"net.ipv6.conf.{scope}.disable_ipv6": "0" if v6 else "1" for scope in ("all", "default")
    }
    found["net.ipv6.conf.all.forwarding"] = "1" if v6 else "0"
    if v6:
        found |= {"net.ipv6.conf.all.accept_ra": "0", "net.ipv6.icmp.ratelimit": "0"}
    return found


def _port(declared: str) -> tuple[str, dict[str, str]]:
    """A port of a container, and where on the host it is published.

    >>> _port("127.0.0.1:8080:80")
    ('80/tcp', {'HostIp': '127.0.0.1', 'HostPort': '8080'})
    """
    ports, _, protocol = declared.partition("/")
    *address, host, target = ports.split(":")
    return f"{target}/{protocol or 'tcp'}", {"HostIp": ":".join(address), "HostPort": host}


def _set_aside(nodes: Sequence[NodePlan]) -> list[Operation]:
    """Docker's own interface, where ports are published, makes room for the plan's ``eth0``.

    It gets the name that Kathara gives it: the first ``ethN`` behind the device's interfaces.
    """
    found: list[Operation] = []
    for node in nodes:
        if node.device is not None and node.device.ports:
            taken = {one.name for one in node.interfaces}
            free = (f"eth{n}" for n in count(len(node.interfaces)))
            name = next(one for one in free if one not in taken)
            if name != "eth0":
                found.append(SetInterface(node.name, "eth0", rename=name))
    return found


def _ulimit(text: str) -> dict[str, Any]:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
