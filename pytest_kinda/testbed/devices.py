"""Devices that a test holds. Kinds with more to offer derive their own handle from this one.

This module imports neither the build nor Kubernetes, so that a kind's module may import it.
"""

from __future__ import annotations

from pytest_kinda.testbed.nodes import NodeHandle


class DeviceHandle(NodeHandle):
    """A device of the virtual network. Example::

    kinda.device("r1").exec("ip", "-j", "route").json()
    """

    @property
    def image(self) -> str:
        """The image that it was declared with; ``@base`` and the like are prepared by setup."""
        return self.planned.device.image if self.planned.device else ""
