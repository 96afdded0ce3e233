"""The description of a plan, or of the testbed that stands by it.

It is computed from the plan; a testbed adds where its containers are. What a kind of device says of
itself (``DeviceSpec.control``, ``about``, ``port_numbers``) is taken as it is, so that kinds of
other packages have their part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kinda.description import dot, k8sinc, netcfg
from pytest_kinda.errors import DescriptionError
from pytest_kinda.operations import Place
from pytest_kinda.plan.values import DeviceSpec, InterfacePlan, NodePlan, Plan

SCHEMA = 1
"""The version of the description's form; it changes when a reader must."""

_RENDERERS: dict[str, Callable[..., tuple[str, list[str]]]] = {
    "dot": dot.render,
    "onos": netcfg.render,
    "k8s-inc": k8sinc.render,
}
FORMS = ("json", "yaml", *_RENDERERS)
"""What a description can be written as."""


@dataclass(frozen=True)
class Description:
    """What a controller needs: ``data`` is a JSON object, of the form that ``schema()`` gives.

    >>> kinda.describe().node("s1")["ports"][0]["number"]    # doctest: +SKIP
    1
    """

    data: Mapping[str, Any]

    def node(self, name: str) -> Mapping[str, Any]:
        """The part of one node. Raises DescriptionError with the names there are."""
        for one in self.data["nodes"]:
            if one["name"] == name:
                found: Mapping[str, Any] = one
                return found
        known = ", ".join(one["name"] for one in self.data["nodes"])
        raise DescriptionError(f"the description has no node {name!r}; it has {known}")

    def render(
        self,
        form: str = "json",
        *,
        warn: Callable[[str], None] = lambda line: None,
        **options: Any,
    ) -> str:
        """The text of a form: ``json``, ``yaml``, ``dot``, ``onos`` or ``k8s-inc``.

        ``k8s-inc`` takes options, see ``k8sinc.render``; ``warn`` is told what a form could not
        say. Raises DescriptionError for a network that the form cannot hold.
        """
        if form not in FORMS:
            raise DescriptionError(f"found the form {form!r}; expected one of {', '.join(FORMS)}")
        if options and form != "k8s-inc":
            raise DescriptionError(f"{next(iter(options))} is an option of the form k8s-inc alone")
        if form in _RENDERERS:
            text, warnings = _RENDERERS[form](self.data, **options)
            for line in warnings:
                warn(line)
            return text
        if form == "yaml":
            import yaml

            return str(yaml.safe_dump(dict(self.data), sort_keys=False))
        import json

        return json.dumps(self.data, indent=2) + "\n"


def describe(
    plan: Plan,
    *,
    places: Mapping[str, Place] | None = None,
    testbed: Mapping[str, Any] | None = None,
    api: str | None = None,
    p4runtime: tuple[str, Mapping[str, int]] | None = None,
) -> Description:
    """The description of a plan.

    Of what stands, ``places`` says where each node's container is, ``testbed`` what is known of
    the whole (id, directory, kubeconfig), ``api`` the URL of the Kubernetes API, ``p4runtime`` the
    address (HOST:PORT) of the P4Runtime server that runs and the device ids of its switches.
    """
    behind = _Behind(plan)
    nodes = [_node(plan, one, behind, (places or {}).get(one.name)) for one in plan.nodes]
    if p4runtime is not None:
        _add_p4runtime(nodes, *p4runtime)
    return Description(
        {
            "schema": SCHEMA,
            "topology": plan.topology,
            "signature": plan.signature,
            "engine": plan.options.engine,
            "testbed": dict(testbed) if testbed is not None else None,
            "cluster": _cluster(plan, api),
            "nodes": nodes,
            "links": [
                {
                    "name": one.name,
                    "segment": one.segment,
                    "ends": [
                        {
                            "node": end.node,
                            "interface": end.interface or None,
                            "port": _number(plan, end.node, end.interface),
                        }
                        for end in (one.a, one.b)
                    ],
                }
                for one in plan.links
            ],
        }
    )


def _cluster(plan: Plan, api: str | None) -> dict[str, Any] | None:
    if plan.cluster is None:
        return None
    found = plan.cluster
    return {
        "api": api,
        "pod_cidrs": [one for one in (found.pod_cidr, found.pod_cidr6) if one],
        "service_cidrs": [one for one in (found.service_cidr, found.service_cidr6) if one],
        "dns": found.dns,
        "pods": plan.tunnel.driver if plan.tunnel else "none",
    }


