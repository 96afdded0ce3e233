"""The nodes of the cluster, as their author declares them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from pytest_kinda.errors import Problem
from pytest_kinda.topology import checks
from pytest_kinda.topology.frozen import EMPTY
from pytest_kinda.topology.node import LABEL, Card, Node


@dataclass(frozen=True)
class KubernetesNode(Node):
    """A node of the cluster.

    ``labels`` and ``taints`` (``KEY=VALUE:EFFECT``) are registered by its kubelet, ``cpus`` (cores)
    and ``memory`` (``"2GiB"``; held in bytes) limit its container (what its kubelet reports as its
    capacity stays that of the machine), ``mounts`` are
    ``SOURCE:TARGET[:ro]`` and ``ports`` ``HOST:CONTAINER[/tcp|udp|sctp]`` strings,
    ``kubeadm_patches`` YAML texts that kind merges into the kubeadm configuration. ``nic`` is a
    network card with a program that everything of its links passes, such as ``P4Nic``. One without
    a name is for places that give it one, as ``Topology.from_kathara`` does.

    >>> Worker("w1", labels={"zone": "edge"}, taints=["slow=true:NoSchedule"])
    Worker(name='w1', labels={'zone': 'edge'}, taints=('slow=true:NoSchedule',))
    """

    role: ClassVar[Literal["control-plane", "worker"]]
    name_pattern: ClassVar[re.Pattern[str]] = LABEL
    name_expected: ClassVar[str] = (
        "a Kubernetes node name (RFC 1123 label): 1 to 63 of a-z, 0-9 and '-',"
        " with a letter or digit first and last"
    )

    name: str = ""
    _: KW_ONLY
    labels: Mapping[str, str] = EMPTY
    taints: Sequence[str] = ()
    cpus: float | None = None
    memory: int | str | None = None
    mounts: Sequence[str] = ()
    ports: Sequence[str] = ()
    kubeadm_patches: Sequence[str] = ()
    nic: Card | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.settle_resources(self)

    def __repr__(self) -> str:
        return checks.short_repr(self)

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this node by itself."""
        yield from super().problems()
        yield from checks.labels(self.where, self.labels)
        yield from checks.taints(self.where, self.taints)
        yield from checks.resources(self.where, self.cpus, self.memory)
        yield from checks.mounts(self.where, self.mounts)
        yield from checks.ports(self.where, self.ports)
        card: object = self.nic
        if isinstance(card, Card):
            yield from card.problems(self.where)
        elif card is not None:
            yield Problem(self.where, "nic", repr(card), "a card such as P4Nic(program=...)")


@dataclass(frozen=True, repr=False)
class ControlPlane(KubernetesNode):
    """A node that runs the API server, and etcd with it; three of them outlive one.

    ``feature_gates`` (``NAME=true`` or ``NAME=false``) hold for every component of the cluster.
    Several are reached by kind's load balancer, which is on Docker's network.
    """

    kind: ClassVar[str] = "control-plane"
    role: ClassVar[Literal["control-plane", "worker"]] = "control-plane"

    _: KW_ONLY
    feature_gates: Sequence[str] = ()

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this node by itself."""
        yield from super().problems()
        yield from checks.feature_gates(self.where, self.feature_gates)


@dataclass(frozen=True, repr=False)
class Worker(KubernetesNode):
    """A node that runs pods."""

    kind: ClassVar[str] = "worker"
    role: ClassVar[Literal["control-plane", "worker"]] = "worker"
