"""The command ``kinda``: what stands, how to enter it, how to remove it."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process."""
    from pytest_kinda.cli.commands import kinda

    kinda()