def _node(plan: Plan, node: NodePlan, behind: _Behind, place: Place | None) -> dict[str, Any]:
    device = node.device or DeviceSpec()
    return {
        "name": node.name,
        "kind": node.kind,
        "role": node.role,
        "endpoints": [one for one in (node.endpoint, node.endpoint6) if one],
        "loopback": list(node.loopback),
        "pod_cidrs": list(node.pod_cidrs),
        "container": {"id": place.container, "pid": place.pid} if place else None,
        "ports": [_port(plan, node, one, behind) for one in node.interfaces],
        "control": [
            {
                "protocol": one.protocol,
                "address": one.address,
                "reached": _reached(one.address, device.ports, place),
            }
            for one in device.control
        ],
        "published": list(device.ports),
        "about": dict(device.about or {}),
        "notes": list(device.notes),
    }


def _add_p4runtime(nodes: list[dict[str, Any]], address: str, devices: Mapping[str, int]) -> None:
    """Where the server of the testbed is reached, which is outside of its switches."""
    where = f"tcp:{address}"
    for one in nodes:
        if one["name"] in devices:
            one["control"].append({"protocol": "p4runtime", "address": where, "reached": where})
            one["about"]["device_id"] = devices[one["name"]]


def _port(plan: Plan, node: NodePlan, one: InterfacePlan, behind: _Behind) -> dict[str, Any]:
    return {
        "number": _number(plan, node.name, one.name),
        "interface": one.name,
        "segment": one.segment,
        "mac": one.mac,
        "mtu": one.mtu,
        "addresses": list(one.addresses),
        "rate": one.shape.rate if one.shape else None,
        "peers": [
            {
                "node": other.name,
                "interface": interface.name,
                "port": _number(plan, other.name, interface.name),
                "mac": interface.mac,
                "addresses": list(interface.addresses),
            }
            for other, interface in behind.others(node.name, one)
        ],
        "kubernetes": behind.through(node.name, one),
    }


def _number(plan: Plan, node: str, interface: str) -> int | None:
    """What the device's program calls the port; None where it has no numbers."""
    return plan.node(node).port_numbers.get(interface) if interface else None


def _reached(address: str, published: tuple[str, ...], place: Place | None) -> str | None:
    """Where the machine reaches it: a published port, or a socket in the container's files."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return f"unix:/proc/{place.pid}/root{rest}" if place else None
    port = rest.rpartition(":")[2]
    for one in published:
        outside, _, inside = one.partition("/")[0].rpartition(":")
        if inside == port:
            host, _, number = outside.rpartition(":")
            return f"tcp:{host or '127.0.0.1'}:{number}"
    return None


class _Behind:
    """Which Kubernetes nodes are behind which port, by the fewest links.

    Packets do not go on through a node of the cluster, so that no way leads through one.
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = {one.name: one for one in plan.nodes}
        self._members = {
            one.name: [(each.node, each.interface) for each in one.members] for one in plan.segments
        }
        self._away = {one.name: self._distances(one) for one in plan.kubernetes_nodes}

    def others(
        self, node: str, interface: InterfacePlan
    ) -> Iterator[tuple[NodePlan, InterfacePlan]]:
        """The other ends of an interface's collision domain."""
        for name, there in self._members[interface.segment]:
            if (name, there) != (node, interface.name):
                other = self._nodes[name]
                yield other, next(one for one in other.interfaces if one.name == there)

    def through(self, node: str, interface: InterfacePlan) -> list[str]:
        """The nodes of the cluster that a shortest way leads to by this interface."""
        found = []
        for name, away in self._away.items():
            if name == node or node not in away:
                continue
            for other, _ in self.others(node, interface):
                passable = not other.is_kubernetes or other.name == name
                if passable and away.get(other.name) == away[node] - 1:
                    found.append(name)
                    break
        return found

    def _distances(self, source: NodePlan) -> dict[str, int]:
        found = {source.name: 0}
        waiting = deque([source])
        while waiting:
            node = waiting.popleft()
            if node.is_kubernetes and node is not source:
                continue
            for interface in node.interfaces:
                for other, _ in self.others(node.name, interface):
                    if other.name not in found:
                        found[other.name] = found[node.name] + 1
                        waiting.append(other)
        return found
