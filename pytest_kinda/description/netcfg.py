"""A description as ONOS' network configuration (netcfg): devices, ports, links, hosts.

The subjects and keys are those of the ONOS wiki's "Network Configuration Service". A device is one
that ONOS can speak to, by OpenFlow (``of:`` and the datapath id) or P4Runtime (``device:`` and the
name); whoever else is at one of its ports is a host there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(data: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The JSON text, and what it could not say."""
    warnings: list[str] = []
    ids = {one["name"]: found for one in data["nodes"] if (found := _identity(one))}
    devices: dict[str, Any] = {}
    ports: dict[str, Any] = {}
    links: dict[str, Any] = {}
    hosts: dict[str, Any] = {}
    for node in data["nodes"]:
        if node["name"] not in ids:
            continue
        own = ids[node["name"]]
        devices[own] = {"basic": _basic(node, warnings)}
        for port in node["ports"]:
            here = f"{own}/{port['number']}"
            settings = {"name": port["interface"], "mac": port["mac"]}
            if port["addresses"]:
                settings["ips"] = port["addresses"]
            ports[here] = {"interfaces": [settings]}
            for peer in port["peers"]:
                if peer["node"] in ids:
                    there = f"{ids[peer['node']]}/{peer['port']}"
                    links[f"{here}-{there}"] = {"basic": {"type": "DIRECT"}}
                    continue
                host: dict[str, Any] = hosts.setdefault(
                    f"{peer['mac'].upper()}/None",
                    {"basic": {"name": peer["node"], "ips": [], "locations": []}},
                )
                host["basic"]["ips"] = [one.partition("/")[0] for one in peer["addresses"]]
                host["basic"]["locations"].append(here)
    if not devices:
        warnings.append("no device speaks OpenFlow or P4Runtime: ONOS would control nothing")
    text = json.dumps(
        {"devices": devices, "ports": ports, "links": links, "hosts": hosts}, indent=2
    )
    return f"{text}\n", warnings


def _identity(node: Mapping[str, Any]) -> str:
    """What ONOS knows a device by; empty for what it does not control."""
    if node["about"].get("datapath_id"):
        return f"of:{node['about']['datapath_id']}"
    return f"device:{node['name']}" if "program" in node["about"] else ""


def _basic(node: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": node["name"]}
    program = node["about"].get("program")
    if program is None:
        return found | {"driver": "ovs"}  # it comes to the controller by itself
    found["driver"] = "bmv2"
    reached = next(
        (one["reached"] for one in node["control"] if one["protocol"] == "p4runtime"), None
    )
    if reached and reached.startswith("tcp:"):
        number = node["about"].get("device_id", 0)
        found["managementAddress"] = f"grpc://{reached[4:]}?device_id={number}"
    else:
        warnings.append(
            f"{node['name']}: no P4Runtime port of it is reached from this machine, "
            "so that it has no managementAddress"
        )
    return found
