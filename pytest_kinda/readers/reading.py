"""From a YAML or JSON file to a topology, with line and column of every mistake."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_kinda.devices import Command, P4Nic
from pytest_kinda.errors import Problem, TopologyError
from pytest_kinda.readers.document import Item, Reader, load
from pytest_kinda.readers.kinds import Field, fields_of, kinds
from pytest_kinda.topology import Link, Node, Topology
from pytest_kinda.topology.declared import declared_in
from pytest_kinda.units import SHAPE_FIELDS

CARD_FIELDS = frozenset(
    one.name for one in dataclasses.fields(P4Nic) if one.init and one.name[0] != "_"
)
LINK_FIELDS = frozenset(Link.__init__.__kwdefaults__ or {})


def read(path: str | Path) -> Topology:
    """The topology of a YAML or JSON file; files it names are relative to it.

    A ``lab.conf`` is read as Kathara's, a ``*.clab.yml`` as containerlab's.
    Raises TopologyError whose problems name file, line and column.
    """
    path = Path(path)
    if path.name == "lab.conf":
        return Topology.from_kathara(path.resolve())
    if path.name.endswith((".clab.yml", ".clab.yaml")):
        return Topology.from_containerlab(path.resolve())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(str(path), "", str(error), "a text file that can be read")
        raise TopologyError(str(path), [problem]) from None
    return parse(text, source=str(path), directory=path.resolve().parent)


def parse(
    text: str, *, source: str = "<text>", directory: Path | None = None, name: str = ""
) -> Topology:
    """The topology of a YAML or JSON text. ``directory`` is what its file names are relative to.

    >>> parse("{nodes: {h1: host, r1: router}, links: [[h1, r1]]}", name="small")
    <Topology small: 2 nodes, 1 links>
    """
    reader = Reader(source)
    with declared_in(directory or Path.cwd()):
        return _Document(reader, load(text, source), name or Path(source).stem).topology()


class _Document:
    """One file on its way to a topology; remembers where each node, link and field stands."""

    def __init__(self, reader: Reader, root: Item, name: str) -> None:
        self.reader = reader
        self.root = root
        self.name = name
        self.places: dict[tuple[str, str], Item] = {}

    def topology(self) -> Topology:
        parts = self.reader.mapping(self.root, "")
        self._unknown(parts, ("name", "nodes", "links", "$schema"), "the topology")
        if "name" in parts:
            self.name = self._text(parts["name"][1], "name")
        self.places[f"topology {self.name!r}", ""] = self.root
        for field, (key, _) in parts.items():
            self.places[f"topology {self.name!r}", field] = key
        if "nodes" not in parts:
            self.reader.wrong(self.root, "nodes", "a mapping of names to nodes", "none")
        nodes = list(self._nodes(parts["nodes"][1])) if "nodes" in parts else []
        links = list(self._links(parts["links"][1])) if "links" in parts else []
        self.reader.raise_if_wrong()
        try:
            return Topology(self.name, nodes, links)
        except TopologyError as error:
            raise TopologyError(
                self.reader.source, [self._placed(one) for one in error.problems]
            ) from None

    def _placed(self, problem: Problem) -> Problem:
        """The problem at the place in the file where it comes from."""
        field = problem.field.partition("[")[0].partition(".")[0]
        where = problem.where.replace("'", "")
        item = (
            self.places.get((problem.where, field))
            or self.places.get((where, field))
            or self.places.get((problem.where, ""))
            or self.places.get((where, ""))
            or self.root
        )
        what = f"{problem.where}: {problem.field}" if problem.field else problem.where
        return Problem(self.reader.place(item), what, problem.found, problem.expected)

    def _unknown(
        self, given: dict[str, tuple[Item, Item]], known: Iterable[str], what: str
    ) -> None:
        """Note keys that are not known, and take them out of ``given``."""
        accepted = sorted(known)
        for name in list(given):
            if name in accepted:
                continue
            near = difflib.get_close_matches(name, accepted, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.reader.wrong(given[name][0], what, f"one of {', '.join(accepted)}{hint}")
            del given[name]

    def _text(self, item: Item, field: str) -> str:
        if item.text is None or item.value is None:
            self.reader.wrong(item, field, "text")
            return ""
        return item.text

    # nodes

    def _nodes(self, item: Item) -> Iterable[Node]:
        for name, (key, value) in self.reader.mapping(item, "nodes").items():
            node = self._node(name, key, value)
            if node is not None:
                yield node

    def _node(self, name: str, key: Item, value: Item) -> Node | None:
        where = f"node {name}"
        self.places[where, ""] = self.places[where, "name"] = key
        if value.text is not None and value.value is not None:
            given, kind_item = {}, value
        else:
            given = self.reader.mapping(value, where)
            if "kind" not in given:
                if value.pairs is not None:
                    self.reader.wrong(key, where, f"a kind: one of {self._kinds()}", "no kind")
                return None
            kind_item = given.pop("kind")[1]
        kind = kinds().get(kind_item.text or "")
        if kind is None:
            near = difflib.get_close_matches(kind_item.text or "", list(kinds()), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.reader.wrong(kind_item, f"{where}: kind", f"one of {self._kinds()}{hint}")
            return None
        fields = fields_of(kind)
        self._unknown(given, [*fields, "kind"], where)
        arguments: dict[str, Any] = {}
        before = len(self.reader.problems)
        for field, (_, item) in given.items():
            self.places[where, field] = item
            arguments[field] = self._value(fields[field], item, f"{where}: {field}")
        if len(self.reader.problems) > before:
            return None
        return kind(name, **arguments)

    def _kinds(self) -> str:
        return ", ".join(sorted(kinds()))

    def _value(self, field: Field, item: Item, where: str) -> Any:
        if field.record and item.pairs is not None:
            return item.plain()
        if field.form == "card":
            parts = self.reader.mapping(item, where)
            self._unknown(parts, CARD_FIELDS, where)
            return P4Nic(**{key: value.plain() for key, (_, value) in parts.items()})
        if field.form == "records":
            if item.items is None or any(one.pairs is None for one in item.items):
                self.reader.wrong(item, where, "a list of mappings")
                return ()
            return tuple(one.plain() for one in item.items)
        if field.form == "choice":
            if item.value not in field.choices and item.text not in field.choices:
                accepted = ", ".join("null" if one is None else str(one) for one in field.choices)
                self.reader.wrong(item, where, f"one of {accepted}")
            return item.value if item.value in field.choices else item.text
        if field.form == "map":
            pairs = self.reader.mapping(item, where)
            # as written: YAML would make 1 and true of a label's "1" and "true"
            return {key: self._text(value, where) for key, (_, value) in pairs.items()}
        if field.form == "files":
            return self._files(item, where)
        if field.form in ("texts", "commands"):
            if field.form == "commands" or item.items is not None:
                return self._sequence(field, item, where)
            return self._text(item, where)
        if item.text is None:
            self.reader.wrong(item, where, {"flag": "true or false"}.get(field.form, field.form))
            return None
        if field.form == "text":
            # whole numbers stay numbers: bytes of memory, say
            whole = isinstance(item.value, int) and not isinstance(item.value, bool)
            return item.value if whole or item.value is None else item.text
        accepted_types: dict[str, tuple[tuple[type, ...], str]] = {
            "flag": ((bool,), "true or false"),
            "number": ((int, float), "a number"),
            "whole": ((int,), "a whole number"),
        }
        types, expected = accepted_types[field.form]
        if not isinstance(item.value, types) or (
            isinstance(item.value, bool) and bool not in types
        ):
            self.reader.wrong(item, where, expected)
        return item.value

    def _sequence(self, field: Field, item: Item, where: str) -> Any:
        if item.items is None:
            self.reader.wrong(item, where, "a list")
            return ()
        if field.form == "texts":
            return tuple(self._text(one, where) for one in item.items)
        return tuple(self._command(one, where) for one in item.items)

    def _command(self, item: Item, where: str) -> Any:
        if item.items is not None:
            return tuple(self._text(one, where) for one in item.items)
        if item.pairs is None:
            return self._text(item, where)
        parts = self.reader.mapping(item, where)
        self._unknown(parts, ("run", "check"), where)
        if "run" not in parts:
            self.reader.wrong(item, where, "run: and a command", "no run")
            return ""
        run = self._command(parts["run"][1], where)
        check = parts["check"][1].value if "check" in parts else True
        if not isinstance(check, bool):
            self.reader.wrong(parts["check"][1], where, "true or false")
        argv = run if isinstance(run, tuple) else ("sh", "-c", run)
        return Command(*argv, check=bool(check))

    def _files(self, item: Item, where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for target, (_, value) in self.reader.mapping(item, where).items():
            if value.pairs is None:
                found[target] = self._text(value, where)
                continue
            parts = self.reader.mapping(value, where)
            self._unknown(parts, ("from",), where)
            if "from" not in parts:
                self.reader.wrong(value, where, "text, or from: and a file or directory")
                continue
            found[target] = Path(self._text(parts["from"][1], where))
        return found

    # links

    def _links(self, item: Item) -> Iterable[Link]:
        if item.items is None:
            self.reader.wrong(item, "links", "a list")
            return
        for one in item.items:
            link = self._link(one)
            if link is not None:
                yield link

    def _link(self, item: Item) -> Link | None:
        if item.items is not None:
            return self._ends(item, item, {})
        given = self.reader.mapping(item, "link")
        if item.pairs is None:
            return None
        if "ends" not in given:
            self.reader.wrong(item, "link", "ends: and the names of two nodes", "no ends")
            return None
        _, ends = given.pop("ends")
        self._unknown(given, [*LINK_FIELDS, "ends"], "link")
        return self._ends(item, ends, given)

    def _ends(self, item: Item, ends: Item, given: dict[str, tuple[Item, Item]]) -> Link | None:
        if ends.items is None or len(ends.items) != 2:
            self.reader.wrong(ends, "link", "the names of two nodes, such as [w1, r1]")
            return None
        a, b = (self._text(one, "link") for one in ends.items)
        arguments = {name: self._setting(name, value) for name, (_, value) in given.items()}
        link = Link(a, b, **arguments)
        self.places.setdefault((link.where, ""), item)
        self.places[link.where, "a"], self.places[link.where, "b"] = ends.items
        for name, (_, value) in given.items():
            self.places[link.where, name] = value
        return link

    def _setting(self, name: str, item: Item) -> Any:
        if name in SHAPE_FIELDS or name == "name":
            return item.text if item.value is not None else item.plain()
        if name in ("a_to_b", "b_to_a") and item.pairs is not None:
            return {str(key.text): self._setting(str(key.text), one) for key, one in item.pairs}
        if name in ("ipv4", "ipv6") and item.text is not None:
            return item.text
        return item.plain()
