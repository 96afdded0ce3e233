"""Nodes that stop, pause and start: faults of a whole container."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pytest_kinda.testbed.faults import Fault, Ledger

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing


class ContainerLifecycle:
    """The life of the containers that nodes are."""

    def __init__(self, standing: Standing, ledger: Ledger) -> None:
        self._standing = standing
        self._ledger = ledger

    def pause(self, node: str) -> Fault:
        """Freeze all processes of a node until the fault is healed. Raises HostError."""
        from pytest_kinda.build.engine_api import docker_request

        def act(verb: str) -> None:
            docker_request("POST", f"/containers/{self._standing.containers[node]}/{verb}")

        return self._ledger.inflict(
            f"node {node} paused", partial(act, "pause"), partial(act, "unpause")
        )
