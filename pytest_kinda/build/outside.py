"""What a build does for ``internet_via``: the uplink's Docker network, and names.

Docker makes the network's bridge, its forwarding and its address translation, whatever the
machine's policy is, and takes them away with the network.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.docker_network import make_network
from pytest_kinda.build.engine_api import containers_of
from pytest_kinda.build.execution import ContainerExecution
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.kind import cluster_name
from pytest_kinda.build.labels import CLUSTER_LABEL
from pytest_kinda.operations import AppendLines, Place, WriteFile
from pytest_kinda.plan.naming import uplink_bridge
from pytest_kinda.plan.outside import RESOLV_CONF, configure_operations
from pytest_kinda.plan.values import NodePlan, Plan

_INIT_LIMIT = 30.0


def network_name(testbed: str) -> str:
    """The Docker network that holds the machine and the device with the uplink."""
    return f"kinda-{testbed}-uplink"


def make_uplink(keeper: KeeperClient, plan: Plan, testbed: str) -> Plan:
    """Create the uplink's network; the plan with the subnet that was free.

    Raises EngineError, BuildError.
    """
    if plan.uplink is None:
        return plan
    planned, pool = plan.uplink.subnet, plan.options.docker_pool
    bridge = uplink_bridge(testbed)
    subnet = make_network(keeper, testbed, network_name(testbed), planned, pool, bridge)
    return replace(plan, uplink=replace(plan.uplink, subnet=subnet))


def cluster_hosts(plan: Plan, testbed: str) -> tuple[AppendLines, ...]:
    """The names of the cluster's containers for the nodes' /etc/hosts.

    Docker's resolver knows them too, but is not asked where the outside's name servers are.
    """
    if plan.uplink is None or not plan.uplink.nameservers or plan.cluster is None:
        return ()
    cluster = cluster_name(testbed)
    lines = []
    for one in containers_of(f"{CLUSTER_LABEL}={cluster}"):
        address = one["NetworkSettings"]["Networks"].get(cluster, {}).get("IPAddress")
        if address:
            lines.append(f"{address} {one['Names'][0].lstrip('/')}")
    # a container that has started again may have another address
    return tuple(
        AppendLines(one.name, "/etc/hosts", tuple(lines), instead=True)
        for one in plan.kubernetes_nodes
    )


def settle_names(keeper: KeeperClient, plan: Plan, node: NodePlan, place: Place) -> None:
    """Give a Kubernetes node that starts again its name servers, when nobody else writes them.

    The node image's entrypoint puts Docker's resolver into the file before it becomes init.
    """
    writing = [
        one
        for one in configure_operations(plan, node)
        if isinstance(one, WriteFile) and one.path == RESOLV_CONF
    ]
    if not writing:
        return
    execution = ContainerExecution(place.container, node.name)

    def look() -> str:
        running = execution.run(["cat", "/proc/1/comm"]).stdout.decode(errors="replace").strip()
        return "" if running == "systemd" else f"its first process is {running or 'unknown'}"

    wait_until(look, f"systemd of {node.name}", limit=_INIT_LIMIT, interval=0.1)
    keeper.apply(writing, {node.name: place})
