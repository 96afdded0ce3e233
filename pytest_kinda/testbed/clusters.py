"""From a testbed that stands to the handle on its cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.plan.values import Plan
from pytest_kinda.testbed.inventory import Inventory
from pytest_kinda.testbed.nodes import KubernetesNodeHandle, addresses_of
from pytest_kinda.testbed.processes import Process
from pytest_kinda.testbed.verification import dns_addresses, service_connections, services_of

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.cluster import Cluster


def make_cluster(
    testbed: Inventory, remember: Callable[[Process], None], show: Callable[[str], None]
) -> Cluster:
    """The handle on a testbed's cluster. Raises KindaError where it has none."""
    from pytest_kinda.setup import image
    from pytest_kinda.testbed.api import Api
    from pytest_kinda.testbed.cluster import Cluster
    from pytest_kinda.testbed.kubectl import Kubectl
    from pytest_kinda.testbed.labcluster import LabCluster

    kubeconfig = testbed.kubeconfig
    if kubeconfig is None:
        raise KindaError(
            f"testbed {testbed.id} has no cluster: its topology declares no ControlPlane"
        )
    kind = Cluster if testbed.standing.has_data_path else LabCluster
    cluster: Cluster = kind(
        Api(kubeconfig),
        Kubectl(kubeconfig, lambda reads: cluster.current_namespace(make=not reads)),
        testbed.node,
        _names(testbed.plan),
        partial(image, "tools"),
        nodes=testbed.kubernetes_nodes,
        load=partial(_load_image, testbed.standing),
        remember=remember,
        show=show,
    )
    return cluster


def add_families(plan: Plan, cluster: Callable[[], Cluster]) -> None:
    """Give the DNS service its IPv6 address beside the one that kubeadm gave it.

    Nothing where the cluster has one family. Raises BuildError.
    """
    addresses = dns_addresses(plan)
    if len(addresses) < 2:
        return
    spec = {
        "ipFamilyPolicy": "PreferDualStack",
        "ipFamilies": ["IPv4", "IPv6"],
        "clusterIPs": addresses,
    }
    try:
        cluster().api.request(
            "PATCH",
            "/api/v1/namespaces/kube-system/services/kube-dns",
            body={"spec": spec},
            content_type="application/merge-patch+json",
        )
    except KindaError as error:
        raise BuildError("services", error.message, remedy=error.remedy) from error


def await_services(
    plan: Plan, nodes: Sequence[KubernetesNodeHandle], progress: Progress | None
) -> None:
    """Wait until every node has a TCP connection to the services that every cluster has.

    Raises BuildError with those that have none.
    """
    from pytest_kinda.build.awaiting import wait_until
    from pytest_kinda.build.progress import Silent, step

    services = services_of(plan)

    def look() -> str:
        found = service_connections(nodes, services)
        missing = [f"{node} to {address}" for (node, address), well in found.items() if not well]
        return f"no TCP connection from {', '.join(missing)}" if missing else ""

    if services:
        with step(progress or Silent(), "services"):
            try:
                wait_until(look, "the services", limit=60.0)
            except KindaError as error:
                raise BuildError("services", error.message, remedy=error.remedy) from error


def _names(plan: Plan) -> dict[str, str]:
    """What manifests may name in braces: nodes, and their addresses."""
    found: dict[str, str] = {}
    for one in plan.nodes:
        found[one.name] = one.name
        if addresses := addresses_of(one):
            found[f"{one.name}.ip"] = addresses[0]
        if one.endpoint6:
            found[f"{one.name}.ip6"] = one.endpoint6
    return found


def _load_image(standing: Standing, image: str, nodes: Sequence[str]) -> None:
    standing.need_data_path(f"an image in {', '.join(nodes)}")
    from pytest_kinda.build.images import load_image

    load_image(image, {name: standing.containers[name] for name in nodes})
