"""Image pulls that can be told from all else that a Kubernetes node sends.

containerd pulls images itself. As a group of its own (its user stays root) its sockets are known to
the kernel, with either version of cgroups; what it starts has the group of the image's choice.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_UNIT = "/etc/systemd/system/containerd.service.d/50-kinda.conf"


def in_a_group(settings: Mapping[str, Any], directory: Path, group: int) -> dict[str, Any]:
    """A kind configuration in which containerd runs as that group.

    By a file for systemd, written into ``directory`` and mounted into each node, so that it is
    there before anything in the node runs. The group's name is among the node's first operations;
    systemd tries again each second until it is there.
    """
    path = directory / "containerd.conf"
    path.write_text(f"[Service]\nGroup={group}\n")
    found: dict[str, Any] = copy.deepcopy(dict(settings))
    mount = {"hostPath": str(path), "containerPath": _UNIT, "readOnly": True}
    for node in found["nodes"]:
        node["extraMounts"] = [*node.get("extraMounts", ()), mount]
    return found
