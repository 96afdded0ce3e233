"""A testbed that stands: what a build hands over, and what another process can open."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from pytest_kinda.build.execution import ContainerExecution, Execution
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.errors import UnknownNameError
from pytest_kinda.operations import Place
from pytest_kinda.plan.values import Plan


@dataclass(eq=False)
class Standing:
    """Everything that handles need to act on a testbed.

    ``places`` and ``containers`` (ids) are keyed by declared node name; both change when a
    container is started again. ``kubeconfig`` is ``None`` where the plan has no cluster.
    ``keeper`` connects when it is first asked for.

    Example:
        ``standing.execution("r1").run(["ip", "route"]).stdout``
    """

    id: str
    directory: Path
    plan: Plan = field(repr=False)
    places: dict[str, Place] = field(repr=False)
    containers: dict[str, str]
    kubeconfig: Path | None
    connect: Callable[[], KeeperClient] = field(repr=False)
    _keeper: KeeperClient | None = field(default=None, repr=False)

    @property
    def has_data_path(self) -> bool:
        """Whether there are machines, links and packets; a lab has none."""
        return True

    def need_data_path(self, what: str) -> None:
        """Raise LabError where there is no data path; ``what`` would need one, in words."""

    @property
    def keeper(self) -> KeeperClient:
        """The keeper's client. Raises HostError if the keeper is gone."""
        if self._keeper is None:
            self._keeper = self.connect()
        return self._keeper

    def open_socket(self, node: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket of this process in the network of a node. Raises GoneError, HostError."""
        return self.keeper.open_socket(node, family, kind, protocol, places=self.places)

    def execution(self, node: str) -> Execution:
        """How commands run on a node. Raises UnknownNameError, LabError."""
        self.need_data_path(f"a command on {node}")
        if node not in self.containers:
            near = get_close_matches(node, self.containers, 3, 0.5)
            raise UnknownNameError(
                f"testbed {self.id} has no node {node!r}; it has {', '.join(self.containers)}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "",
            )
        return ContainerExecution(self.containers[node], node)
