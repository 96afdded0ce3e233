"""What is told to schedulers fits the CRDs that they publish, taken from their Go modules.

Slow: the modules are downloaded (once: Go keeps them), 5 of them.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from pytest_kinda.scheduling import app_group, network_facts
from pytest_kinda.scheduling.objects import CHECKED, DIKTYO, KAI, KOORDINATOR, KUEUE, VOLCANO
from tests.support.crds import definitions, module
from tests.unit.test_network_facts import SPINES

pytestmark = [pytest.mark.slow, pytest.mark.beside]

FACTS = network_facts(SPINES)
LEVELS = ["leaf", "fabric"]
OBJECTS: list[dict[str, Any]] = [
    one
    for form, options in (
        ("diktyo", {"zone": "node"}),
        ("kueue", {"levels": LEVELS}),
        ("kai", {"levels": LEVELS}),
        ("koordinator", {"levels": LEVELS}),
    )
    for one in FACTS.render(form, **options)
    if one["kind"] != "Node"
]
OBJECTS.append(app_group("shop", [("web", "cart", {"max_cost": 50, "bandwidth": "10M"})]))


def strict(schema: Any) -> Any:
    """The schema with what it does not name refused, where the API server would drop it."""
    if isinstance(schema, dict):
        found = {key: strict(value) for key, value in schema.items()}
        known = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & {*schema}
        if isinstance(schema.get("properties"), dict) and not known:
            found["additionalProperties"] = False
        return found
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


def schema_of(made: dict[str, Any], name: str) -> dict[str, Any]:
    group, _, version = made["apiVersion"].partition("/")
    crd = definitions(name)[group, made["kind"]]
    namespaced = crd["spec"]["scope"] == "Namespaced"
    assert ("namespace" in made["metadata"]) == namespaced
    (found,) = [one for one in crd["spec"]["versions"] if one["name"] == version and one["served"]]
    schema: dict[str, Any] = strict(found["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize(
    "made", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_the_form_fits_the_real_crd(made: dict[str, Any]) -> None:
    name = made["metadata"]["annotations"][CHECKED]
    assert name in (DIKTYO, KUEUE, KAI, KOORDINATOR)
    schema = schema_of(made, name)
    jsonschema.Draft202012Validator(schema).validate(made)
    # and the check is one: a field that is not there is refused
    with pytest.raises(jsonschema.ValidationError, match="costlist"):
        jsonschema.Draft202012Validator(schema).validate(
            {**made, "spec": {**made["spec"], "costlist": []}}
        )


def structures(text: str) -> dict[str, dict[str, str]]:
    """The types of the JSON fields of Go structures, by structure."""
    found: dict[str, dict[str, str]] = {}
    for name, body in re.findall(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
        fields = re.findall(r'^\s*\w+\s+(\S+)\s+`json:"(\w+)', body, re.M)
        found[name] = {key: kind for kind, key in fields}
    return found


def check_type(value: Any, kind: str, known: dict[str, dict[str, str]], where: str) -> None:
    kind = kind.lstrip("*")
    if kind.startswith("[]"):
        assert isinstance(value, list), where
        for one in value:
            check_type(one, kind[2:], known, where)
    elif kind in known:
        for key, item in value.items():
            assert key in known[kind], f"{where}: {kind} has no {key}"
            check_type(item, known[kind][key], known, f"{where}.{key}")
    else:
        assert isinstance(value, int if kind == "int" else str), f"{where}: {kind}"


def test_hypernodes_fit_the_types_of_volcano() -> None:
    name = VOLCANO.removeprefix("types of ").partition(",")[0]
    path = module(name) / "pkg/apis/topology/v1alpha1/hypernode_types.go"
    known = structures(path.read_text())
    made = FACTS.render("volcano", levels=LEVELS)
    for one in made:
        check_type(one["spec"], "HyperNodeSpec", known, one["metadata"]["name"])
    with pytest.raises(AssertionError, match="HyperNodeSpec has no tiers"):
        check_type({"tiers": 1}, "HyperNodeSpec", known, "a test")


def test_expressions_of_the_api_server_hold_too() -> None:
    """Rules in CEL, which JSON Schema does not know: those that Kueue and KAI have on levels."""
    for made in OBJECTS:
        if made["kind"] != "Topology":
            continue
        keys = [one["nodeLabel"] for one in made["spec"]["levels"]]
        assert len({*keys}) == len(keys) <= 8
        assert keys[-1] == "kubernetes.io/hostname"
