"""Devices that a test holds. Kinds with more to offer derive their own handle from this one.

This module imports neither the build nor Kubernetes, so that a kind's module may import it.
"""

from __future__ import annotations

from pkgutil import resolve_name

from pytest_kinda.errors import KindaError
from pytest_kinda.plan.values import NodePlan
from pytest_kinda.testbed.nodes import NodeHandle


class DeviceHandle(NodeHandle):
    """A device of the virtual network. Example::

    kinda.device("r1").exec("ip", "-j", "route").json()
    """

    @property
    def image(self) -> str:
        """The image that it was declared with; ``@base`` and the like are prepared by setup."""
        return self.planned.device.image if self.planned.device else ""

    def put_back(self) -> None:
        """As it was declared, after a test; a kind with a state of its own says how.

        Raises KindaError where that cannot be done.
        """

    def close(self) -> None:
        """Let go of what it holds of the device."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How its kind is carried out on this machine, in lines of text."""
        return self.planned.device.notes if self.planned.device else ()


def handle_class(planned: NodePlan) -> type[DeviceHandle]:
    """What a device is held by: the class that its kind names. Raises KindaError."""
    named = planned.device.handle if planned.device else ""
    if not named:
        return DeviceHandle
    try:
        found = resolve_name(named)
    except (ImportError, AttributeError) as error:
        raise KindaError(
            f"{planned.name}: the handle {named} of kind {planned.kind} cannot be loaded: {error}",
            remedy="install the package that has this kind, in the version that built the testbed",
        ) from error
    if not issubclass(found, DeviceHandle):
        raise KindaError(
            f"{planned.name}: the handle {named} of kind {planned.kind} is no DeviceHandle"
        )
    return found  # type: ignore[no-any-return]
