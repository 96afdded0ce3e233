"""The cluster of a containerlab file: one ``k8s-kind`` node and kind's names for its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from pytest_kinda.readers.containerlab_nodes import Settings
from pytest_kinda.readers.document import Reader
from pytest_kinda.topology import ControlPlane, KubernetesNode, Worker


def cluster_nodes(
    reader: Reader, directory: Path, given: Sequence[Settings]
) -> dict[str, KubernetesNode]:
    """The nodes of the one cluster, by the names that kind gives them.

    ``given`` are the file's nodes of kind ``k8s-kind``; more than one, and a configuration of
    kind's that cannot be read, are noted at the reader.
    """
    for one in given[1:]:
        reader.wrong(
            one.where.get("kind", one.item),
            f"node {one.name}",
            f"one k8s-kind node: {given[0].name} is there, and a topology has one cluster"
            " (without=[...] leaves nodes out)",
            "kind k8s-kind",
        )
    if not given:
        return {}
    roles = ["control-plane"]
    labels: list[dict[str, str]] = [{}]
    configuration = given[0].text("startup-config")
    if configuration:
        try:
            data = yaml.safe_load((directory / configuration).read_text(encoding="utf-8"))
            listed = data.get("nodes") or [{}]
            roles = [str(one.get("role", "control-plane")) for one in listed]
            labels = [{k: str(v) for k, v in one.get("labels", {}).items()} for one in listed]
        except (OSError, yaml.YAMLError, AttributeError) as error:
            reader.wrong(
                given[0].where["startup-config"],
                f"node {given[0].name}: startup-config",
                "a kind configuration",
                str(error),
            )
    found: dict[str, KubernetesNode] = {}
    for role, each in zip(roles, labels, strict=True):
        number = roles[: len(found)].count(role) + 1
        name = f"{given[0].name}-{role}{number if number > 1 else ''}"
        found[name] = (Worker if role == "worker" else ControlPlane)(name, labels=each)
    return found
