"""What a test holds: nodes, links, the cluster, captures and faults of a testbed that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kinda.testbed.testbed import Testbed

__all__ = ["Testbed"]


def __getattr__(name: str) -> Any:
    # Late, so that a device kind's module may import testbed.devices without all the rest.
    if name == "Testbed":
        from pytest_kinda.testbed.testbed import Testbed

        return Testbed
    raise AttributeError(name)
