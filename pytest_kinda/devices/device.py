"""A device of the virtual network: any container image, and what is put into it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import CommandSpec, DeviceSpec, FileSpec, MountSpec, ReadySpec
from pytest_kinda.topology import checks
from pytest_kinda.topology.declared import declaring_directory
from pytest_kinda.topology.frozen import EMPTY, FrozenMap
from pytest_kinda.topology.node import ForwardingRole, Node


@dataclass(frozen=True)
class Command:
    """A startup command; ``check=False`` lets the build go on where it fails."""

    argv: tuple[str, ...]
    check: bool = True

    def __init__(self, *argv: str, check: bool = True) -> None:
        object.__setattr__(self, "argv", tuple(argv))
        object.__setattr__(self, "check", check)


@dataclass(frozen=True)
class Device(Node):
    """A container in the virtual network.

    ``image`` is a reference (``@base`` is the one that setup prepares). ``files`` maps absolute
    paths in the container to their content: text, bytes, or a ``pathlib.Path`` whose file or
    directory is read now, relative to the declaring file, so that equality goes by content.
    ``mounts`` are ``SOURCE:TARGET[:ro]`` strings, ``startup_commands`` run in order when the
    interfaces have their addresses: a shell line of text, a sequence of arguments, or a
    ``Command``. ``cpus`` are cores, ``memory`` is ``"64MiB"``, ``ports`` are
    ``HOST:CONTAINER[/udp]``; ``healthcheck`` is a command that ends with 0 once it is ready.

    >>> Device("d1", image="@base", startup_commands=["echo ready"])
    Device(name='d1', startup_commands=('echo ready',))
    """

    kind: ClassVar[str] = "device"
    forwarding: ClassVar[ForwardingRole] = "end"

    _: KW_ONLY
    image: str = "@base"
    env: Mapping[str, str] = EMPTY
    files: Mapping[str, str | bytes | Path] = EMPTY
    mounts: Sequence[str] = ()
    startup_commands: Sequence[str | Sequence[str] | Command] = ()
    sysctls: Mapping[str, str] = EMPTY
    capabilities: Sequence[str] = ()
    privileged: bool = False
    cpus: float | None = None
    memory: int | str | None = None
    ports: Sequence[str] = ()
    healthcheck: Sequence[str] | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.settle_resources(self)
        object.__setattr__(self, "files", _read(self.files))
        texts = {key: str(value) for key, value in self.sysctls.items()}
        object.__setattr__(self, "sysctls", FrozenMap(texts))

    def __repr__(self) -> str:
        return checks.short_repr(self)

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this device by itself."""
        yield from super().problems()
        if not isinstance(self.image, str) or not self.image or self.image != self.image.strip():
            yield Problem(self.where, "image", repr(self.image), "an image reference")
        for path, content in self.files.items():
            if not PurePosixPath(path).is_absolute():
                yield Problem(self.where, "files", repr(path), "absolute paths in the container")
            if isinstance(content, Path):
                yield Problem(self.where, f"files[{path}]", f"{content}", "a file that can be read")
        for one in self.startup_commands:
            if not one or not isinstance(one, (str, tuple, Command)):
                yield Problem(self.where, "startup_commands", repr(one), "a command")
        yield from checks.resources(self.where, self.cpus, self.memory)
        yield from checks.mounts(self.where, self.mounts)
        yield from checks.ports(self.where, self.published)
        yield from checks.sysctls(self.where, self.sysctls)

    @property
    def published(self) -> tuple[str, ...]:
        """Its ports that are reached at ports of the machine."""
        return tuple(self.ports)

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container of this device at its place in the plan."""
        mounts = [checks.split_mount(one) for one in self.mounts]
        ready = self.healthcheck
        return DeviceSpec(
            image=self.image,
            env=dict(self.env),
            files=tuple(_file(path, content) for path, content in self.files.items()),
            mounts=tuple(MountSpec(source, target, ro) for source, target, ro in mounts),
            startup=tuple(_command(one) for one in self.startup_commands),
            sysctls=dict(self.sysctls),
            capabilities=tuple(self.capabilities),
            privileged=self.privileged,
            cpus=self.cpus,
            memory=self.memory if isinstance(self.memory, int) else None,
            ports=self.published,
            ready=(ReadySpec(_command(ready).argv, what="healthcheck"),) if ready else (),
        )


def _read(files: Mapping[str, Any]) -> FrozenMap[Any]:
    found: dict[str, Any] = {}
    for target, content in files.items():
        if not isinstance(content, Path):
            found[target] = content
            continue
        source = content if content.is_absolute() else declaring_directory() / content
        inside = sorted(source.rglob("*")) if source.is_dir() else [source]
        for one in inside:
            if one.is_dir():
                continue
            path = target if one == source else f"{target.rstrip('/')}/{one.relative_to(source)}"
            try:
                data = one.read_bytes()
            except OSError:
                found[path] = one  # problems() reports it with the other things that are wrong
                continue
            try:
                found[path] = data.decode()
            except UnicodeDecodeError:
                found[path] = data
    return FrozenMap(found)


def _file(path: str, content: Any) -> FileSpec:
    if isinstance(content, bytes):
        return FileSpec(path, base64=base64.b64encode(content).decode())
    return FileSpec(path, text=str(content))


def _command(one: str | Sequence[str] | Command) -> CommandSpec:
    if isinstance(one, Command):
        return CommandSpec(one.argv, one.check)
    if isinstance(one, str):
        # a line of the author's own topology, run by the device's shell as Kathara runs it
        return CommandSpec(("sh", "-c", one))
    return CommandSpec(tuple(one))
