"""How a scheduler under test has ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Death:
    """How a scheduler has ended, and what it logged last."""

    how: str
    log: str
