"""Simulated nodes: many more nodes for a scheduler than a machine has room for.

They are objects of the cluster beside its real nodes, and a small process plays their kubelets: it
renews their leases and says of pods on them that they run. They have a network, which is declared
only: facts and costs know it, and no packet gets there. What would put something on every node
(kube-proxy, a network plugin) is kept off them for as long as they are there, without a restart of
what it has on real ones.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab_nodes import GROUP, MARK, node_object
from pytest_kinda.errors import ClusterError, DeclarationError, LabError, Problem
from pytest_kinda.plan.beside import joined, plan_beside, routers
from pytest_kinda.plan.values import NodePlan, Plan
from pytest_kinda.testbed.daemonsets import DaemonSets
from pytest_kinda.testbed.nodes import KubernetesNodeHandle
from pytest_kinda.testbed.notes import read_note, write_note
from pytest_kinda.testbed.pods import ELSEWHERE
from pytest_kinda.topology import Link, Topology

if TYPE_CHECKING:
    from pytest_kinda.testbed.api import Api
    from pytest_kinda.testbed.faults import Fault
    from pytest_kinda.testbed.nodes import NodeHandle
    from pytest_kinda.testbed.testbed import Testbed

FILE = "simulated.json"
_NODES = "/api/v1/nodes"
_PLACED = "/api/v1/pods?fieldSelector=spec.nodeName!%3D"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?")
_AT_ONCE = 4
_READY_LIMIT = 120.0
_GONE_LIMIT = 60.0
_GROUPS: WeakKeyDictionary[Testbed, list[SimulatedNodes]] = WeakKeyDictionary()


class SimulatedNodes:
    """Some simulated nodes that are there; a context manager that removes them at its end."""

    def __init__(
        self,
        testbed: Testbed,
        name: str,
        plan: Plan,
        uplink: Link,
        capacity: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> None:
        self.name = name
        self.plan = plan
        """That of their network, which is only declared."""
        self.uplink = uplink
        """What joins their network to that of the testbed."""
        self._testbed = testbed
        self._capacity = dict(capacity)
        self._labels = dict(labels)
        self._fault: Fault | None = None
        self._held: Any = None
        self._log = testbed.directory / f"simulated-{name}.log"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(one.name for one in self.plan.kubernetes_nodes)

    @property
    def tolerations(self) -> list[dict[str, str]]:
        """What a pod's ``spec`` needs that may be placed on simulated nodes beside real ones."""
        return [{"key": MARK, "operator": "Exists"}]

    def begin(self) -> SimulatedNodes:
        """Make them, and wait until pods may be placed on them. Raises KindaError."""
        there = {one["metadata"]["name"] for one in self._testbed.cluster.api.get(_NODES)["items"]}
        if taken := sorted(there.intersection(self.names)):
            raise ClusterError(f"the cluster has nodes {', '.join(taken[:3])} already", status=409)
        what = f"{len(self.names)} simulated nodes ({self.name})"
        self._fault = self._testbed.inflict(what, self._make, self._remove)
        return self

    def remove(self) -> None:
        """Remove them with what is on them; a second time does nothing. Raises KindaError."""
        if self._fault is not None:
            self._fault.heal()

    def check(self) -> None:
        """Raise ClusterError where the process that plays them has ended."""
        how = self._held.ended if self._held is not None else ""
        if how:
            log = self._log.read_text(errors="replace")[-1000:] if self._log.exists() else ""
            raise ClusterError(f"what plays simulated nodes {self.name} has ended: {how}\n{log}")

    def _make(self) -> None:
        testbed, api = self._testbed, self._testbed.cluster.api
        alone = not testbed.standing.has_data_path  # then all nodes are like these
        note = testbed.directory / FILE
        groups = {**_noted(note), self.name: list(self.names)}
        write_note(note, {"groups": groups, "daemonsets": _daemonsets(note)})
        if not alone:
            DaemonSets(api).keep_off(MARK, partial(_note_daemonsets, note))
        taints = [] if alone else [{"key": MARK, "value": "yes", "effect": "NoSchedule"}]
        register = partial(_register, api, taints)
        with ThreadPoolExecutor(_AT_ONCE, "nodes") as pool:
            list(pool.map(register, map(self._object, self.plan.kubernetes_nodes)))
        if not alone:
            self._play()
        wait_until(
            partial(_not_ready, api, self.name, {MARK}),
            f"simulated nodes {self.name} to be Ready",
            limit=_READY_LIMIT,
            interval=0.3,
        )
        _GROUPS.setdefault(testbed, []).append(self)
        self._tell()

    def _play(self) -> None:
        keeper: Any = self._testbed.standing.keeper
        argv = [sys.executable, "-m", "pytest_kinda.build.kubelets", str(self._testbed.kubeconfig)]
        self._log.touch(mode=0o600)
        self._held = keeper.hold([*argv, "--group", self.name], log=self._log)
        self._testbed.cluster.api.alarms.append(self.check)

    def _object(self, planned: NodePlan) -> dict[str, Any]:
        made = node_object(planned)
        made["metadata"]["labels"] |= {**self._labels, GROUP: self.name}
        # What nodes are watched by remembers those of before by their names: without another
        # heartbeat than theirs, one is taken for dead before its lease is first renewed.
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for one in made["status"]["conditions"]:
            one |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
        for amounts in ("capacity", "allocatable"):
            made["status"][amounts] = {**made["status"][amounts], **self._capacity}
        return made

    def _remove(self) -> None:
        """Remove them; whatever of it has been done before is no error."""
        testbed, api = self._testbed, self._testbed.cluster.api
        if self in (groups := _GROUPS.get(testbed, [])):
            groups.remove(self)
        if self.check in api.alarms:
            api.alarms.remove(self.check)
        self._tell()
        remove_group(api, testbed.directory / FILE, self.name, self._end)

    def _end(self) -> None:
        if self._held is not None:
            self._held.end()
        self._log.unlink(missing_ok=True)

    def _tell(self) -> None:
        """Have the testbed and its cluster know which simulated nodes are there."""
        testbed = self._testbed
        planned = [one for group in groups_of(testbed) for one in group.plan.kubernetes_nodes]
        testbed.simulated = {one.name: SimulatedNode(one) for one in planned}
        testbed.cluster.simulated = frozenset(testbed.simulated)

    def __enter__(self) -> SimulatedNodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<{len(self)} simulated nodes {self.name}>"


