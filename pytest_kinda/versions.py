"""What takes part, by the versions that are installed."""

from __future__ import annotations

from importlib import metadata


def version_of(distribution: str) -> str:
    """The version of an installed distribution; empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
