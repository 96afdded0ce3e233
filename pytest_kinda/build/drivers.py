"""What drives a device from outside of its container, where commands in it do not do."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Protocol

from pytest_kinda.build.sessions import ContainerSessions
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import NodePlan


class Driver(Protocol):
    """Drives one device; made of its plan, and of what starts commands in it."""

    def start(self) -> Sequence[str]:
        """Make it what was declared, after its start-up commands; what is worth a note.

        Raises KindaError.
        """

    def attach(self, interface: str) -> None:
        """Make a new interface of that name part of it. Raises KindaError."""


def driver_of(node: NodePlan, container: str) -> Driver | None:
    """What drives a device, None for most. Raises BuildError where it cannot be loaded."""
    named = node.device.driver if node.device is not None else ""
    if not named:
        return None
    try:
        found = resolve_name(named)
    except (ImportError, AttributeError) as error:
        raise BuildError(
            "devices",
            f"{node.name}: the driver {named} of kind {node.kind} cannot be loaded: {error}",
            remedy="install the package that has this kind, in the version that made the plan",
        ) from error
    driver: Driver = found(node, ContainerSessions(container))
    return driver
