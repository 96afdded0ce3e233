"""The relays that a plan names: opened before devices start, led to pods while these run.

``python -m pytest_kinda.build.relays DIRECTORY`` is the second, a child of the keeper like the
watch: it asks the API where the pods are, and tells the keeper when one is another than before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

from pytest_kinda.build.apiserver import ApiReader
from pytest_kinda.build.catalogue import open_standing
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.errors import HostError
from pytest_kinda.operations import Place
from pytest_kinda.plan.relays import addresses_at
from pytest_kinda.plan.values import Plan, RelaySpec

FOLLOWER = "the process that leads relays to pods"
INTERVAL = 1.0
"""Seconds between two looks at a pod: a switch asks for its controller as often."""


def open_relays(keeper: KeeperClient, plan: Plan, places: Mapping[str, Place]) -> None:
    """Open what the devices of a plan are to reach. Raises HostError."""
    for name, place, one in relays_of(plan):
        to = None
        if one.node:
            addresses = addresses_at(plan.node(one.node))
            to = {"place": one.node, "addresses": addresses, "port": one.port}
        keeper.relay_open(name, place, one.listen, to, places=places)


def relays_of(plan: Plan) -> Iterator[tuple[str, str, RelaySpec]]:
    """Each relay with its name in the keeper and its device."""
    for node in plan.devices:
        for one in node.device.relays if node.device is not None else ():
            yield f"{node.name}:{one.listen}", node.name, one


class PodFollower:
    """Leads relays to pods as these come and go; ``look`` is one look at all of them."""

    def __init__(self, keeper: KeeperClient, plan: Plan, api: ApiReader) -> None:
        self._keeper = keeper
        self._api = api
        self._relays = [(name, one) for name, _, one in relays_of(plan) if one.pod]
        self._told: dict[str, tuple[Any, str]] = {}

    def look(self) -> None:
        """Tell the keeper what has changed. Raises HostError where the keeper is gone."""
        for name, one in self._relays:
            try:
                found = target_of(one, self._pods(one))
            except HostError as error:  # the API is away: the pod may be where it was
                print(error.message, flush=True)
                continue
            if self._told.get(name) != found:
                print(f"{name}: {found[0] or found[1]}", flush=True)
                self._keeper.relay_aim(name, *found)
                self._told[name] = found

    def _pods(self, one: RelaySpec) -> list[Mapping[str, Any]]:
        namespace, _, which = one.pod.partition("/")
        kind = "labelSelector" if "=" in which else "fieldSelector"
        query = which if "=" in which else f"metadata.name={which}"
        path = f"/api/v1/namespaces/{quote(namespace)}/pods?{kind}={quote(query)}"
        found: list[Mapping[str, Any]] = self._api.get(path)["items"]
        return found


def target_of(relay: RelaySpec, pods: list[Mapping[str, Any]]) -> tuple[Any, str]:
    """Where a relay leads that is to lead to one of these pods: the oldest that runs.

    The pod is reached from its node, so that no packet crosses the virtual network.

    >>> target_of(RelaySpec("controller", 1, 6653, pod="sdn/c"), [])
    (None, 'there is no pod sdn/c')
    """
    running = [
        one
        for one in sorted(pods, key=lambda one: str(one["metadata"].get("creationTimestamp")))
        if one["status"].get("phase") == "Running"
        and one["status"].get("podIP")
        and not one["metadata"].get("deletionTimestamp")
    ]
    if running:
        address, place = running[0]["status"]["podIP"], running[0]["spec"]["nodeName"]
        return {"place": place, "addresses": [address], "port": relay.port}, ""
    if not pods:
        return None, f"there is no pod {relay.pod}"
    states = ", ".join(f"{one['metadata']['name']}: {one['status'].get('phase')}" for one in pods)
    return None, f"pod {relay.pod} does not run ({states})"


def main(directory: str) -> int:
    """Follow the pods of a testbed until the keeper ends this process."""
    standing = open_standing(Path(directory))
    if standing.kubeconfig is None:
        return 1
    follower = PodFollower(standing.keeper, standing.plan, ApiReader(standing.kubeconfig))
    never = Event()
    while not never.wait(INTERVAL):
        follower.look()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
