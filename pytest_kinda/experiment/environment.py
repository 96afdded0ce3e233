"""What a testbed is, as far as rows tell it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology


def of_declaration(topology: Topology, options: PlanOptions) -> dict[str, Any]:
    """Fields of a row that are known before anything is built."""
    from pytest_kinda.plan import signature
    from pytest_kinda.plan.values import PlanOptions

    chosen = {
        one.name: getattr(options, one.name) for one in fields(options) if one.name != "engine"
    }
    default = PlanOptions()
    told = [f"{name}={value}" for name, value in chosen.items() if value != getattr(default, name)]
    return {
        "topology": topology.name,
        "topology_hash": signature(topology, default),
        "options": " ".join(sorted(told)),
        "engine": options.engine,
    }


def of_testbed(testbed: Any) -> dict[str, Any]:
    """Fields of a row that only a testbed knows; one of another package may know fewer.

    Raises ClusterError.
    """
    found: dict[str, Any] = {"testbed": str(getattr(testbed, "id", "")) or None}
    if not getattr(getattr(testbed, "standing", None), "has_data_path", True):
        found["engine"] = "lab"
    if getattr(getattr(testbed, "plan", None), "cluster", None) is not None:
        found["kubernetes"] = str(testbed.cluster.api.get("/version")["gitVersion"])
        found["scheduler"] = "default-scheduler"
    return found