def simulated_nodes(
    testbed: Testbed,
    count: int,
    *,
    topology: Topology | None = None,
    uplink: Link | None = None,
    capacity: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    name: str = "sim",
) -> SimulatedNodes:
    """Nodes that are only objects, beside those of the testbed, until the end of the test.

    ``topology`` declares their network (all at one router unless given): the first ``count`` of its
    cluster's nodes are made, each ``NAME-`` and the name that it has there, as workers. ``uplink``
    leads from one of its routers, by that longer name, to a router of the testbed; left out, from
    the first declared to the first, without delay or rate. ``capacity`` are resources as Kubernetes
    writes them (8 cores, 32 GiB and 110 pods unless the topology or this says otherwise),
    ``labels`` further ones of every node.

    Beside real nodes they have a taint, so that only pods with its ``tolerations``, or ``node=``,
    get there. A pod there is Running at once and does nothing: what it is good for is its place.
    Commands on them, and packets from or to them, raise LabError. Use it as a call or as a context
    manager. Raises PlanError, DeclarationError, ClusterError, WaitTimeoutError. Example::

        with kinda.simulated_nodes(20, topology=leaf_spine(2, 4, 5)) as racks:
            spec = {"tolerations": racks.tolerations}
            kinda.cluster.run_pod("web", requests={"cpu": "6"}, spec=spec)
    """
    from pytest_kinda.generators import star

    if not _NAME.fullmatch(name) or isinstance(count, bool) or count < 1:
        found = f"{count} nodes named {name!r}"
        expected = "at least 1, and a name of small letters, digits and '-'"
        raise DeclarationError("simulated nodes", [Problem("they", "count, name", found, expected)])
    beside = plan_of(testbed)
    plan = plan_beside(topology or star(count), beside, prefix=f"{name}-", count=count)
    if uplink is None:
        ends = [next(iter(routers(one)), "") for one in (plan, beside)]
        uplink = Link(*ends, name=f"{name}-uplink")
    joined(beside, plan, uplink)  # refuses what is no router, before anything is made
    return SimulatedNodes(testbed, name, plan, uplink, capacity or {}, labels or {}).begin()


def groups_of(testbed: Testbed) -> tuple[SimulatedNodes, ...]:
    """The groups that are there, oldest first."""
    return tuple(_GROUPS.get(testbed, ()))


def plan_of(testbed: Testbed, plan: Plan | None = None) -> Plan:
    """The testbed's plan (or ``plan`` of it) and those of its simulated nodes, as one."""
    found = plan or testbed.plan
    for one in groups_of(testbed):
        found = joined(found, one.plan, one.uplink)
    return found


