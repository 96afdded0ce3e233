"""The kind node image: Kubernetes, its images and tools, so that nothing is installed later.

Built here from Debian packages and Go modules (a stand-in), or from the pinned official
``kindest/node`` with our tools added. Both end in the same container, by the same script.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.setup import golang, images, pins, registry, rootfs, workshop
from pytest_kinda.setup.compiling import KUBERNETES_FLAGS, compiled
from pytest_kinda.setup.steps import Report

TOOLS = (
    "bind9-dnsutils", "busybox-static", "conntrack", "curl", "ethtool", "iperf3", "iproute2",
    "iptables", "iputils-ping", "iputils-tracepath", "jq", "netcat-openbsd", "nftables", "procps",
    "tcpdump", "traceroute",
)  # fmt: skip
"""What a node and the pods' tools image offer."""

SYSTEM = (
    "ca-certificates", "containerd", "containernetworking-plugins", "dbus", "e2fsprogs", "kmod",
    "mount", "runc", "systemd", "systemd-sysv", "util-linux",
)  # fmt: skip
"""What makes a Debian tree a node."""

_CONFIGURATION = {
    "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
    "Cmd": None,
    "Env": [
        "container=docker",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ],
    # systemd's own signal to shut down; SIGTERM would make it start itself again.
    "StopSignal": "SIGRTMIN+3",
}


class NodeImage:
    """The recipe of the node image, for either origin."""

    name: images.Name = "node"

    def recipe(self, origin: images.Origin) -> str:
        """The hash that an image made from this recipe carries."""
        folder = images.recipes() / "node"
        if origin == "official":
            return images.recipe_hash(
                [
                    pins.KIND_NODE_DIGEST,
                    images.image("tools"),
                    ",".join(TOOLS),
                    folder / "images",
                    folder / "iptables-wrapper",
                ]
            )
        return images.recipe_hash(
            [
                pins.DEBIAN,
                images.image("tools"),
                ",".join((*SYSTEM, *TOOLS)),
                KUBERNETES_FLAGS,
                repr(_CONFIGURATION),
                folder,
            ]
        )

    def pull(self, report: Report) -> None:
        """Take the official image and add the tools."""
        reference = registry.node_reference()
        registry.pull(reference, report)
        report("adding the tools and the pods' tools image")
        self._finish(reference, "official", "tools", None)

    def build(self, report: Report) -> None:
        """Build everything here. 8 minutes the first time on 2 cores; what is unchanged is kept."""
        folder = images.recipes() / "node"
        go = golang.toolchain(report)
        cache, takes = folders.cache("node"), "5 to 8 minutes on 2 cores"
        kubernetes = compiled(
            *(go, folder / "kubernetes", KUBERNETES_FLAGS, cache / "kubernetes", report),
            takes=takes,
        )
        pause = compiled(go, folder / "pause", "-s -w", cache / "pause", report)
        tree = rootfs.tree((*SYSTEM, *TOOLS), report, customize=folder / "customize")
        report("joining the tree, Kubernetes and the images of its pods")
        base = "kinda/node-tree:setup"
        with tempfile.TemporaryDirectory(dir=folders.cache("node")) as scratch:
            version = Path(scratch) / "version"
            version.write_text(f"v{pins.KUBERNETES}")
            workshop.import_tree(
                tree,
                base,
                add=[
                    (folder / "tree", ".", False),
                    (version, "kind/version", False),
                    (kubernetes, "usr/local/bin/kubernetes", True),
                ],
            )
        try:
            self._finish(base, "stand-in", "all", pause)
        finally:
            workshop.remove_image(base)

    def _finish(self, base: str, origin: images.Origin, wanted: str, pause: Path | None) -> None:
        folder = images.recipes() / "node"
        official = origin == "official"
        with workshop.Workshop(base, privileged=True, network=official) as room:
            room.put(folder / "images", "/kind/build")
            room.put(folder / "iptables-wrapper", "/kind/build")
            if pause is not None:
                room.put(pause, "/kind/build", name="pause", executable=True)
            if official:
                room.install_missing(TOOLS)
            room.run("/kind/build/images", wanted, images.image("tools"))
            room.commit(
                images.image("node"),
                recipe=self.recipe(origin),
                origin=origin,
                configuration=_CONFIGURATION,
            )
