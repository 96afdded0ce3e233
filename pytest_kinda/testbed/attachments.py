"""What handles act through: a testbed's containers and its keeper, asked anew at each act.

A container that has been restarted has other namespaces; nothing here keeps what may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kinda.operations import Operation

if TYPE_CHECKING:
    from pytest_kinda.build.sessions import ContainerSession
    from pytest_kinda.build.standing import Standing


class NodeExecution:
    """Commands on a node; its container is looked up each time, since it may be another one."""

    def __init__(self, standing: Standing, node: str) -> None:
        self._standing = standing
        self._node = node

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
    ) -> ContainerSession:
        """Begin a command; its streams and its end. Raises HostError."""
        from pytest_kinda.build.sessions import ContainerSession

        self._standing.need_data_path(f"a command on {self._node}")
        container = self._standing.containers[self._node]
        return ContainerSession(container, argv, stdin=stdin, env=env, workdir=workdir)


class Applier:
    """Host operations on the testbed's nodes, by the keeper."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def apply(self, operations: Sequence[Operation]) -> tuple[int, ...]:
        """Journal and carry out; the journal's numbers. Raises HostError."""
        return self._standing.keeper.apply(operations, self._standing.places)

    def settled(self, numbers: Sequence[int]) -> None:
        """Journal that these need no undo any more. Raises HostError."""
        if numbers:
            keeper: Any = self._standing.keeper
            keeper.undone(numbers)


class Capturer:
    """The keeper's captures, by the names of nodes."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def capture_start(
        self,
        name: str,
        points: Sequence[tuple[str, str]],
        expression: str,
        path: Path,
        snaplen: int,
    ) -> str:
        """Begin a capture; its id. Raises CaptureError, HostError."""
        keeper: Any = self._standing.keeper
        places = self._standing.places
        return str(keeper.capture_start(name, points, expression, path, snaplen, places=places))

    def capture_flush(self, identity: str) -> Mapping[str, Any]:
        """Have all that came until now in the file; the counters."""
        keeper: Any = self._standing.keeper
        found: Mapping[str, Any] = keeper.capture_flush(identity)
        return found

    def capture_stop(self, identity: str) -> Mapping[str, Any]:
        """End a capture; the counters."""
        keeper: Any = self._standing.keeper
        found: Mapping[str, Any] = keeper.capture_stop(identity)
        return found
