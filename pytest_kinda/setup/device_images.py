"""The device images: ``base`` for any device, ``router`` with FRR, ``ovs`` with Open vSwitch."""

from __future__ import annotations

from typing import Any

from pytest_kinda.setup import images, pins, registry, rootfs, workshop
from pytest_kinda.setup.steps import Report

BASE = (
    "bash", "bind9-dnsutils", "bridge-utils", "busybox-static", "ca-certificates", "curl",
    "ethtool", "iperf3", "iproute2", "iptables", "iputils-arping", "iputils-ping",
    "iputils-tracepath", "jq", "net-tools", "netcat-openbsd", "nftables", "procps", "tcpdump",
    "tini", "traceroute",
)  # fmt: skip
"""What every device has: a shell, iproute2, and tools to look, send and measure with."""

ROUTER = (*BASE, "frr", "frr-pythontools")
"""What a router has more: FRR (OSPF, BGP, RIP, IS-IS and others)."""

OVS = (*BASE, "openvswitch-switch")
"""What an ``OvsSwitch`` has more: Open vSwitch, which is not started by the image."""

_CONFIGURATION: dict[str, Any] = {
    # tini collects orphaned processes; what a device runs is started by who declares it.
    "Entrypoint": ["/usr/bin/tini", "--"],
    "Cmd": ["sleep", "infinity"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "WorkingDir": "/root",
}


class DeviceImage:
    """The recipe of one device image, for either origin."""

    def __init__(self, name: images.Name, packages: tuple[str, ...]) -> None:
        self.name = name
        self.packages = packages

    def recipe(self, origin: images.Origin) -> str:
        """The hash that an image made from this recipe carries."""
        start = pins.DEBIAN_IMAGE if origin == "official" else pins.DEBIAN
        return images.recipe_hash([start, ",".join(self.packages), repr(_CONFIGURATION)])

    def pull(self, report: Report) -> None:
        """Start from the published Debian image and install the packages."""
        reference = registry.debian_reference()
        registry.pull(reference, report)
        report(f"installing {len(self.packages)} packages")
        with workshop.Workshop(reference, network=True) as room:
            room.install_missing(self.packages)
            self._commit(room, "official")

    def build(self, report: Report) -> None:
        """Make a Debian tree of the packages and import it."""
        tree = rootfs.tree(self.packages, report)
        report("importing the tree")
        configuration = _CONFIGURATION
        reference = images.image(self.name)
        workshop.import_tree(
            tree,
            reference,
            changes=[
                f"ENTRYPOINT {workshop.as_json(configuration['Entrypoint'])}",
                f"CMD {workshop.as_json(configuration['Cmd'])}",
                *(f"ENV {pair}" for pair in configuration["Env"]),
                f"WORKDIR {configuration['WorkingDir']}",
                f"LABEL {images.RECIPE_LABEL}={self.recipe('stand-in')}",
                f"LABEL {images.ORIGIN_LABEL}=stand-in",
            ],
        )

    def _commit(self, room: workshop.Workshop, origin: images.Origin) -> None:
        room.commit(
            images.image(self.name),
            recipe=self.recipe(origin),
            origin=origin,
            configuration=_CONFIGURATION,
        )


def base() -> DeviceImage:
    """The image of a plain device."""
    return DeviceImage("base", BASE)


def router() -> DeviceImage:
    """The image of a router."""
    return DeviceImage("router", ROUTER)


def ovs() -> DeviceImage:
    """The image of a switch that is Open vSwitch."""
    return DeviceImage("ovs", OVS)
