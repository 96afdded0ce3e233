"""When a node that was stopped is back: wired, started, and reaching what it reached before.

What it must reach is asked before it is stopped, so that a device which answers nobody, or a
network that is broken on purpose, is no failure of the return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.plan.values import NodePlan, Plan
from pytest_kinda.testbed.helpers import watch_broken
from pytest_kinda.testbed.nodes import KubernetesNodeHandle, NodeHandle
from pytest_kinda.testbed.verification import service_connections, services_of

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing

WIRED_LIMIT = 180.0  # start-up commands may take 120 s
REACH_LIMIT = 60.0
READY_LIMIT = 180.0

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"
_LEADERS = ("kube-scheduler", "kube-controller-manager")


@dataclass(frozen=True)
class Expected:
    """What a node reached before it was stopped; ``quiet`` asks for nothing but its start."""

    addresses: tuple[str, ...] = ()
    quiet: bool = False


def expected_of(standing: Standing, node: NodeHandle) -> Expected:
    """The neighbours, and other nodes of the cluster, that answer a node now."""
    owners = {**neighbours(standing.plan, node.planned), **_others(standing.plan, node.planned)}
    # The kernel takes the network of a node that was killed away a little later, and answers.
    running = {name for name in {*owners.values()} if _runs(standing, name)}
    addresses = [one for one, owner in owners.items() if owner in running]
    try:
        silent = _silent(standing, node.name, addresses)
    except HostError:
        return Expected()  # it does not run
    return Expected(tuple(one for one in addresses if one not in silent))


def _runs(standing: Standing, node: str) -> bool:
    from pytest_kinda.build.engine_api import inspect

    try:
        return bool(inspect(standing.containers[node])["State"]["Running"])
    except HostError:
        return False  # its container is gone


def _silent(standing: Standing, node: str, addresses: Sequence[str]) -> list[str]:
    """Which addresses do not answer an echo from the node. Raises HostError."""
    from pytest_kinda.build.echo import Echoes

    with Echoes(standing.open_socket) as echoes:
        return echoes.ask({node: addresses})[node]


def await_back(standing: Standing, node: NodeHandle, expected: Expected) -> None:
    """Wait until a node whose container was started is what it was.

    A device is wired, its start-up commands have run and it says that it is ready; a node of the
    cluster is Ready and has connections to the services. Raises HostError with what failed,
    WaitTimeoutError with what was seen last.
    """
    from pytest_kinda.build.awaiting import wait_until
    from pytest_kinda.build.engine_api import inspect

    container = standing.containers[node.name]
    state = inspect(container)["State"]
    if not state["Running"]:
        raise HostError(
            f"{node.name} was started and has ended again, exit code {state['ExitCode']}",
            remedy=f"docker logs {container[:12]}",
        )

    watch_log = f"see watch.log in {standing.directory}"

    def wired() -> str:
        found = standing.keeper.restarts().get(node.name, {})
        if found.get("pid") != state["Pid"]:
            if broken := watch_broken(standing):
                raise HostError(
                    f"{node.name} was started and has no links: {broken}", remedy=watch_log
                )
            return "the watch has not seen its start"
        if found["state"] == "failed":
            raise HostError(f"{node.name} was started, but is not what it was: {found['why']}")
        accepted = ("ready", "started", "unready") if expected.quiet else ("ready",)
        return "" if found["state"] in accepted else f"{found['state']} {found.get('why', '')}"

    def reaching() -> str:
        silent = _silent(standing, node.name, expected.addresses)
        return f"no answer from {', '.join(silent)}" if silent else ""

    wait_until(wired, f"the return of {node.name}", limit=WIRED_LIMIT, remedy=watch_log)
    if not expected.quiet:
        wait_until(
            reaching, f"{node.name} to reach its neighbours", limit=REACH_LIMIT, remedy=watch_log
        )
        if isinstance(node, KubernetesNodeHandle):
            _await_cluster_node(standing, node, str(state["StartedAt"]))


def _await_cluster_node(standing: Standing, node: KubernetesNodeHandle, since: str) -> None:
    from pytest_kinda.build.apiserver import ApiReader
    from pytest_kinda.build.awaiting import wait_until

    assert standing.kubeconfig is not None
    reader = ApiReader(standing.kubeconfig)
    cluster = standing.plan.cluster
    bare = cluster is not None and cluster.cni == "none"

    def ready() -> str:
        try:
            status = reader.get(f"/api/v1/nodes/{node.name}")["status"]
        except HostError as error:
            return error.message
        return unready(status, since, reported_only=bare)

    def serving() -> str:
        try:
            found = service_connections([node], services_of(standing.plan))
        except KindaError as error:
            return error.message
        missing = [address for (_, address), well in found.items() if not well]
        return f"no TCP connection to {', '.join(missing)}" if missing else ""

    def leading() -> str:
        try:
            idle = [name for name in _LEADERS if not _led(reader.get(_LEASES + name), since)]
        except HostError as error:
            return error.message
        return f"{' and '.join(idle)} do not work yet" if idle else ""

    try:
        wait_until(ready, f"node {node.name} to be Ready", limit=READY_LIMIT, interval=0.25)
        wait_until(serving, f"services on {node.name}", limit=REACH_LIMIT, interval=0.25)
        if node.is_control_plane:
            # the lease of the one that ended runs out first
            wait_until(leading, "the control plane to work", limit=REACH_LIMIT, interval=0.25)
    finally:
        reader.close()


def _led(lease: Any, since: str) -> bool:
    """Whether a lease has been renewed since a moment."""
    return str(lease["spec"].get("renewTime"))[:19] >= since[:19]


def unready(status: Any, since: str, *, reported_only: bool = False) -> str:
    """Why a node is not Ready since a moment, in words; empty if it is.

    ``since`` is a time as Docker writes it. The API says "Ready" for most of a minute about a node
    that is no more, so that only what its kubelet has reported since then counts.
    """
    for one in status.get("conditions") or ():
        if one["type"] == "Ready":
            if str(one["lastHeartbeatTime"])[:19] < since[:19]:
                return f"its kubelet has reported nothing since {since[:19]}"
            if one["status"] == "True" or reported_only:
                return ""
            return str(one.get("message") or one.get("reason") or "not Ready")
    return "its kubelet has reported nothing"


def neighbours(plan: Plan, node: NodePlan) -> dict[str, str]:
    """The addresses at the other ends of a node's links, and whose they are."""
    return {
        address.partition("/")[0]: name
        for one in node.interfaces
        for name in one.peers
        for other in plan.node(name).interfaces
        if other.segment == one.segment
        for address in other.addresses
    }


def _others(plan: Plan, node: NodePlan) -> dict[str, str]:
    from pytest_kinda.build.readiness import ping_targets

    if not node.is_kubernetes:
        return {}
    found = ping_targets(plan)
    return {one: name for name, some in found.items() if name != node.name for one in some}
