"""Plain Kubernetes objects: how they are begun, told apart and put together."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kinda.errors import FactsError

Object = dict[str, Any]

CHECKED = "pytest-kinda/crd"
"""Annotation that names the Go module whose CRD this form was validated against, or says none."""

DIKTYO = "sigs.k8s.io/scheduler-plugins@v0.34.7"
VOLCANO = "types of volcano.sh/apis@v1.13.0, which carries no CRD of it"
KUEUE = "sigs.k8s.io/kueue@v0.14.8"
KAI = "github.com/NVIDIA/KAI-scheduler@v0.12.0"
KOORDINATOR = "github.com/koordinator-sh/koordinator@v1.7.0"
UNCHECKED = "unvalidated: no Go module carries this CRD"

_NAME = re.compile(r"[^a-z0-9.-]+")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def custom(
    api_version: str, kind: str, name: str, checked: str, namespace: str = "", **rest: Any
) -> Object:
    """A custom resource that says what its form was validated against."""
    metadata: Object = {"name": name, "annotations": {CHECKED: checked}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def node(name: str, labels: Mapping[str, str]) -> Object:
    """A node with nothing but labels, to be applied to the one that is there."""
    for key, value in labels.items():
        if not _LABEL.fullmatch(value):
            raise FactsError(
                f"node {name}: found the value {value!r} for label {key}; expected at most 63 "
                "letters, digits, '-', '_' or '.', and a letter or digit at each end"
            )
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels)},
    }


def object_name(*parts: str) -> str:
    """A name that an object may have, from names that devices have."""
    found = _NAME.sub("-", "-".join(parts).lower()).strip(".-")
    if not found or len(found) > 63:
        raise FactsError(f"found {found!r} for an object's name; expected 1 to 63 characters")
    return found


def identity(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What makes an object one and the same."""
    metadata = one["metadata"]
    return one["apiVersion"], one["kind"], metadata.get("namespace", ""), metadata["name"]


def joined(objects: Iterable[Mapping[str, Any]]) -> list[Object]:
    """Each object once: several forms that label the same nodes are put together.

    Raises FactsError where two want different values in one place.
    """
    found: dict[tuple[str, str, str, str], Object] = {}
    for one in objects:
        key = identity(one)
        if key in found:
            _merge(found[key], one, f"{key[1]} {key[3]}")
        else:
            found[key] = copy.deepcopy(dict(one))
    return list(found.values())


def _merge(into: Object, more: Mapping[str, Any], where: str) -> None:
    for key, value in more.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            _merge(old, value, f"{where}: {key}")
        elif key in into and old != value:
            raise FactsError(
                f"{where}: {key} is to be {old!r} and {value!r}",
                remedy="one meaning of a zone for all forms that are applied together",
            )
        else:
            into[key] = copy.deepcopy(value)
