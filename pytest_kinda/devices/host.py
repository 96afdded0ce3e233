"""A host: a machine beside the cluster, such as a client of its services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pytest_kinda.devices.device import Device


@dataclass(frozen=True, repr=False)
class Host(Device):
    """A machine that sends and receives, and forwards nothing.

    >>> Host("h1")
    Host(name='h1')
    """

    kind: ClassVar[str] = "host"
