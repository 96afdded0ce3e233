"""A network engine: who makes the devices' containers and the collision domains between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.operations import Place
from pytest_kinda.plan.values import Plan


@dataclass
class Deployed:
    """What an engine has made: container ids and places by declared node name, host bridges by
    segment name (only where segments are bridges on the host)."""

    containers: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    bridges: dict[str, str] = field(default_factory=dict)


class NetworkEngine(Protocol):
    """Makes the devices; the wiring between them, where it is not the engine's, is operations."""

    def deploy(self, plan: Plan, testbed: str, keeper: KeeperClient) -> Deployed:
        """Start every device of the plan. Raises BuildError; leaves its undo in the journal."""
