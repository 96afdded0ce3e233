"""What the build needs of a keeper; ``host.client.Keeper`` is the one there is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_kinda.operations import Operation, Place


class FinishedChild(Protocol):
    """How a child process of the keeper ended."""

    @property
    def rc(self) -> int:
        """Exit status."""

    @property
    def stdout(self) -> bytes:
        """All of its output."""

    @property
    def stderr(self) -> bytes:
        """All of its error output."""


class KeeperClient(Protocol):
    """The keeper of one testbed: the only writer of its journal, the only hand on the host."""

    def record(self, entries: Sequence[Mapping[str, Any]]) -> Any:
        """Journal how to undo what is about to be made (one fsync)."""

    def note(self, **facts: Any) -> Any:
        """Journal facts of the testbed; later ones win."""

    def apply(
        self, operations: Sequence[Operation], places: Mapping[str, Place]
    ) -> tuple[int, ...]:
        """Journal and carry out; the sequence numbers. Raises HostError."""

    def rewire(
        self, node: str, operations: Sequence[Operation], places: Mapping[str, Place]
    ) -> Any:
        """Wire a node whose container has started again; its new places count from now on."""

    def places(self, known: Mapping[str, Place]) -> Mapping[str, Place]:
        """Every place as it is now: nodes that have started again have others than ``known``."""

    def restarted(self, node: str, **facts: Any) -> Any:
        """Tell what has become of a node since its container started again."""

    def restarts(self) -> Mapping[str, Mapping[str, Any]]:
        """The last restart of each node that has had one."""

    def revert(self, sequence_numbers: Sequence[int]) -> Any:
        """Undo operations carried out before."""

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        log: Path | None = None,
    ) -> FinishedChild:
        """Run a child to its end."""

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> int:
        """Start a child in a session of its own; what ``wait`` and ``kill`` know it by."""

    def tend(self, argv: Sequence[str], *, name: str, log: Path) -> Any:
        """Start a child that is started again when it ends; ``name`` says what it is."""

    def relay_open(
        self,
        name: str,
        place: str,
        port: int,
        to: Mapping[str, Any] | None,
        *,
        places: Mapping[str, Place] | None = None,
    ) -> int:
        """Lead a port of a place's loopback to a port seen from another place; the port."""

    def relay_aim(self, name: str, to: Mapping[str, Any] | None, why: str = "") -> Any:
        """Lead a relay elsewhere, or nowhere and say why."""

    def relays(self) -> Mapping[str, Mapping[str, Any]]:
        """Every relay by name, and what has become of its connections."""

    def wait(self, child: int, timeout: float = 60.0) -> int:
        """The exit status of a child. Raises HostError after ``timeout`` seconds."""

    def ended(self, child: int) -> int | None:
        """The exit status of a child; None while it runs."""

    def kill(self, child: int) -> None:
        """End a child and all of its session."""

    def open_socket(
        self,
        place: str,
        family: int,
        kind: int,
        protocol_number: int = 0,
        *,
        places: Mapping[str, Place] | None = None,
    ) -> socket.socket:
        """A new socket in the network of a place. Raises GoneError, HostError."""

    def undo(self, on_line: Callable[[str], None]) -> tuple[str, ...]:
        """Undo the testbed; what could not be removed. The keeper ends."""

    def keep(self, keep: bool) -> Any:
        """Whether the testbed outlives its owners (after a complete build only)."""
