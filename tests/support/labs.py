"""Where labs to read are: our own small ones, and public ones that are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

OWN = Path(__file__).resolve().parent.parent / "data"


def public_labs() -> Path | None:
    """The directory of public labs: named by KINDA_PUBLIC_LABS, or beside the project."""
    named = os.environ.get("KINDA_PUBLIC_LABS")
    if named:
        return Path(named)
    for above in Path(__file__).resolve().parents:
        for found in (above / "public-labs", above / "shared" / "public-labs"):
            if found.is_dir():
                return found
    return None


def labs(kind: str, mark: str) -> list[object]:
    """The directories of a kind's labs that hold a file of that name, as test parameters.

    Public ones that are not here are one parameter that skips.
    """
    found: list[object] = [
        pytest.param(one.parent, id=one.parent.name) for one in sorted(OWN.glob(f"{kind}/*/{mark}"))
    ]
    public = public_labs()
    if public is None:
        skip = pytest.mark.skip(reason="no public labs here (KINDA_PUBLIC_LABS)")
        return [*found, pytest.param(None, id="public", marks=skip)]
    return found + [
        pytest.param(one.parent, id=f"public-{one.parent.name}")
        for one in sorted(public.glob(f"{kind}/*/{mark}"))
    ]
