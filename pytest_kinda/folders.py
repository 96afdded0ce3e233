"""Where what is downloaded and built is kept, by the XDG rules."""

from __future__ import annotations

import os
from pathlib import Path


def cache(*parts: str) -> Path:
    """A directory of our cache (``$XDG_CACHE_HOME/pytest-kinda/...``), made if it is missing."""
    return _made("XDG_CACHE_HOME", ".cache", parts)


def state(*parts: str) -> Path:
    """A directory of our state (``$XDG_STATE_HOME/pytest-kinda/...``), made if it is missing."""
    return _made("XDG_STATE_HOME", ".local/state", parts)


def programs() -> Path:
    """Where kind and kubectl are put when the machine has none: beside our cache."""
    return cache("bin")


def _made(variable: str, default: str, parts: tuple[str, ...]) -> Path:
    base = os.environ.get(variable)
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / default
    folder = root.joinpath("pytest-kinda", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
