"""From a topology back to YAML that reads to an equal one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import yaml

from pytest_kinda.devices import Command
from pytest_kinda.errors import KindaError
from pytest_kinda.readers.kinds import fields_of, kinds
from pytest_kinda.topology import Link, Node, Topology
from pytest_kinda.units import Size, format_size


def to_data(topology: Topology) -> dict[str, Any]:
    """The topology as plain data: what a file of it holds.

    Raises KindaError for what a file cannot say: a kind that is not registered, or files of bytes.
    """
    found: dict[str, Any] = {"name": topology.name}
    found["nodes"] = {one.name: _node(one) for one in topology.nodes}
    if topology.links:
        found["links"] = [_link(one) for one in topology.links]
    return found


def to_yaml(topology: Topology) -> str:
    """The topology as a YAML file. Raises KindaError as ``to_data`` does."""
    return str(yaml.dump(to_data(topology), Dumper=_Dumper, sort_keys=False, width=100))


class _Dumper(yaml.SafeDumper):
    """Links on a line each; text of several lines as a block."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _FlowList(list[Any]):
    """A list that is written on one line."""


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True),
)
_Dumper.add_representer(
    _FlowList,
    lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True),
)
_Dumper.add_representer(
    str,
    lambda dumper, data: dumper.represent_scalar(
        "tag:yaml.org,2002:str", data, style="|" if "\n" in data else None
    ),
)


def _node(node: Node) -> Any:
    kind = next((name for name, one in kinds().items() if one is type(node)), None)
    if kind is None:
        raise KindaError(
            f"{node.where}: its kind {type(node).__name__} is not registered",
            remedy="declare it as an entry point of the group pytest_kinda.devices",
        )
    found: dict[str, Any] = {"kind": kind}
    fields = fields_of(type(node))
    for one in dataclasses.fields(node):
        value = getattr(node, one.name)
        if one.name in fields and value != one.default:
            found[one.name] = _value(node, one.name, value)
    return kind if len(found) == 1 else found


def _value(node: Node, name: str, value: Any) -> Any:
    if isinstance(value, Size):
        return format_size(value)
    if isinstance(value, Mapping):
        if any(isinstance(one, bytes) for one in value.values()):
            raise KindaError(
                f"{node.where}: {name} holds bytes, which a text file cannot",
                remedy="keep the file beside the topology and name it with from:",
            )
        return dict(value)
    if isinstance(value, tuple):
        return [_value(node, name, one) for one in value]
    if isinstance(value, Command):
        found: dict[str, Any] = {"run": _FlowList(value.argv)}
        return found if value.check else found | {"check": False}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: _value(node, one.name, getattr(value, one.name))
            for one in dataclasses.fields(value)
            if one.init and getattr(value, one.name) != one.default
        }
    return value


def _link(link: Link) -> Any:
    arguments = link.arguments()
    ends = _FlowList(link.ends)
    if not arguments:
        return ends
    plain = {
        name: _FlowList(value) if isinstance(value, list) else value
        for name, value in arguments.items()
    }
    return _Flow({"ends": ends} | plain)
