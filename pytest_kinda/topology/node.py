"""What a topology knows of any node: its name, its kind, and how it treats other nodes' packets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pytest_kinda.errors import Problem
from pytest_kinda.topology.frozen import freeze

ForwardingRole = Literal["end", "router", "switch", "hub"]

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DEVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
SUBCOMMANDS = frozenset(
    {
        "up",
        "down",
        "ls",
        "show",
        "exec",
        "facts",
        "who",
        "reverse",
        "kubectl",
        "capture",
        "compare",
        "logs",
        "graph",
        "p4",
        "plan",
        "plot",
        "verify",
        "link",
        "clean",
        "describe",
        "doctor",
        "setup",
        "images",
        "schema",
    }
)
"""Words of the command line that a node's name would make ambiguous."""


@runtime_checkable
class Forwarding(Protocol):
    """A node that says what it does with packets that are not its own.

    ``end`` nothing, ``router`` forwards IP, ``switch`` joins its links to one broadcast domain,
    ``hub`` is no machine at all: its links are one collision domain.
    """

    @property
    def forwarding(self) -> ForwardingRole:
        """The role."""
        ...


@runtime_checkable
class StaticRouting(Protocol):
    """A node that says whether the plan computes its routes."""

    @property
    def static_routes(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class DynamicRouting(Protocol):
    """A router whose routes come from a routing protocol that the plan configures.

    Neighbouring routers of equal ``routing_protocol`` talk to each other; empty is none. ``asn`` is
    its number where the protocol has autonomous systems (None: the plan gives one).
    """

    @property
    def routing_protocol(self) -> str:
        """The protocol's name, such as ``"ospf"``."""
        ...

    @property
    def asn(self) -> int | None:
        """The number of its autonomous system."""
        ...


@runtime_checkable
class Card(Protocol):
    """A network card with a program of its own: what a node's ``nic`` may be."""

    def device(self, name: str, *, network: str, node: str) -> Node:
        """The device that the card is, joined to a link ``network`` and to a ``node``."""
        ...

    def problems(self, where: str) -> Iterator[Problem]:
        """All that is wrong with it by itself."""
        ...


@dataclass(frozen=True)
class Node:
    """A node of a topology; the base of every kind.

    ``name`` is what every message, handle and command shows. Lists and dicts given to a field are
    frozen, so that a node can be hashed.
    """

    kind: ClassVar[str] = "node"
    name_pattern: ClassVar[re.Pattern[str]] = DEVICE_NAME
    on_a_hub: ClassVar[str] = ""
    """What the author must know of one at a hub, which repeats every frame to all its ends."""
    name_expected: ClassVar[str] = (
        "1 to 63 of a-z, 0-9, '-' and '_', with a letter or digit first and last"
    )

    name: str

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, (str, int, float, type(None))):
                object.__setattr__(self, one.name, freeze(value))

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"node {self.name}"

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this node by itself."""
        if not isinstance(self.name, str) or not self.name_pattern.fullmatch(self.name):
            yield Problem(f"node {self.name!r}", "name", repr(self.name), self.name_expected)
        elif self.name in SUBCOMMANDS:
            yield Problem(
                self.where,
                "name",
                repr(self.name),
                "a name that is no subcommand of `kinda`, which are "
                + ", ".join(sorted(SUBCOMMANDS)),
            )


def forwarding(node: Node) -> ForwardingRole:
    """What the node does with other nodes' packets; ``end`` where it does not say."""
    # not isinstance with the protocol: that is a hundred times as slow, for each of 1,000 nodes
    role: Any = getattr(node, "forwarding", "end")
    # a kind may say by the same word how: that knows its role
    found: ForwardingRole = getattr(role, "role", role)
    return found


def has_static_routes(node: Node) -> bool:
    """Whether the plan computes the node's routes; yes where it does not say."""
    return bool(getattr(node, "static_routes", True))


def routing_protocol(node: Node) -> str:
    """The routing protocol that the plan configures on the node; empty where there is none."""
    return str(getattr(node, "routing_protocol", ""))


def card_of(node: Node) -> Card | None:
    """The card that all of a node's links pass; None without one."""
    found: Card | None = getattr(node, "nic", None)
    return found


def routes_are_the_authors(node: Node) -> bool:
    """Whether it is a router whose routes nobody but its own files and commands make."""
    return (
        forwarding(node) == "router" and not has_static_routes(node) and not routing_protocol(node)
    )