def remove_left(api: Api, folder: Path) -> tuple[str, ...]:
    """Remove what earlier processes have left simulated; the names of the groups.

    Raises ClusterError. Nothing is asked of the cluster where nothing was left.
    """
    groups = _noted(folder / FILE)
    for name in groups:
        remove_group(api, folder / FILE, name)
    return tuple(groups)


def remove_group(api: Api, note: Path, name: str, end: Callable[[], None] = lambda: None) -> None:
    """Remove a group's nodes, pods and leases, and what kept others off. Raises ClusterError.

    ``end`` ends the process that plays them.
    """
    from pytest_kinda.build.kubelets import LEASES

    groups = _noted(note)
    names = {*groups.get(name, ())}
    query = {"labelSelector": f"{GROUP}={name}"}
    api.request("DELETE", _NODES, query, timeout=120.0)
    for one in api.get(_PLACED)["items"]:  # nobody would say that they have ended
        if one["spec"]["nodeName"] in names:
            _let_go(api, one["metadata"])
    wait_until(
        lambda: f"{len(left)} are there" if (left := api.get(_NODES, query)["items"]) else "",
        f"the end of simulated nodes {name}",
        limit=_GONE_LIMIT,
    )
    end()
    api.request("DELETE", LEASES, query, timeout=120.0)
    groups.pop(name, None)
    before = _daemonsets(note)
    if not groups:
        DaemonSets(api).put_back(before)
        before = {}
    write_note(note, {"groups": groups, "daemonsets": before} if groups else None)


class SimulatedNode(KubernetesNodeHandle):
    """A node that is only an object."""

    def __init__(self, planned: NodePlan) -> None:
        super().__init__(planned, _Nothing(planned.name), _Nothing(planned.name))

    @property
    def endpoint(self) -> str:
        """Refused: it has no address. Raises LabError."""
        _refuse(self.name, "its address")

    @property
    def ip6(self) -> str:
        """Refused: it has no address. Raises LabError."""
        _refuse(self.name, "its address")

    @property
    def interfaces(self) -> NoReturn:
        """Refused: its links are only declared. Raises LabError."""
        _refuse(self.name, "its interfaces")

    def _opener(self) -> NoReturn:
        _refuse(self.name, "a socket")


class _Nothing:
    """What runs on a simulated node: commands and faults are refused."""

    def __init__(self, node: str) -> None:
        self._node = node

    def start(self, argv: Sequence[str], **options: Any) -> NoReturn:
        _refuse(self._node, "a command")

    def pause(self, node: NodeHandle) -> NoReturn:
        _refuse(self._node, "a fault")

    kill = pause

    def restart(self, node: NodeHandle, *, grace: float, wait: bool) -> NoReturn:
        _refuse(self._node, "a fault")


def _refuse(node: str, what: str) -> NoReturn:
    raise LabError(
        f"{what} of {node}: it is a simulated node, only an object: nothing runs there and no "
        "packet gets there",
        remedy=ELSEWHERE,
    )


def _register(api: Api, taints: list[dict[str, str]], made: Mapping[str, Any]) -> None:
    api.request("POST", _NODES, body=made)
    # the API server gives every new node a taint of its own, which goes with the next report
    path, merge = f"{_NODES}/{made['metadata']['name']}", "application/merge-patch+json"
    api.request("PATCH", path, body={"spec": {"taints": taints}}, content_type=merge)


def _not_ready(api: Api, group: str, expected: Iterable[str]) -> str:
    listed = api.get(_NODES, {"labelSelector": f"{GROUP}={group}"})["items"]
    wrong = [
        one["metadata"]["name"]
        for one in listed
        if {taint["key"] for taint in one["spec"].get("taints") or ()} - {*expected}
        or not any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in one["status"]["conditions"]
        )
    ]
    return f"{len(wrong)} are not, such as {wrong[0]}" if wrong else ""


def _let_go(api: Api, metadata: Mapping[str, Any]) -> None:
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
    try:
        api.request("DELETE", path, body=body)
    except ClusterError as error:
        if error.status not in (404, 409):
            raise


def _noted(note: Path) -> dict[str, list[str]]:
    return dict((read_note(note) or {}).get("groups", {}))


def _daemonsets(note: Path) -> dict[str, Any]:
    return dict((read_note(note) or {}).get("daemonsets", {}))


def _note_daemonsets(note: Path, path: str, before: Any) -> None:
    known = read_note(note)
    write_note(note, {**known, "daemonsets": {**known["daemonsets"], path: before}})
