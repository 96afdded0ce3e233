"""The kinds of node that a file may name: the built-in ones and those of installed packages."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Union

from pytest_kinda.devices import (
    Command,
    Device,
    Host,
    Hub,
    LabDevice,
    OvsSwitch,
    P4Switch,
    Router,
    Switch,
)
from pytest_kinda.errors import KindaError
from pytest_kinda.topology import ControlPlane, Node, Worker
from pytest_kinda.topology.node import Card

GROUP = "pytest_kinda.devices"
_BUILT_IN: tuple[type[Node], ...] = (
    ControlPlane,
    Worker,
    Router,
    Switch,
    OvsSwitch,
    P4Switch,
    Hub,
    Host,
    Device,
    LabDevice,
)

Form = Literal[
    "text",
    "number",
    "whole",
    "flag",
    "choice",
    "texts",
    "map",
    "files",
    "commands",
    "records",
    "card",
]


@dataclasses.dataclass(frozen=True)
class Field:
    """How a field of a kind is written: its form, and the accepted words of a choice.

    ``record``: a mapping of a value's fields does in place of a word.
    """

    name: str
    form: Form
    choices: tuple[Any, ...] = ()
    record: bool = False


@cache
def kinds() -> dict[str, type[Node]]:
    """Every kind by the name that files use. Raises KindaError for a broken plug-in."""
    found = {one.kind: one for one in _BUILT_IN}
    for entry in metadata.entry_points(group=GROUP):
        try:
            kind = entry.load()
        except (ImportError, AttributeError) as error:
            raise KindaError(
                f"device kind {entry.name} ({entry.value}) cannot be loaded: {error}",
                remedy="repair or uninstall the package that declares it",
            ) from error
        if entry.name not in found:
            found[entry.name] = kind
    return found


def fields_of(kind: Any) -> dict[str, Field]:
    """The fields that a file may give a node of that kind, by name."""
    hints = typing.get_type_hints(kind)
    found: dict[str, Field] = {}
    for one in dataclasses.fields(kind):
        if one.name != "name" and one.init and not one.name.startswith("_"):
            found[one.name] = _field(one.name, hints[one.name])
    return found


def _field(name: str, hint: Any) -> Field:
    options = [hint]
    if typing.get_origin(hint) in (Union, types.UnionType):
        options = [one for one in typing.get_args(hint) if one is not type(None)]
    origins = [typing.get_origin(one) for one in options]
    if Literal in origins:
        literal = options[origins.index(Literal)]
        optional = (None,) if type(None) in typing.get_args(hint) else ()
        record = any(dataclasses.is_dataclass(one) for one in options)
        return Field(name, "choice", typing.get_args(literal) + optional, record)
    if collections.abc.Mapping in origins:
        of = typing.get_args(options[origins.index(collections.abc.Mapping)])[1]
        return Field(name, "files" if Path in typing.get_args(of) else "map")
    if collections.abc.Sequence in origins:
        of = typing.get_args(options[origins.index(collections.abc.Sequence)])[0]
        if of is str:
            return Field(name, "texts")
        return Field(name, "commands" if Command in typing.get_args(of) else "records")
    if Card in options:
        return Field(name, "card")
    if bool in options:
        return Field(name, "flag")
    if str in options:
        return Field(name, "text")
    return Field(name, "number" if float in options else "whole")
