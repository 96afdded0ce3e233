"""The network engine that is Kathara: devices are its containers, segments its networks.

The one module that imports Kathara (late: it takes half a second).
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_kinda.build.engine import Deployed
from pytest_kinda.build.engine_api import containers_of, networks_of, place_of
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.labels import bridge_name
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import DeviceSpec, NodePlan, Plan
from pytest_kinda.setup.images import image

STEP = "Kathara network"
PLUGIN = "kathara/katharanp"


def lab_name(testbed: str) -> str:
    """The name of a testbed's Kathara lab."""
    return f"kinda-{testbed}"


def lab_hash(testbed: str) -> str:
    """The hash in the names and labels of a lab's Docker objects, as Kathara makes it.

    It must be known before the lab is there, for the journal.
    """
    digest = hashlib.md5(lab_name(testbed).encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest)[:-2].decode().replace("-", "").replace("_", "")


def image_of(reference: str) -> str:
    """An image reference, where ``@base`` stands for the image that setup prepared."""
    return image(reference[1:]) if reference.startswith("@") else reference  # type: ignore[arg-type]


class KatharaEngine:
    """Deploys the devices of a plan as a Kathara lab."""

    def deploy(self, plan: Plan, testbed: str, keeper: KeeperClient) -> Deployed:
        """Start every device and every segment that a device is on.

        Raises BuildError; the journal knows the lab before it is there.
        """
        if not plan.devices:
            return Deployed()
        lab = make_lab(plan, testbed)
        name = lab_hash(testbed)
        if lab.hash != name:
            raise BuildError(STEP, f"Kathara names the lab {lab.hash!r}, expected {name!r}")
        keeper.record([{"undo": "kathara-lab", "lab_hash": name}])
        try:
            _manager().deploy_lab(lab)
        except Exception as error:
            said = as_declared(plan, f"{type(error).__name__}: {error}")
            raise BuildError(STEP, said, remedy="kinda doctor") from error
        deployed = find_lab(plan, testbed)
        keeper.record([{"undo": "bridge", "name": one} for one in deployed.bridges.values()])
        return deployed


def make_lab(plan: Plan, testbed: str) -> Any:
    """The Kathara lab of a plan; nothing is started."""
    from Kathara.model.Lab import Lab

    lab = Lab(lab_name(testbed))
    segments = {one.name: one for one in plan.segments}
    for segment in plan.segments:
        if segment.by == "engine":
            lab.new_link(segment.engine_name)
    for node in plan.devices:
        machine = lab.new_machine(node.engine_name)
        for name, value in _options(node, node.device or DeviceSpec()):
            machine.add_meta(name, value)
        # Kathara numbers interfaces as they come, whatever their names
        for interface in sorted(node.interfaces, key=lambda one: (len(one.name), one.name)):
            link = lab.get_link(segments[interface.segment].engine_name)
            machine.add_interface(link, mac_address=interface.mac or None)
    return lab


def _options(node: NodePlan, device: DeviceSpec) -> list[tuple[str, Any]]:
    """A device's container as Kathara's options."""
    found: list[tuple[str, Any]] = [("image", image_of(device.image)), ("shell", "/bin/sh")]
    addresses = [*node.loopback, *(one for each in node.interfaces for one in each.addresses)]
    if any(":" in one for one in addresses):
        found.append(("ipv6", True))
    found += [("env", f"{key}={value}") for key, value in device.env.items()]
    found += [("sysctl", f"{key}={value}") for key, value in device.sysctls.items()]
    found += [
        ("volume", f"{one.source}|{one.target}|{'ro' if one.read_only else 'rw'}")
        for one in device.mounts
    ]
    found += [("ulimit", one) for one in device.ulimits]
    if device.entrypoint:
        found.append(("entrypoint", shlex.join(device.entrypoint)))
    if device.command:
        found.append(("args", list(device.command)))
    if device.ports:
        found.append(("bridged", True))
        found += [("port", one) for one in device.ports]
    if device.cpus is not None:
        found.append(("cpus", device.cpus))
    if device.memory is not None:
        # of its own type: a size writes itself with its name
        found.append(("mem", f"{int(device.memory)}b"))
    if device.privileged:
        found.append(("privileged", True))
    return found


def as_declared(plan: Plan, text: str) -> str:
    """What Kathara says, with the names of devices and links that their author knows."""
    pairs = [(one.engine_name, one.name) for one in plan.segments]
    pairs += [(one.engine_name, one.name) for one in plan.nodes]
    names = {theirs: ours for theirs, ours in pairs if theirs != ours}
    if not names:
        return text
    longest = sorted(names, key=len, reverse=True)
    known = "|".join(re.escape(one) for one in longest)
    return re.sub(rf"(?<![\w.-])(?:{known})(?![\w-])", lambda found: names[found[0]], text)


def find_lab(plan: Plan, testbed: str) -> Deployed:
    """What stands of a testbed's lab, from Docker's listing. Raises BuildError, HostError."""
    label = f"lab_hash={lab_hash(testbed)}"
    found = Deployed()
    containers = {one["Labels"]["name"]: one["Id"] for one in containers_of(label)}
    for node in plan.devices:
        if node.engine_name not in containers:
            raise BuildError(STEP, f"device {node.name} has no container after the deployment")
        found.containers[node.name] = containers[node.engine_name]
    with ThreadPoolExecutor(8) as pool:
        places = pool.map(place_of, found.containers.values())
        found.places = dict(zip(found.containers, places, strict=True))
    found.bridges = find_bridges(plan, testbed)
    return found


def find_bridges(plan: Plan, testbed: str) -> dict[str, str]:
    """The bridge on the host of each segment that Kathara has made. Raises HostError."""
    label = f"lab_hash={lab_hash(testbed)}"
    networks = {one["Labels"]["name"]: one["Id"] for one in networks_of(label)}
    return {
        segment.name: bridge_name(networks[segment.engine_name])
        for segment in plan.segments
        if segment.by == "engine" and segment.engine_name in networks
    }


def _manager() -> Any:
    from Kathara.manager.docker.DockerManager import DockerManager
    from Kathara.setting.Setting import Setting

    Setting.get_instance().load_from_dict(
        {
            "network_plugin": PLUGIN,
            "shared_mount": False,
            "hosthome_mount": False,
            "open_terminals": False,
            "device_shell": "/bin/sh",
        }
    )
    return DockerManager()
