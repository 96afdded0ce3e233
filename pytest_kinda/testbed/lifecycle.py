"""Nodes that pause, die and start again: faults of a whole container.

Whatever starts a container, the testbed's watch wires it (see ``build/watch.py``); what is here
stops and starts it, and waits until the node is back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.testbed.faults import Fault, Ledger
from pytest_kinda.testbed.nodes import NodeHandle
from pytest_kinda.testbed.returning import Expected, await_back, expected_of

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.capture import Capture

_SYSTEMD_HALT = "SIGRTMIN+3"
_CALL_LIMIT = 60.0
_PAUSE_LIMIT = 10.0
_SYSCTL_LIMIT = 5.0


class ContainerLifecycle:
    """The life of the containers that nodes are."""

    def __init__(self, standing: Standing, ledger: Ledger, captures: Sequence[Capture]) -> None:
        self._standing = standing
        self._ledger = ledger
        self._captures = captures
        self._away: dict[str, int] = {}

    @property
    def away(self) -> frozenset[str]:
        """The nodes that a fault has stopped and not brought back."""
        return frozenset(name for name, faults in self._away.items() if faults)

    def pause(self, node: NodeHandle) -> Fault:
        """Freeze all processes of a node until the fault is healed. Raises HostError."""

        def bite() -> None:
            self._act(node, "pause")

        def heal() -> None:
            if self._state(node)["Paused"]:  # else it was restarted meanwhile
                self._act(node, "unpause")
                self._await_unpaused(node)

        return self._ledger.inflict(f"node {node.name} paused", bite, heal)

    def kill(self, node: NodeHandle) -> Fault:
        """End all processes of a node at once; healing starts it again. Raises HostError."""
        others = set(self._ledger.open)
        expected = expected_of(self._standing, node)
        address = self._docker_address(node)
        return self._ledger.inflict(
            f"node {node.name} killed",
            lambda: self._stop(node, "kill"),
            lambda: self._bring_back(node, expected, others, address),
        )

    def restart(self, node: NodeHandle, *, grace: float, wait: bool) -> Fault:
        """Stop a node, with ``grace`` seconds to end by itself, and start it. Raises HostError."""
        others = set(self._ledger.open)
        expected = expected_of(self._standing, node)
        query = f"?t={max(0, round(grace))}"
        if node.planned.is_kubernetes:
            query += f"&signal={quote(_SYSTEMD_HALT)}"
        fault = self._ledger.inflict(
            f"node {node.name} restarted",
            lambda: self._stop(node, f"restart{query}", grace=grace),
            lambda: self._bring_back(node, expected, others),
        )
        if wait:
            fault.heal()
        return fault

    def _stop(self, node: NodeHandle, verb: str, *, grace: float = 0.0) -> None:
        self._away[node.name] = self._away.get(node.name, 0) + 1
        if node.planned.is_kubernetes:
            _let_go_of_peers(node)
        self._act(node, verb, grace=grace)

    def _act(self, node: NodeHandle, verb: str, *, grace: float = 0.0) -> None:
        from pytest_kinda.build.engine_api import docker_request

        container = self._standing.containers[node.name]
        docker_request("POST", f"/containers/{container}/{verb}", timeout=_CALL_LIMIT + grace)

    def _state(self, node: NodeHandle) -> Mapping[str, Any]:
        from pytest_kinda.build.engine_api import inspect

        found: Mapping[str, Any] = inspect(self._standing.containers[node.name])["State"]
        return found

    def _docker_address(self, node: NodeHandle) -> Mapping[str, str]:
        """The address that a member of etcd must have again; nothing for other nodes.

        Docker gives a container that starts the lowest that is free: of two that were dead at
        once, each might get the other's, and the members would not know each other.
        """
        from pytest_kinda.build.kind import cluster_name
        from pytest_kinda.build.nodes import docker_addresses

        controls = self._standing.plan.control_planes
        if len(controls) < 2 or node.planned not in controls:
            return {}
        return docker_addresses(
            self._standing.containers[node.name], cluster_name(self._standing.id)
        )

    def _bring_back(
        self,
        node: NodeHandle,
        expected: Expected,
        others: set[Fault],
        address: Mapping[str, str] | None = None,
    ) -> None:
        if address and not self._state(node)["Running"]:
            from pytest_kinda.build.kind import cluster_name
            from pytest_kinda.build.nodes import pin_addresses

            container = self._standing.containers[node.name]
            pin_addresses(container, cluster_name(self._standing.id), address)
        self._act(node, "start")  # one that runs is no error
        # itself apart: what was broken later may keep it from what it reached
        later = [one for one in self._ledger.open if one not in others]
        if len(later) > 1:
            expected = Expected(quiet=True)
        await_back(self._standing, node, expected)
        for capture in self._captures:
            with contextlib.suppress(KindaError):  # one that cannot any more tells so at its end
                capture.catch_up()
        self._away[node.name] -= 1

    def _await_unpaused(self, node: NodeHandle) -> None:
        """Wait until the Engine has heard of the end of a pause.

        It handles its runtime's events late: that of a short pause may come when the pause is
        over, and the Engine then refuses commands until the next event. The end of a command is an
        event behind both. Raises WaitTimeoutError.
        """
        from pytest_kinda.build.awaiting import wait_until
        from pytest_kinda.build.engine_api import EngineError
        from pytest_kinda.build.execution import ContainerExecution

        execution = ContainerExecution(self._standing.containers[node.name], node.name)

        def look() -> str:
            try:
                execution.run(["true"], timeout=_PAUSE_LIMIT)
            except EngineError as error:
                if error.status != 409:
                    raise
                return error.message
            except HostError:
                return ""  # it has no such command, and the Engine has tried: it is not paused
            return ""

        wait_until(look, f"the end of the pause of {node.name}", limit=_PAUSE_LIMIT, interval=0.05)


def _let_go_of_peers(node: NodeHandle) -> None:
    """Let the network namespace of a node go soon after its processes.

    Connections that nobody holds keep it, with its tunnel and the program on that, while they wait
    for answers that cannot come any more: 100 s by default (``tcp_orphan_retries``, tcp(7)), 1 s
    with one retry. The node has the default again when it starts, in a namespace of its own.
    """
    with contextlib.suppress(KindaError):  # a paused node runs nothing, and is stopped all the same
        node.exec(
            *("sysctl", "-q", "-w", "net.ipv4.tcp_orphan_retries=1"),
            timeout=_SYSCTL_LIMIT,
            check=False,
        )
