"""When a cluster is ready: every node, every system pod, and a packet between every two nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kinda.build.apiserver import ApiReader
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.echo import Echoes, Opener
from pytest_kinda.errors import HostError
from pytest_kinda.plan.tunnels import tunnel_address
from pytest_kinda.plan.values import Plan

READY_LIMIT = 240.0
_REACH_LIMIT = 30.0
_REACH_LIMIT_EACH = 0.02  # more for each pair: between 65 nodes there are 8,320
_NAMED = 3  # nodes, and addresses of each, that a message names


def await_cluster(plan: Plan, kubeconfig: Path) -> None:
    """Wait until all nodes and all pods of ``kube-system`` are Ready.

    Without a CNI of ours (``cni="none"``) only the nodes' registration is awaited. Raises
    WaitTimeoutError that names what is not.
    """
    names = [one.name for one in plan.kubernetes_nodes]
    bare = plan.cluster is not None and plan.cluster.cni == "none"
    reader = ApiReader(kubeconfig)

    def look() -> str:
        try:
            missing = unready_nodes(reader.get("/api/v1/nodes"), names, registered_only=bare)
            if missing or bare:
                return missing
            return unready_pods(reader.get("/api/v1/namespaces/kube-system/pods"), len(names))
        except HostError as error:
            return error.message

    try:
        wait_until(look, "the cluster", limit=READY_LIMIT, interval=0.25, remedy="kinda doctor")
    finally:
        reader.close()


def await_control_plane(plan: Plan, kubeconfig: Path) -> None:
    """Wait until API server and kubelets have found each other anew, in both directions.

    Every node's kubelet must renew its lease after this was called and answer the API server.
    Raises WaitTimeoutError that names the nodes which do not.
    """
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    reader = ApiReader(kubeconfig)
    before: dict[str, str] = {}

    def renewed() -> dict[str, str]:
        items = reader.get(leases)["items"]
        return {one["metadata"]["name"]: one["spec"].get("renewTime") or "" for one in items}

    def look() -> str:
        try:
            now = renewed()
            before.update({name: time for name, time in now.items() if name not in before})
            names = [one.name for one in plan.kubernetes_nodes]
            silent = [name for name in names if now.get(name, "") == before.get(name, "")]
            if silent:
                return f"no lease renewed by {', '.join(silent)}"
            for name in names:
                reader.get(f"/api/v1/nodes/{name}/proxy/configz")
            return ""
        except HostError as error:
            return error.message

    try:
        wait_until(
            look,
            "API server and kubelets over the virtual network",
            limit=_REACH_LIMIT + 30,
            interval=0.5,
            remedy="kinda plan shows the routes; control_plane_traffic='direct' needs none",
        )
    finally:
        reader.close()


def unready_nodes(listing: Any, names: Sequence[str], *, registered_only: bool = False) -> str:
    """Which of the declared nodes are missing or not Ready, in words; empty if none is."""
    found = {one["metadata"]["name"]: one["status"] for one in listing["items"]}
    lacking = [name for name in names if name not in found]
    if lacking:
        return f"no node {', '.join(lacking)} has joined; there are {', '.join(found) or 'none'}"
    if registered_only:
        return ""
    waiting = [f"node {name} {why}" for name in names if (why := _not_ready(found[name]))]
    return "; ".join(waiting)


def unready_pods(listing: Any, nodes: int) -> str:
    """Which system pods are missing or not Ready, in words; empty if none is."""
    pods = {one["metadata"]["name"]: one["status"] for one in listing["items"]}
    proxies = sum(name.startswith("kube-proxy-") for name in pods)
    if proxies < nodes:
        return f"{proxies} of {nodes} kube-proxy pods are there"
    if not any(name.startswith("coredns-") for name in pods):
        return "no CoreDNS pod is there"
    waiting = [f"pod {name} {why}" for name, status in pods.items() if (why := _not_ready(status))]
    return "; ".join(waiting)


def _not_ready(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return ""
            why = condition.get("message") or condition.get("reason") or ""
            return f"is not Ready ({why})" if why else "is not Ready"
    return f"is {status.get('phase', 'not Ready')}"


def await_reachability(plan: Plan, opener: Opener) -> None:
    """Wait until a packet crosses between every two nodes, and between their pods' networks.

    Raises WaitTimeoutError that names the pairs which do not answer.
    """
    targets = ping_targets(plan)
    open_pairs = {
        node.name: [one for owner, some in targets.items() if owner != node.name for one in some]
        for node in plan.kubernetes_nodes
        if node.name in targets
    }

    count = sum(map(len, open_pairs.values()))

    def look() -> str:
        open_pairs.update(echoes.ask({name: left for name, left in open_pairs.items() if left}))
        return silence(open_pairs, count)

    with Echoes(opener) as echoes:
        wait_until(
            look,
            "packets between the nodes and between their pods' networks",
            limit=_REACH_LIMIT + _REACH_LIMIT_EACH * count,
            interval=0.2,
            remedy="kinda plan shows the routes; is the network of the topology connected?",
        )


def silence(left: Mapping[str, Sequence[str]], count: int) -> str:
    """Which addresses do not answer whom, in words; empty if all do. The first few are named.

    >>> silence({"w1": ["10.9.0.5"], "w2": []}, 4)
    'no answer: w1 -> 10.9.0.5'
    """
    silent = {name: some for name, some in left.items() if some}
    if not silent:
        return ""
    told = [
        f"{name} -> {', '.join(some[:_NAMED])}{', ...' if len(some) > _NAMED else ''}"
        for name, some in list(silent.items())[:_NAMED]
    ]
    missing = sum(map(len, silent.values()))
    more = len(silent) > _NAMED or any(len(some) > _NAMED for some in silent.values())
    whole = f" from {missing} of {count} pairs" if more else ""
    return f"no answer{whole}: {'; '.join(told)}{'; ...' if len(silent) > _NAMED else ''}"


def ping_targets(plan: Plan) -> dict[str, list[str]]:
    """The addresses that each node of the cluster must answer on: endpoint, and GRE device.

    The endpoint of IPv6 is on that device too.
    """
    found = {}
    for node in plan.kubernetes_nodes:
        some = [node.endpoint] if node.endpoint else []
        if some and plan.tunnel is not None and plan.tunnel.driver != "none":
            some += [tunnel_address(one) for one in node.pod_cidrs]
            some += [node.endpoint6] if node.endpoint6 else []
        if some:
            found[node.name] = some
    return found
