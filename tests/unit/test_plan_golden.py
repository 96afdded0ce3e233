"""What plans are, written out: a change of one shows what it changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kinda.operations import encode
from pytest_kinda.plan import (
    HostFacts,
    Plan,
    PlanOptions,
    cni_operations,
    configure_operations,
    plan,
    plan_from_json,
    plan_to_json,
    start_operations,
    tunnel_operations,
    wire_operations,
)
from pytest_kinda.topology import Topology
from tests.support.declared import mixed, three_controls, triangle, way_out

GOLDEN = Path(__file__).parent / "golden"
FACTS = HostFacts(restricted=True, networks={"docker bridge": "172.17.0.0/16"})
CASES = [
    ("triangle", triangle, PlanOptions()),
    ("three-controls", three_controls, PlanOptions()),
    ("triangle-dual", triangle, PlanOptions(ip_family="dual")),
    ("mixed", mixed, PlanOptions()),
    ("mixed-direct", mixed, PlanOptions(engine="direct", tunnel="vxlan", node_ip="docker")),
    ("way-out", way_out, PlanOptions(internet_via="r1", internet_dns="192.0.2.53")),
]


def operations_of(made: Plan) -> dict[str, object]:
    found: dict[str, object] = {}
    bridges = {one.name: f"bridge of {one.name}" for one in made.segments}
    found["wire"] = [encode(one) for one in wire_operations(made, bridges, "t1")]
    for node in made.nodes:
        operations = [*configure_operations(made, node), *tunnel_operations(made, node)]
        if node.is_kubernetes:
            operations = [*start_operations(made, node), *cni_operations(made, node), *operations]
        found[node.name] = [encode(one) for one in operations]
    return found


@pytest.mark.parametrize(("name", "topology", "options"), CASES, ids=[one[0] for one in CASES])
def test_plan_is_as_written(
    name: str, topology: Callable[[], Topology], options: PlanOptions
) -> None:
    made = plan(topology(), options, FACTS)
    data = {"plan": plan_to_json(made), "operations": operations_of(made)}
    text = json.dumps(data, indent=1) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("KINDA_UPDATE_GOLDEN"):
        path.write_text(text)
    assert json.loads(text) == json.loads(path.read_text())
    assert plan_from_json(json.loads(text)["plan"]) == made
