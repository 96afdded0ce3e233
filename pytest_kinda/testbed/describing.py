"""``kinda.describe()``: what a controller needs to know of what stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kinda.description import Description, describe

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing


def describe_standing(standing: Standing) -> Description:
    """The description of a testbed, its containers and control addresses as they are now.

    Raises HostError where its keeper is gone.
    """
    from pytest_kinda.testbed.p4runtime import running

    where = standing.kubeconfig
    server = running(standing)
    return describe(
        standing.plan,
        places=standing.keeper.places(standing.places),
        testbed={
            "id": standing.id,
            "directory": str(standing.directory),
            "kubeconfig": str(where) if where else None,
        },
        api=_server(where) if where else None,
        p4runtime=(server.address, server.devices) if server else None,
    )


def _server(kubeconfig: Path) -> str | None:
    import yaml

    found = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    server = found["clusters"][0]["cluster"].get("server")
    return str(server) if server else None
