"""The kind cluster: its configuration, what Kubernetes is told of each node, the pods' networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import yaml

from pytest_kinda.errors import Problem
from pytest_kinda.plan import families
from pytest_kinda.plan.values import HostFacts, KubernetesSpec, MountSpec, PlanOptions
from pytest_kinda.topology import KubernetesNode
from pytest_kinda.topology.checks import split_gate, split_mount, split_taint

CONTROL_PLANE_TAINT = {
    "key": "node-role.kubernetes.io/control-plane",
    "effect": "NoSchedule",
}
UNLINKED_TAINT = {"key": "pytest-kinda/unlinked", "effect": "NoSchedule"}
"""Keeps pods away from a node that is on no link: nobody would reach them."""


def specification(node: KubernetesNode) -> KubernetesSpec:
    """What the plan keeps of a Kubernetes node's declaration."""
    mounts = [split_mount(one) for one in node.mounts]
    return KubernetesSpec(
        labels=dict(node.labels),
        taints=tuple(node.taints),
        mounts=tuple(MountSpec(source, target, ro) for source, target, ro in mounts),
        ports=tuple(node.ports),
        kubeadm_patches=tuple(node.kubeadm_patches),
        cpus=node.cpus,
        memory=node.memory if isinstance(node.memory, int) else None,
    )


def in_order(nodes: tuple[KubernetesNode, ...]) -> list[KubernetesNode]:
    """Control plane first, each part in declared order: the order of kind's containers."""
    return sorted(nodes, key=lambda one: one.role != "control-plane")


def pod_networks(
    nodes: list[KubernetesNode], options: PlanOptions, problems: list[Problem]
) -> dict[str, str]:
    """Each node's part of the pod network: a /24 while there are enough of them."""
    if options.cni != "kinda" or not nodes:
        return {}
    whole = ipaddress.IPv4Network(options.pod_cidr)
    length = max(24, whole.prefixlen + (len(nodes) - 1).bit_length())
    if length > 28:
        found = f"{whole} for {len(nodes)} nodes"
        problems.append(Problem("options", "pod_cidr", found, "room for a /28 per node"))
        return {}
    first, size = int(whole.network_address), 1 << (32 - length)
    return {
        one.name: f"{ipaddress.IPv4Address(first + index * size)}/{length}"
        for index, one in enumerate(nodes)
    }


def dns_address(options: PlanOptions) -> str:
    """The cluster's DNS service: kubeadm gives it the tenth address."""
    return str(ipaddress.IPv4Network(options.service_cidr).network_address + 10)


def kind_configuration(
    nodes: list[KubernetesNode],
    endpoints: dict[str, str],
    options: PlanOptions,
    facts: HostFacts,
    endpoints6: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The kind configuration, without the cluster's name and the nodes' image.

    kind itself is told of IPv4 only, see :mod:`pytest_kinda.plan.families`.
    """
    own = families.node_addresses(endpoints, endpoints6 or {})
    workers = any(one.role == "worker" for one in nodes)
    configuration: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "disableDefaultCNI": True,
            "podSubnet": options.pod_cidr,
            "serviceSubnet": options.service_cidr,
        },
        "kubeadmConfigPatches": [_yaml(_cluster_patch(options))],
        "nodes": [
            _node(one, index == 0, own.get(one.name, ""), workers, len(nodes) == 1, options)
            for index, one in enumerate(nodes)
        ],
    }
    gates = {"KubeletInUserNamespace": True} if facts.restricted else {}
    for one in nodes:
        gates |= dict(map(split_gate, getattr(one, "feature_gates", ())))
    if gates:
        configuration["featureGates"] = gates
    return configuration


def _cluster_patch(options: PlanOptions) -> dict[str, Any]:
    # faster writes to the API shorten the start: the manager makes hundreds of objects then
    arguments = {"kube-api-qps": "200", "kube-api-burst": "400"}
    if options.cni == "kinda":
        # kind would hand pod networks out in the order of joining; the plan's are fixed
        arguments["allocate-node-cidrs"] = "false"
    # names first: /etc/hosts gives them Docker addresses, so that exec, logs and port-forward
    # reach a node whose virtual link is cut
    order = {"kubelet-preferred-address-types": "Hostname,InternalIP,ExternalIP"}
    # no apiVersion and arguments as a map: kind picks the version by Kubernetes' own
    patch: dict[str, Any] = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": order},
        "controllerManager": {"extraArgs": arguments},
    }
    return patch | ({"networking": families.subnets(options)} if families.is_dual(options) else {})


def _node(
    node: KubernetesNode,
    first: bool,
    addresses: str,
    workers: bool,
    only: bool,
    options: PlanOptions,
) -> dict[str, Any]:
    endpoint = addresses.partition(",")[0]
    registration: dict[str, Any] = {"name": node.name}
    if endpoint and options.node_ip == "network":
        registration["kubeletExtraArgs"] = {"node-ip": addresses}
    taints = [_taint(one) for one in node.taints]
    if not endpoint and workers:
        taints.append(UNLINKED_TAINT)
    if taints or not (workers or only):
        # the list replaces kubeadm's own, which marks a control plane; where all nodes are that,
        # pods need a place, and kind itself sees to it for an only node
        own = [CONTROL_PLANE_TAINT] if node.role == "control-plane" and workers else []
        registration["taints"] = own + taints
    kind = "InitConfiguration" if first else "JoinConfiguration"
    found: dict[str, Any] = {"role": node.role}
    if node.labels:
        found["labels"] = dict(node.labels)
    patch: dict[str, Any] = {"kind": kind, "nodeRegistration": registration}
    if first and endpoint and options.control_plane_traffic == "network":
        # what pods are told of the API server; kind would say Docker's address
        patch["localAPIEndpoint"] = {"advertiseAddress": endpoint}
    found["kubeadmConfigPatches"] = [
        _yaml(patch),
        *node.kubeadm_patches,
    ]
    if node.mounts:
        found["extraMounts"] = [
            {"hostPath": source, "containerPath": target, "readOnly": read_only}
            for source, target, read_only in map(split_mount, node.mounts)
        ]
    if node.ports:
        found["extraPortMappings"] = [_port(one) for one in node.ports]
    return found


def _taint(text: str) -> dict[str, str]:
    key, value, effect = split_taint(text)
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def _port(text: str) -> dict[str, Any]:
    ports, _, protocol = text.partition("/")
    *address, host, container = ports.split(":")
    found: dict[str, Any] = {"hostPort": int(host), "containerPort": int(container)}
    if address:
        found["listenAddress"] = address[0]
    if protocol:
        found["protocol"] = protocol.upper()
    return found


# libyaml's where it is there: a plan of a thousand nodes holds a thousand patches
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _yaml(data: Any) -> str:
    return str(yaml.dump(data, Dumper=_DUMPER, sort_keys=False))
