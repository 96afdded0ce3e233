"""Relays of devices: whether what they lead to is in the topology, and where it is found there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from pytest_kinda.errors import Problem
from pytest_kinda.plan.values import NodePlan

LOOPBACK = "127.0.0.1"


def relay_problems(nodes: Sequence[NodePlan], names: Sequence[str]) -> Iterator[Problem]:
    """Relays to nodes that are not among ``names``, and to pods where there is no cluster."""
    has_cluster = any(one.is_kubernetes for one in nodes)
    for node in nodes:
        for one in node.device.relays if node.device is not None else ():
            where = f"node {node.name}"
            if one.node and one.node not in names:
                near = difflib.get_close_matches(one.node, names, n=1, cutoff=0.4)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                expected = f"a node of the topology{hint}"
                yield Problem(where, one.what, f"unknown node {one.node!r}", expected)
            if one.pod and not has_cluster:
                yield Problem(where, one.what, f"pod {one.pod!r}", "a topology with a ControlPlane")


def addresses_at(node: NodePlan) -> tuple[str, ...]:
    """The IPv4 addresses at which a program on a node may listen, as seen from there."""
    found = [*node.loopback, *(one for each in node.interfaces for one in each.addresses)]
    return (LOOPBACK, *(one.partition("/")[0] for one in found if ":" not in one))
