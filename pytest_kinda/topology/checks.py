"""Checks that several kinds of node share; each yields what is wrong."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kinda import units
from pytest_kinda.errors import Problem, UnitError
from pytest_kinda.topology.declared import declaring_directory

_QUALIFIED = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_TAINT = re.compile(r"(?P<key>[^=:]+)(=(?P<value>[^:]*))?:(?P<effect>[A-Za-z]+)")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_GATE = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9]*)=(?P<on>true|false)")
_PORT = re.compile(r"(?:(?P<ip>[0-9.]+):)?(?P<host>\d+):(?P<container>\d+)(/(tcp|udp|sctp))?")
_SYSCTL = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_/-]+)+")


def short_repr(value: Any) -> str:
    """A repr that leaves fields at their default out."""
    shown = [
        f"{one.name}={getattr(value, one.name)!r}"
        for one in dataclasses.fields(value)
        if one.default is dataclasses.MISSING or getattr(value, one.name) != one.default
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


def settle_resources(node: Any) -> None:
    """Read ``memory`` once and make sources of ``mounts`` absolute; leave what cannot be read."""
    if isinstance(node.memory, str):
        try:
            object.__setattr__(node, "memory", units.parse_size(node.memory))
        except UnitError:
            pass  # problems() reports it with the other things that are wrong
    settled = []
    for one in node.mounts:
        source, colon, rest = str(one).partition(":")
        if colon and source and not source.startswith("/"):
            source = str((declaring_directory() / source).resolve())
        settled.append(f"{source}{colon}{rest}")
    object.__setattr__(node, "mounts", tuple(settled))


def labels(where: str, found: Any) -> Iterator[Problem]:
    """Kubernetes labels."""
    if not isinstance(found, Mapping):
        yield Problem(where, "labels", repr(found), "a mapping of text to text")
        return
    for key, value in found.items():
        if not isinstance(key, str) or not _QUALIFIED.fullmatch(key):
            yield Problem(where, "labels", repr(key), "a key like zone or example.org/zone")
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            yield Problem(
                where, f"labels[{key}]", repr(value), "text of at most 63 letters, digits, - _ ."
            )


def split_taint(text: str) -> tuple[str, str, str]:
    """Key, value and effect of ``KEY=VALUE:EFFECT``. Raises ValueError."""
    match = _TAINT.fullmatch(text)
    if match is None or match["effect"] not in _EFFECTS or not _QUALIFIED.fullmatch(match["key"]):
        raise ValueError(text)
    return match["key"], match["value"] or "", match["effect"]


def taints(where: str, found: Sequence[str]) -> Iterator[Problem]:
    """Kubernetes taints."""
    for one in found:
        try:
            split_taint(str(one))
        except ValueError:
            yield Problem(
                where, "taints", repr(one), f"KEY[=VALUE]:EFFECT with {', '.join(_EFFECTS)}"
            )


def split_gate(text: str) -> tuple[str, bool]:
    """Name and value of ``NAME=true`` or ``NAME=false``. Raises ValueError."""
    match = _GATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match["name"], match["on"] == "true"


def feature_gates(where: str, found: Sequence[str]) -> Iterator[Problem]:
    """Kubernetes feature gates."""
    for one in found:
        try:
            split_gate(str(one))
        except ValueError:
            yield Problem(where, "feature_gates", repr(one), "NAME=true or NAME=false")


def resources(where: str, cpus: object, memory: object) -> Iterator[Problem]:
    """Limits of a container."""
    if cpus is not None and (
        isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or cpus <= 0
    ):
        yield Problem(where, "cpus", repr(cpus), "a number of cores above 0, such as 0.5")
    if memory is not None and (
        isinstance(memory, bool) or not isinstance(memory, int) or memory < 4 * 2**20
    ):
        yield Problem(
            where,
            "memory",
            repr(memory),
            f"at least 4MiB, as a number and one of {', '.join(units.SIZES)} (or whole bytes)",
        )


def split_mount(text: str) -> tuple[str, str, bool]:
    """Source, target and whether read-only of ``SOURCE:TARGET[:ro]``. Raises ValueError."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"]):
        raise ValueError(text)
    if not parts[0] or not parts[1].startswith("/"):
        raise ValueError(text)
    return parts[0], parts[1], parts[2:] == ["ro"]


def mounts(where: str, found: Sequence[str]) -> Iterator[Problem]:
    """Bind mounts, whose sources must exist."""
    for one in found:
        try:
            source, _, _ = split_mount(str(one))
        except ValueError:
            yield Problem(where, "mounts", repr(one), "SOURCE:TARGET[:ro] with an absolute TARGET")
            continue
        if not Path(source).exists():
            yield Problem(where, "mounts", f"{source}, which does not exist", "a file or directory")


def ports(where: str, found: Sequence[str]) -> Iterator[Problem]:
    """Published ports."""
    for one in found:
        match = _PORT.fullmatch(str(one))
        if match is None or not all(0 < int(match[part]) < 65536 for part in ("host", "container")):
            yield Problem(where, "ports", repr(one), "[ADDRESS:]HOST:CONTAINER[/tcp|udp|sctp]")


def sysctls(where: str, found: Mapping[str, str]) -> Iterator[Problem]:
    """Kernel settings of a container."""
    for key in found:
        if not isinstance(key, str) or not _SYSCTL.fullmatch(key):
            yield Problem(where, "sysctls", repr(key), "a name like net.ipv4.ip_forward")
