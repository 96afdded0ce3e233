"""The topology: a value that says which nodes there are and how they are linked."""

from __future__ import annotations

import difflib
import importlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kinda.errors import Problem, TopologyError, UnknownNameError
from pytest_kinda.topology.kubernetes import KubernetesNode
from pytest_kinda.topology.link import Link
from pytest_kinda.topology.node import Node, forwarding

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, init=False, repr=False)
class Topology:
    """Nodes and the links between them: frozen, hashable, equal by value.

    Raises TopologyError, which names *all* problems: where, which field, what was found there and
    what is accepted.

    >>> from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
    >>> line = Topology(
    ...     name="line",
    ...     nodes=[ControlPlane("c1"), Worker("w1"), Router("r1")],
    ...     links=[Link("c1", "r1"), Link("w1", "r1", rate="100mbit")],
    ... )
    >>> line.node("w1")
    Worker(name='w1')
    """

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def __init__(self, name: str, nodes: Iterable[Node], links: Iterable[Link] = ()) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "links", tuple(links))
        problems = list(self._problems())
        if problems:
            raise TopologyError(f"topology {name!r}", problems)

    def __repr__(self) -> str:
        return f"<Topology {self.name}: {len(self.nodes)} nodes, {len(self.links)} links>"

    def node(self, name: str) -> Node:
        """The node of that name. Raises UnknownNameError with the nearest name."""
        for one in self.nodes:
            if one.name == name:
                return one
        raise UnknownNameError(
            f"topology {self.name} has no node {name!r}{_nearest(name, self._names())}"
        )

    def link(self, a: str, b: str | None = None) -> Link:
        """The link of that name, or the first between two nodes. Raises UnknownNameError."""
        for one in self.links:
            if (b is None and one.name == a) or (b is not None and {one.a, one.b} == {a, b}):
                return one
        wanted = a if b is None else f"{a}--{b}"
        raise UnknownNameError(
            f"topology {self.name} has no link {wanted!r}"
            f"{_nearest(wanted, [one.name for one in self.links])}"
        )

    def links_of(self, name: str) -> tuple[Link, ...]:
        """The links at a node, in declared order."""
        return tuple(one for one in self.links if name in one.ends)

    @property
    def kubernetes_nodes(self) -> tuple[KubernetesNode, ...]:
        """The nodes of the cluster, in declared order."""
        return tuple(one for one in self.nodes if isinstance(one, KubernetesNode))

    def with_(
        self,
        *,
        name: str | None = None,
        nodes: Iterable[Node] = (),
        links: Iterable[Link] = (),
        without: Iterable[str] = (),
    ) -> Topology:
        """A variant: nodes and links added or (by name) replaced, others left out.

        ``without`` names nodes, which go with their links, and links.
        """
        from pytest_kinda.topology.composition import vary

        return vary(self, name=name, nodes=nodes, links=links, without=without)

    @classmethod
    def from_kathara(
        cls,
        path: Any,
        *,
        workers: Any = (),
        attach: Iterable[Link] = (),
        nodes: Iterable[Node] = (),
        images: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Topology:
        """The topology of a Kathara lab: a directory with a ``lab.conf``, or a Kathara ``Lab``.

        The lab is deployed as it is: its devices' files and startup scripts give addresses and
        routes. ``workers`` turns devices into nodes of the cluster with the addresses of their
        startup scripts: names, or a mapping to a node (``Worker(labels=...)`` takes the device's
        name), its name, or a kind (``ControlPlane``).
        A relative ``path`` is relative to the declaring file.
        ``nodes`` are further nodes, which ``attach`` links to devices or collision domains.
        ``images`` maps the lab's images to others; without it Kathara's own become ``@base`` and
        ``@router``, with ``images={}`` they stay.

        Raises TopologyError for what Kathara refuses too; what it silently ignores is a
        ``LabWarning``.
        """
        # by name: readers stand above topologies
        readers = importlib.import_module("pytest_kinda.readers.kathara")
        topology: Topology = readers.from_kathara(
            path, workers=workers, attach=attach, nodes=nodes, images=images, name=name
        )
        return topology

    @classmethod
    def from_containerlab(
        cls,
        path: Any,
        *,
        nodes: Iterable[Node] = (),
        attach: Iterable[Link] = (),
        without: Iterable[str] = (),
        images: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Topology:
        """The topology of a containerlab file (``*.clab.yml``).

        Kinds linux, bridge, and k8s-kind with its nodes as ext-container; links short and extended
        (1500 bytes where no ``mtu`` is given). Its interfaces are named ``eth1`` and on, which the
        direct engine can do. A failing ``exec`` fails the build. ``images`` maps the file's images
        to others; without it FRR's becomes ``@router`` and network-multitool ``@base``.

        ``nodes`` take the places of the file's nodes of the same names, such as those of a kind
        that cannot be emulated, or are further ones, which ``attach`` links; ``without`` names
        nodes of the file that are left out with their links.

        A relative ``path`` is relative to the declaring file. Raises TopologyError with file, line
        and column of every mistake and of every kind that cannot be emulated; a setting without
        effect is a ``LabWarning``.
        """
        readers = importlib.import_module("pytest_kinda.readers.containerlab")
        topology: Topology = readers.from_containerlab(
            path, nodes=nodes, attach=attach, without=without, images=images, name=name
        )
        return topology

    def __add__(self, other: Topology) -> Topology:
        from pytest_kinda.topology.composition import join

        return join(self, other)

    def to_networkx(self) -> Any:
        """A ``networkx.MultiGraph``: nodes carry ``node`` and ``kind``, edges ``link``."""
        from pytest_kinda.topology.composition import to_networkx

        return to_networkx(self)

    def _names(self) -> list[str]:
        return [one.name for one in self.nodes]

    def _problems(self) -> Iterator[Problem]:
        where = f"topology {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            yield Problem(where, "name", repr(self.name), "1 to 63 letters, digits, '-', '_', '.'")
        given: tuple[Any, ...] = self.nodes
        for index, node in enumerate(given):
            if not isinstance(node, Node):
                yield Problem(where, f"nodes[{index}]", repr(node), "a node such as Worker('w1')")
        links_given: tuple[Any, ...] = self.links
        for index, link in enumerate(links_given):
            if not isinstance(link, Link):
                yield Problem(where, f"links[{index}]", repr(link), "Link('w1', 'r1')")
        nodes = [one for one in self.nodes if isinstance(one, Node)]
        links = [one for one in self.links if isinstance(one, Link)]
        if not nodes:
            yield Problem(where, "nodes", "none", "at least one node")
        for node in nodes:
            yield from node.problems()
        names = [one.name for one in nodes]
        yield from _duplicates(where, "nodes", names)
        yield from _duplicates(where, "links", [one.name for one in links])
        for one in links:
            if one.name in names:
                yield Problem(one.where, "name", repr(one.name), "a name that no node has")
        known = {one.name: one for one in nodes}
        for link in links:
            yield from link.problems()
            yield from _ends(link, known)
        yield from _interfaces(links, known)
        yield from _cluster(where, nodes, links)


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), [str(one) for one in names], n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def _duplicates(where: str, field: str, names: list[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            hint = "; give parallel links a name=" if field == "links" else ""
            yield Problem(where, field, f"{count} of the name {name!r}", f"unique names{hint}")


def _ends(link: Link, known: dict[str, Node]) -> Iterator[Problem]:
    for field, end in (("a", link.a), ("b", link.b)):
        if end not in known:
            near = _nearest(end, known)
            yield Problem(
                link.where, field, f"unknown node {end!r}", f"a node of the topology{near}"
            )
    if link.a == link.b:
        yield Problem(link.where, "b", f"{link.b!r} itself", "another node than a")


def _interfaces(links: list[Link], known: dict[str, Node]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], Link] = {}
    for link in links:
        for end, interface in zip(link.ends, link.interfaces, strict=True):
            if not interface:
                continue
            if interface == "eth0" and isinstance(known.get(end), KubernetesNode):
                yield Problem(
                    link.where, "interfaces", f"eth0 at {end}", "another name: eth0 is Docker's"
                )
            other = seen.setdefault((end, interface), link)
            if other is not link:
                yield Problem(
                    link.where,
                    "interfaces",
                    f"{interface} at {end}, which {other.where} has",
                    "a name that is free at that node",
                )


def _cluster(where: str, nodes: list[Node], links: list[Link]) -> Iterator[Problem]:
    cluster = [one for one in nodes if isinstance(one, KubernetesNode)]
    workers = [one.name for one in cluster if one.role == "worker"]
    if workers and not any(one.role == "control-plane" for one in cluster):
        yield Problem(
            where,
            "nodes",
            f"workers ({', '.join(workers[:5])}) and no control plane",
            "at least one ControlPlane",
        )
    linked = {end for one in links for end in one.ends}
    for name in workers:
        if name not in linked:
            yield Problem(f"node {name}", "links", "none", "at least one link of the worker")
    if not cluster and not any(forwarding(one) != "hub" for one in nodes) and nodes:
        yield Problem(where, "nodes", "nothing but hubs", "at least one machine")
