"""containerlab files (``*.clab.yml``) as topologies."""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kinda.devices import Command, LabDevice, OvsSwitch, Switch
from pytest_kinda.devices.switch import Hub
from pytest_kinda.errors import LabWarning, Problem, TopologyError, UnitError
from pytest_kinda.readers.containerlab_cluster import cluster_nodes
from pytest_kinda.readers.containerlab_nodes import Levels, Settings, environment_files, expand
from pytest_kinda.readers.document import Item, Reader, load
from pytest_kinda.readers.startup import Known, from_frr, from_script
from pytest_kinda.topology import KubernetesNode, Link, Node, Topology
from pytest_kinda.topology.declared import declaring_directory
from pytest_kinda.units import parse_size

KINDS = ("linux", "bridge", "ovs-bridge", "k8s-kind", "ext-container")
IMAGES = {
    "frrouting/frr": "@router",
    "quay.io/frrouting/frr": "@router",
    "wbitt/network-multitool": "@base",
    "ghcr.io/srl-labs/network-multitool": "@base",
}
"""Published images and ours that take their place, unless ``images`` says otherwise."""

_SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv6.conf.all.disable_ipv6": "0",
}
_NODE_NAME = "__clabNodeName__"
_SPECIAL = ("host", "mgmt-net", "macvlan", "vxlan", "vxlan-stitch", "dummy")


