"""What an author declares: nodes, links and topologies, as frozen values."""

from pytest_kinda.topology.kubernetes import ControlPlane, KubernetesNode, Worker
from pytest_kinda.topology.link import Link
from pytest_kinda.topology.node import (
    Node,
    forwarding,
    has_static_routes,
    routes_are_the_authors,
    routing_protocol,
)
from pytest_kinda.topology.topology import Topology

__all__ = [
    "ControlPlane",
    "KubernetesNode",
    "Link",
    "Node",
    "Topology",
    "Worker",
    "forwarding",
    "has_static_routes",
    "routes_are_the_authors",
    "routing_protocol",
]
