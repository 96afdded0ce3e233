"""The built-in kinds of device, found by entry point like anybody else's."""

from pytest_kinda.devices.device import Command, Device
from pytest_kinda.devices.host import Host
from pytest_kinda.devices.lab import LabDevice
from pytest_kinda.devices.ovs import OvsSwitch
from pytest_kinda.devices.p4 import P4Nic, P4Switch
from pytest_kinda.devices.p4_entries import Lpm, P4Entry
from pytest_kinda.devices.router import Router
from pytest_kinda.devices.switch import Hub, Switch

__all__ = [
    "Command",
    "Device",
    "Host",
    "Hub",
    "LabDevice",
    "Lpm",
    "OvsSwitch",
    "P4Entry",
    "P4Nic",
    "P4Switch",
    "Router",
    "Switch",
]
