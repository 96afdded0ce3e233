"""The settings of a containerlab node: levels merged, and which of them count here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_kinda.readers.document import Item, Reader

APPENDED = ("binds", "exec", "cap-add")
MERGED = ("env", "sysctls")
REPLACED = (
    "cmd", "cpu", "entrypoint", "env-files", "group", "image", "kind", "memory", "ports",
    "startup-config",
)  # fmt: skip
HARMLESS = (
    "auto-remove", "certificate", "dns", "image-pull-policy", "labels", "license", "mgmt-ipv4",
    "mgmt-ipv6", "mgmt_ipv4", "mgmt_ipv6", "network-mode", "position", "restart-policy",
    "runtime", "type",
)  # fmt: skip
"""Settings that say how containerlab goes about it, not what the lab does."""
WITHOUT_EFFECT = (
    "aliases", "components", "config", "cpu-set", "devices", "enforce-startup-config", "extras",
    "healthcheck", "link-impairments", "shm-size", "stages", "startup-delay",
    "suppress-startup-config", "ulimits", "user", "wait-for",
)  # fmt: skip
"""Settings that a lab may count on and that are not carried out."""

_KNOWN = (*APPENDED, *MERGED, *REPLACED, *HARMLESS, *WITHOUT_EFFECT)
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:?[-=](?P<default>[^}]*))?\}")


@dataclass
class Settings:
    """What holds for one node; ``where`` is the part of the file for each setting."""

    name: str
    item: Item
    values: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Item] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A setting as text; empty where it is not given."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self.values.get(name)
        return [str(one) for one in value] if isinstance(value, list) else []

    def map(self, name: str) -> dict[str, str]:
        """A mapping of texts."""
        value = self.values.get(name)
        return {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else {}


class Levels:
    """``defaults``, ``kinds`` and ``groups`` of a topology file."""

    def __init__(self, reader: Reader, topology: dict[str, tuple[Item, Item]]) -> None:
        self.reader = reader
        self.notes: list[str] = []
        self._seen: set[int] = set()
        self.defaults = topology["defaults"][1] if "defaults" in topology else None
        self.kinds = self._named(topology, "kinds")
        self.groups = self._named(topology, "groups")

    def _named(self, topology: dict[str, tuple[Item, Item]], name: str) -> dict[str, Item]:
        if name not in topology or topology[name][1].value is topology[name][1].pairs is None:
            return {}
        found = self.reader.mapping(topology[name][1], name)
        return {key: item for key, (_, item) in found.items()}

    def settings(self, name: str, item: Item, key: Item) -> Settings:
        """What holds for a node: its own, else its group's, its kind's, the defaults'."""
        group = self._one(item, "group")
        if group is not None and str(group.text) not in self.groups:
            accepted = ", ".join(self.groups) or "a group under topology.groups"
            self.reader.wrong(group, f"node {name}: group", accepted)
        in_group = self.groups.get(str(group.text)) if group is not None else None
        kind = next(
            (
                found
                for level in (item, in_group, self.defaults)
                if (found := self._one(level, "kind"))
            ),
            None,
        )
        of_kind = self.kinds.get(str(kind.text)) if kind is not None else None
        settings = Settings(name, key)
        for level in (self.defaults, of_kind, in_group, item):
            if level is not None:
                self._lay(settings, level)
        return settings

    def _one(self, level: Item | None, name: str) -> Item | None:
        if level is None or level.pairs is None:
            return None
        return next((value for key, value in level.pairs if key.text == name), None)

    def _lay(self, settings: Settings, level: Item) -> None:
        """Put a level's settings over those of the levels beneath it."""
        if level.pairs is None:
            if level.value is not None:
                self.reader.wrong(level, f"node {settings.name}", "a mapping")
            return
        for key, value in level.pairs:
            name, plain = str(key.text), value.plain()
            if name not in _KNOWN:
                self._unknown(key, settings.name)
                continue
            if name in WITHOUT_EFFECT:
                self._note(key, f"{name} has no effect")
            before = settings.values.get(name)
            if name in APPENDED and isinstance(before, list) and isinstance(plain, list):
                plain = before + plain
            elif name in MERGED and isinstance(before, dict) and isinstance(plain, dict):
                plain = before | plain
            settings.values[name] = plain
            settings.where[name] = value

    def _unknown(self, key: Item, node: str) -> None:
        if id(key) not in self._seen:
            self._seen.add(id(key))
            near = difflib.get_close_matches(str(key.text), _KNOWN, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.reader.wrong(key, f"node {node}", f"a setting of containerlab's nodes{hint}")

    def _note(self, key: Item, text: str) -> None:
        if id(key) not in self._seen:
            self._seen.add(id(key))
            self.notes.append(f"{self.reader.place(key)}: {text}")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``${NAME}``, ``${NAME:-DEFAULT}`` and ``${NAME:=DEFAULT}``, as containerlab fills them in."""
    return _VARIABLE.sub(
        lambda match: environment.get(match["name"]) or match["default"] or "", text
    )


def environment_files(directory: Path, names: list[str]) -> dict[str, str]:
    """The variables of ``env-files``. Raises OSError."""
    found: dict[str, str] = {}
    for name in names:
        for line in (directory / name).read_text(encoding="utf-8").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                found[key.strip()] = value.strip().strip("\"'")
    return found