def from_containerlab(
    path: str | Path,
    *,
    nodes: Iterable[Node] = (),
    attach: Iterable[Link] = (),
    without: Iterable[str] = (),
    images: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Topology:
    """The topology of a containerlab file; see ``Topology.from_containerlab``."""
    path = declaring_directory() / path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(str(path), "", str(error), "a containerlab file that can be read")
        raise TopologyError(str(path), [problem]) from None
    changes = _Changes({one.name: one for one in nodes}, tuple(attach), tuple(without))
    images = IMAGES if images is None else images
    file = _File(Reader(str(path)), path.resolve().parent, images, changes)
    topology = file.topology(load(expand(text, os.environ), str(path)), name or path.name)
    for note in file.levels.notes:
        warnings.warn(note, LabWarning, stacklevel=3)
    return topology


@dataclass(frozen=True)
class _Changes:
    """What the author says beside the file: nodes in the place of its own, more, and fewer."""

    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    without: tuple[str, ...]


@dataclass
class _End:
    """One end of a link: a node's interface, and what is given for it."""

    node: str
    interface: str
    item: Item
    mac: str = ""
    ipv4: str | None = None
    ipv6: str | None = None


class _File:
    """One file on its way to a topology."""

    levels: Levels

    def __init__(
        self, reader: Reader, directory: Path, images: Mapping[str, str], changes: _Changes
    ) -> None:
        self.reader = reader
        self.directory = directory
        self.images = images
        self.changes = changes
        self.places: dict[str, Item] = {}

    def topology(self, root: Item, name: str) -> Topology:
        """The topology. Raises TopologyError with file, line and column of every mistake."""
        reader = self.reader
        top = reader.mapping(root, "")
        if "name" in top:
            name = str(top["name"][1].text)
        if "topology" not in top:
            reader.wrong(root, "topology", "topology: with nodes: and links:", "none")
        reader.raise_if_wrong()
        parts = reader.mapping(top["topology"][1], "topology")
        self.levels = Levels(reader, parts)
        if "nodes" not in parts:
            reader.wrong(top["topology"][1], "nodes", "nodes:", "none")
        reader.raise_if_wrong()
        settings = {
            one: self.levels.settings(one, item, key)
            for one, (key, item) in reader.mapping(parts["nodes"][1], "nodes").items()
        }
        links = self._links(parts["links"][1], settings) if "links" in parts else []
        for gone in self.changes.without:
            if gone not in settings:
                reader.wrong(parts["nodes"][1], "without", f"one of {', '.join(settings)}", gone)
            settings.pop(gone, None)
        links = [one for one in links if all(end.node in settings for end in one[0])]
        nodes, known = self._nodes(settings, links)
        reader.raise_if_wrong()
        title = re.sub(r"\.clab\.ya?ml$|[^A-Za-z0-9_.-]+", "-", name).strip("-_.")[:63]
        try:
            return Topology(title or "lab", *self._joined(nodes, links, known))
        except TopologyError as error:
            raise TopologyError(
                reader.source, [self._placed(one) for one in error.problems]
            ) from None

    def _placed(self, problem: Problem) -> Problem:
        item = self.places.get(problem.where)
        where = self.reader.place(item) if item is not None else self.reader.source
        what = f"{problem.where}: {problem.field}" if problem.field else problem.where
        return Problem(where, what, problem.found, problem.expected)

    # nodes

    def _nodes(
        self, settings: dict[str, Settings], links: list[tuple[list[_End], int, Item]]
    ) -> tuple[list[Node], dict[str, Known]]:
        nodes: list[Node] = []
        known: dict[str, Known] = {}
        kinds = [one for one in settings.values() if _kind(one) == "k8s-kind"]
        cluster = cluster_nodes(self.reader, self.directory, kinds)
        given = self.changes.nodes
        for name, one in settings.items():
            self.places[f"node {name}"] = one.item
            if name in given:
                nodes.append(given[name])
                continue
            kind = _kind(one)
            ends = [end for each, _, _ in links for end in each if end.node == name]
            if kind == "linux":
                known[name] = self._known(one)
                nodes.append(self._device(one, known[name], ends))
            elif kind == "bridge":
                nodes.append(Switch(name))
            elif kind == "ovs-bridge":
                nodes.append(OvsSwitch(name))
            elif kind == "ext-container":
                if name in cluster:
                    known[name] = from_script("\n".join(one.texts("exec")))
                    nodes.append(cluster[name])
                else:
                    names = ", ".join(cluster) or "a k8s-kind node, of which there is none"
                    self._cannot(one, f"nodes of the file's cluster: {names}")
            elif kind != "k8s-kind":
                self._cannot(one, f"one of {', '.join(KINDS)}")
        nodes += [one for name, one in cluster.items() if name not in (*settings, *given)]
        nodes += [one for name, one in given.items() if name not in settings]
        return nodes, known

    def _cannot(self, one: Settings, expected: str) -> None:
        kind = one.where.get("kind", one.item)
        self.reader.wrong(
            kind,
            f"node {one.name}",
            f"{expected}; others cannot be emulated (nodes=[...] puts one of yours there)",
            f"kind {_kind(one)}" if one.text("kind") else "no kind",
        )

    def _known(self, one: Settings) -> Known:
        known = from_script("\n".join(one.texts("exec")))
        for bind in one.texts("binds"):
            source, _, target = bind.replace(_NODE_NAME, one.name).partition(":")
            path = self.directory / source
            if target.split(":")[0] == "/etc/frr/frr.conf" and path.is_file():
                from_frr(path.read_text(errors="replace"), known)
        return known

    def _device(self, one: Settings, known: Known, ends: list[_End]) -> LabDevice:
        wanted = one.text("image")
        if not wanted:
            self.reader.wrong(one.item, f"node {one.name}: image", "an image", "none")
        repository = re.sub(r"(@sha256)?:[^:/]*$", "", wanted)
        image = self.images.get(wanted) or self.images.get(repository) or wanted
        files, mounts = self._binds(one)
        commands: list[Command] = []
        if image == "@router" and "frr" in repository:
            # what the published image's entry point does
            commands.append(Command("/usr/lib/frr/frrinit.sh", "start"))
        for line in one.texts("exec"):
            try:
                commands.append(Command(*shlex.split(line)))
            except ValueError as error:
                where = one.where.get("exec", one.item)
                self.reader.wrong(
                    where, f"node {one.name}: exec", f"a command ({error})", repr(line)
                )
        own = {
            end.interface: known.addresses.get(end.interface, [])
            for end in ends
            if not (end.ipv4 or end.ipv6)
        }
        return LabDevice(
            one.name,
            image=image or "@base",
            env=self._environment(one),
            files=files,
            mounts=mounts,
            startup_commands=commands,
            sysctls=_SYSCTLS | one.map("sysctls"),
            capabilities=one.texts("cap-add"),
            cpus=one.values.get("cpu"),
            memory=self._memory(one),
            ports=one.texts("ports"),
            entrypoint=shlex.split(one.text("entrypoint")),
            command=shlex.split(one.text("cmd")),
            addresses={name: " ".join(each) for name, each in own.items()},
            macs={end.interface: end.mac for end in ends if end.mac},
            forwarding="router" if len(ends) > 1 else "end",
        )  # fmt: skip

    def _environment(self, one: Settings) -> dict[str, str]:
        try:
            found = environment_files(self.directory, one.texts("env-files"))
        except OSError as error:
            where = one.where["env-files"]
            self.reader.wrong(where, f"node {one.name}: env-files", "files", str(error))
            found = {}
        return found | one.map("env")

    def _memory(self, one: Settings) -> int | None:
        text = one.text("memory")
        if not text:
            return None
        try:
            return int(parse_size(text))
        except UnitError as error:
            expected = error.message.partition("; expected ")[2]
            self.reader.wrong(one.where["memory"], f"node {one.name}: memory", expected)
            return None

    def _binds(self, one: Settings) -> tuple[dict[str, Any], list[str]]:
        """What lies with the file is copied in, so that a lab never changes it; the rest bound."""
        files: dict[str, Any] = {}
        mounts: list[str] = []
        for bind in one.texts("binds"):
            bind = bind.replace(_NODE_NAME, one.name)
            source, colon, rest = bind.partition(":")
            path = (self.directory / source).resolve()
            target = rest.split(":")[0]
            if not colon or not target.startswith("/") or not path.exists():
                self.reader.wrong(
                    one.where["binds"],
                    f"node {one.name}: binds",
                    "SOURCE:TARGET[:OPTIONS] with a SOURCE that exists",
                    repr(bind),
                )
            elif path.is_relative_to(self.directory) and (path.is_file() or path.is_dir()):
                files[target] = path
            else:
                read_only = "ro" in rest.split(":")[1:2]
                mounts.append(f"{path}:{target}{':ro' if read_only else ''}")
        return files, mounts

    # links

    def _links(
        self, item: Item, settings: dict[str, Settings]
    ) -> list[tuple[list[_End], int, Item]]:
        found = []
        if item.items is None and item.value is not None:
            self.reader.wrong(item, "links", "a list")
        for one in item.items or ():
            parts = self.reader.mapping(one, "link")
            kind = str(parts["type"][1].text) if "type" in parts else "veth"
            if kind not in ("veth", "dummy"):
                expected = "veth or dummy; others lead out of the lab and cannot be emulated"
                self.reader.wrong(parts["type"][1], "link: type", expected)
                continue
            ends = self._ends(one, parts, kind, settings)
            mtu: Any = parts["mtu"][1].value if "mtu" in parts else 1500
            if ends:
                found.append((ends, mtu, one))
        return found

    def _ends(
        self,
        item: Item,
        parts: dict[str, tuple[Item, Item]],
        kind: str,
        settings: dict[str, Settings],
    ) -> list[_End]:
        wanted = 1 if kind == "dummy" else 2
        given = parts.get("endpoints") or parts.get("endpoint")
        if given is None:
            self.reader.wrong(item, "link", "endpoints:", "none")
            return []
        items = given[1].items if given[1].items is not None else (given[1],)
        ends = [self._end(one) for one in items]
        found = [one for one in ends if one is not None]
        if len(items) != wanted:
            self.reader.wrong(given[1], "link", f"{wanted} endpoints", f"{len(items)}")
            return []
        for one in found:
            if one.node not in settings and one.node in _SPECIAL:
                expected = "a node of the file: what leads out of the lab cannot be emulated"
                self.reader.wrong(one.item, "link", expected, one.node)
                return []
            if one.node not in settings:
                self.reader.wrong(one.item, "link", f"of {', '.join(settings)}", one.node)
                return []
        return found if len(found) == wanted else []

    def _end(self, item: Item) -> _End | None:
        if item.pairs is not None:
            parts = self.reader.mapping(item, "endpoint")
            text = {key: str(value.text) for key, (_, value) in parts.items()}
            if "node" not in text or "interface" not in text:
                self.reader.wrong(item, "endpoint", "node: and interface:")
                return None
            return _End(
                text["node"], text["interface"], item, text.get("mac", ""), text.get("ipv4"),
                text.get("ipv6"),
            )  # fmt: skip
        node, colon, interface = str(item.text).partition(":")
        if item.text is None or not colon or not interface:
            self.reader.wrong(item, "endpoint", '"NODE:INTERFACE"')
            return None
        return _End(node, interface, item)

    def _joined(
        self,
        nodes: list[Node],
        links: list[tuple[list[_End], int, Item]],
        known: dict[str, Known],
    ) -> tuple[list[Node], list[Link]]:
        """The nodes and links, with a wire that ends nowhere for each dummy link."""
        by_name = {one.name: one for one in nodes}
        found: list[Link] = []
        pairs: dict[tuple[str, str], int] = {}
        for ends, mtu, item in links:
            if len(ends) == 1:
                hub = Hub(f"{ends[0].node}-{ends[0].interface}")
                by_name[hub.name] = hub
                ends = [*ends, _End(hub.name, "", item)]
            a, b = ends
            count = pairs[a.node, b.node] = pairs.get((a.node, b.node), 0) + 1
            link = Link(
                a.node,
                b.node,
                name=None if count == 1 else f"{a.node}--{b.node}-{count}",
                mtu=mtu,
                interfaces=[_named(by_name[one.node], one.interface) for one in ends],
                ipv4=_pair(by_name, known, ends, 4),
                ipv6=_pair(by_name, known, ends, 6),
            )
            self.places[link.where] = item
            found.append(link)
        return list(by_name.values()), [*found, *self.changes.links]


def _kind(one: Settings) -> str:
    return one.text("kind")


def _named(node: Node, interface: str) -> str | None:
    """The interface's name; a bridge's ports are nobody's but its own."""
    return None if isinstance(node, (Switch, OvsSwitch, Hub)) or not interface else interface


def _pair(
    nodes: dict[str, Node], known: dict[str, Known], ends: list[_End], version: int
) -> tuple[str | None, ...] | None:
    """The addresses that the plan must set: those of endpoints, and of the cluster's nodes."""
    found: list[str | None] = []
    for one in ends:
        given = one.ipv4 if version == 4 else one.ipv6
        if given is None and isinstance(nodes[one.node], KubernetesNode):
            addresses = known[one.node].addresses if one.node in known else {}
            each = addresses.get(one.interface, [])
            given = next((a for a in each if (":" in a) == (version == 6)), None)
        found.append(given)
    return tuple(found) if any(found) else None
