"""YAML and JSON as a tree that knows line and column of each of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.errors import Problem, TopologyError


@dataclass(frozen=True)
class Item:
    """A part of a document: a scalar, a list or a mapping, and where it stands.

    ``text`` is a scalar as written, ``value`` what it means in YAML; ``line`` and ``column`` count
    from 1.
    """

    line: int
    column: int
    text: str | None = None
    value: Any = None
    items: tuple[Item, ...] | None = None
    pairs: tuple[tuple[Item, Item], ...] | None = None

    @property
    def what(self) -> str:
        """What it is, for messages."""
        if self.pairs is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        return "nothing" if self.value is None and not self.text else repr(self.text)

    def plain(self) -> Any:
        """Its Python value."""
        if self.pairs is not None:
            return {str(key.text): item.plain() for key, item in self.pairs}
        if self.items is not None:
            return [one.plain() for one in self.items]
        return self.value


class Reader:
    """Collects what is wrong with one file, each with its place."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def place(self, item: Item) -> str:
        """``FILE:LINE:COLUMN`` of a part."""
        return f"{self.source}:{item.line}:{item.column}"

    def wrong(self, item: Item, field: str, expected: str, found: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(self.place(item), field, found or item.what, expected))

    def mapping(self, item: Item, field: str) -> dict[str, tuple[Item, Item]]:
        """The key and value of each entry by the key's text; notes what is no mapping."""
        if item.pairs is None:
            self.wrong(item, field, "a mapping")
            return {}
        found: dict[str, tuple[Item, Item]] = {}
        for key, value in item.pairs:
            if key.text is None:
                self.wrong(key, field, "a key of plain text")
            elif key.text in found:
                first = found[key.text][0]
                self.wrong(key, field, f"a key of its own: line {first.line} has it", key.what)
            else:
                found[key.text] = (key, value)
        return found

    def raise_if_wrong(self) -> None:
        """Raise TopologyError with all problems noted so far."""
        if self.problems:
            raise TopologyError(self.source, self.problems)


def load(text: str, source: str) -> Item:
    """The tree of one document. Raises TopologyError with line and column of what is no YAML."""
    if Path(source).suffix == ".json":
        # YAML knows JSON but for tabs between its parts
        text = "\n".join(_untab(line) for line in text.split("\n"))
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Item(1, 1)
            return _item(loader, node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        problem = Problem(place, "", str(error.problem or error), "a YAML or JSON document")
        raise TopologyError(source, [problem]) from None
    except yaml.YAMLError as error:
        problem = Problem(source, "", str(error).replace("\n", " "), "a YAML or JSON document")
        raise TopologyError(source, [problem]) from None


def _untab(line: str) -> str:
    rest = line.lstrip("\t ")
    return " " * (len(line) - len(rest)) + rest


def _item(loader: yaml.SafeLoader, node: yaml.Node, above: tuple[int, ...]) -> Item:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if id(node) in above:
        raise yaml.MarkedYAMLError(
            problem="an alias to a part that holds it", problem_mark=node.start_mark
        )
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        pairs = tuple((_item(loader, k, above), _item(loader, v, above)) for k, v in node.value)
        return Item(line, column, pairs=pairs)
    if isinstance(node, yaml.SequenceNode):
        return Item(line, column, items=tuple(_item(loader, one, above) for one in node.value))
    try:
        value = loader.construct_object(node)
    except ValueError as error:  # such as the date 2024-13-45
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None
    return Item(line, column, text=str(node.value), value=value)
