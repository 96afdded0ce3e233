"""A pytest plugin that builds a Kubernetes cluster whose network is yours.

What authors declare is imported from here; each name is loaded when it is first used, so that
neither ``import pytest_kinda`` nor a topology module pulls in Docker, Kathara or Kubernetes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kinda.devices.device import Command, Device
    from pytest_kinda.devices.host import Host
    from pytest_kinda.devices.lab import LabDevice
    from pytest_kinda.devices.ovs import OvsSwitch
    from pytest_kinda.devices.p4 import P4Nic, P4Switch
    from pytest_kinda.devices.p4_entries import Lpm, P4Entry
    from pytest_kinda.devices.router import Router
    from pytest_kinda.devices.switch import Hub, Switch
    from pytest_kinda.operations.values import Shape
    from pytest_kinda.testbed.lab import Lab as Lab
    from pytest_kinda.testbed.testbed import Testbed as Testbed
    from pytest_kinda.topology.kubernetes import ControlPlane, Worker
    from pytest_kinda.topology.link import Link
    from pytest_kinda.topology.topology import Topology

_WHERE = {
    "Command": "devices.device",
    "ControlPlane": "topology.kubernetes",
    "Device": "devices.device",
    "Host": "devices.host",
    "Hub": "devices.switch",
    "Lab": "testbed.lab",
    "LabDevice": "devices.lab",
    "Link": "topology.link",
    "Lpm": "devices.p4_entries",
    "OvsSwitch": "devices.ovs",
    "P4Entry": "devices.p4_entries",
    "P4Nic": "devices.p4",
    "P4Switch": "devices.p4",
    "Router": "devices.router",
    "Shape": "operations.values",
    "Switch": "devices.switch",
    "Testbed": "testbed.testbed",
    "Topology": "topology.topology",
    "Worker": "topology.kubernetes",
}

# Testbed and Lab are for scripts, by their names: `import *` of a topology's module loads what
# declares only.
__all__ = [
    "Command",
    "ControlPlane",
    "Device",
    "Host",
    "Hub",
    "LabDevice",
    "Link",
    "Lpm",
    "OvsSwitch",
    "P4Entry",
    "P4Nic",
    "P4Switch",
    "Router",
    "Shape",
    "Switch",
    "Topology",
    "Worker",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
