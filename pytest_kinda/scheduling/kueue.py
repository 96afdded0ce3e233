"""Kueue beside a testbed: gangs of pods that are admitted to one domain of the network, or wait.

Kueue's queues, scheduler and controllers run as a process with the testbed's kubeconfig; its
Topology and ResourceFlavor are those of the facts, with one queue over all nodes of them. There are
no admission webhooks: jobs are made suspended, and wrong objects are refused by their definitions
only. Kueue puts finalizers on what it uses, so that all of it goes before Kueue does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab_nodes import STAYS
from pytest_kinda.errors import (
    ClusterError,
    FactsError,
    SchedulerError,
    WaitTimeoutError,
    past_errors,
)
from pytest_kinda.scheduling.definitions import publish_definitions
from pytest_kinda.scheduling.handles import placements
from pytest_kinda.scheduling.labels import level_key
from pytest_kinda.scheduling.live import network_facts
from pytest_kinda.scheduling.runs import make_ours
from pytest_kinda.scheduling.scheduler import last_lines
from pytest_kinda.testbed import workloads

if TYPE_CHECKING:
    from pytest_kinda.scheduling.live import LiveFacts
    from pytest_kinda.scheduling.placements import Placements
    from pytest_kinda.testbed.faults import Fault
    from pytest_kinda.testbed.publishing import Publication
    from pytest_kinda.testbed.testbed import Testbed

_API = "kueue.x-k8s.io/v1beta1"
_ROOT = f"/apis/{_API}"
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_TOPOLOGY = "kueue.x-k8s.io/podset-{}-topology"
_CONFIGURATION: Mapping[str, Any] = {
    "apiVersion": "config.kueue.x-k8s.io/v1beta1",
    "kind": "Configuration",
    "internalCertManagement": {"enable": False},
    "integrations": {"frameworks": ["batch/job"]},
    "featureGates": {"VisibilityOnDemand": False},
}
_UNLIMITED: Mapping[str, str] = {"cpu": "1M", "memory": "1Pi"}
"""The queue's quota unless another is given: rooms of nodes are then the only limit."""
_GONE_LIMIT = 60.0
# what Kueue keeps from being deleted while it is in use, in the order in which it lets go
_HELD = ("workloads", "localqueues", "clusterqueues", "resourceflavors", "topologies")
_MERGE = "application/merge-patch+json"


class Kueue:
    """Kueue that runs, with one queue; a context manager that takes all of it back at its end."""

    def __init__(
        self, testbed: Testbed, facts: LiveFacts, levels: Sequence[str] | None, timeout: float
    ) -> None:
        self.facts = facts
        """What its Topology is made from."""
        self.queue = "kinda"
        """The name of its LocalQueue, in the namespace of the test."""
        self.namespace = testbed.cluster.namespace
        self._levels = {one.name: level_key(one) for one in facts.levels(levels)}
        self._names = levels
        self._testbed = testbed
        self._api = testbed.cluster.api
        self._timeout = timeout
        self._log = testbed.directory / f"kueue-{uuid4().hex[:8]}.log"
        self._config = self._log.with_suffix(".json")
        self._held: Any = None
        self._definitions: Publication | None = None
        self._more: list[Publication] = []
        self._jobs: list[str] = []
        self._fault: Fault | None = None
        self._last = ""

    def gang(
        self,
        name: str,
        pods: int,
        *,
        within: str = "",
        preferred: bool = False,
        requests: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> Gang:
        """A job of pods that are admitted together: ``within`` one domain of a level.

        Without ``within`` anywhere; with ``preferred`` in one domain if there is room, else in as
        few as there may be. ``requests`` are those of a pod, ``spec`` is merged into a pod's. On
        nodes that are only objects its pods run until the job is deleted. Raises FactsError for a
        level that is not there, ClusterError. Example::

            kueue.gang("train", 4, within="level1", requests={"cpu": "4"}).wait()
        """
        if within and within not in self._levels:
            known = ", ".join(self._levels)
            raise FactsError(f"within: found {within!r}; expected one of the levels {known}")
        asked = _TOPOLOGY.format("preferred" if preferred else "required")
        annotations = {STAYS: "yes", **({asked: self._levels[within]} if within else {})}
        made = workloads.job(
            name,
            self._testbed.cluster._image(),
            node=None,
            command=("sleep", "infinity"),
            env={},
            completions=pods,
            parallelism=pods,
        )
        made["metadata"]["labels"][_QUEUE_LABEL] = self.queue
        template = made["spec"]["template"]
        template["metadata"]["annotations"] = annotations
        (container,) = template["spec"]["containers"]
        container["resources"] = {"requests": dict(requests or {"cpu": "100m"})}
        template["spec"] = workloads.merge(template["spec"], spec or {})
        made["spec"] |= {"suspend": True}  # no webhook does it
        self._api.request("POST", f"/apis/batch/v1/namespaces/{self.namespace}/jobs", body=made)
        self._jobs.append(name)
        return Gang(self, name, pods)

    def workload(self, job: str) -> Any:
        """The Workload that Kueue has made for a job; None while there is none."""
        for one in self._api.get(f"{_ROOT}/namespaces/{self.namespace}/workloads")["items"]:
            owners = one["metadata"].get("ownerReferences") or ()
            if any((each["kind"], each["name"]) == ("Job", job) for each in owners):
                return one
        return None

    def logs(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else self._last

    def check(self) -> None:
        """Raise SchedulerError where it has ended, with its last lines."""
        how = self._held.ended if self._held is not None else ""
        if how:
            raise SchedulerError(f"kueue has ended: {how}\n{last_lines(self.logs())}")

    def stop(self) -> None:
        """End it when all that it holds is gone; a second time does nothing. Raises KindaError."""
        if self._fault is not None:
            self._fault.heal()

    def begin(self, quota: Mapping[str, str]) -> Kueue:
        """Start it, and wait until its queue takes workloads. Raises KindaError."""
        self._fault = self._testbed.inflict("kueue", lambda: self._start(quota), self._end)
        return self

    def _start(self, quota: Mapping[str, str]) -> None:
        from pytest_kinda.setup.scheduling import KUEUE, KUEUE_NAME

        make_ours(self._testbed, KUEUE_NAME)
        definitions = KUEUE.definitions()
        self._definitions = publish_definitions(self._testbed, definitions, "kueue's CRDs")
        self._config.write_text(json.dumps(_CONFIGURATION, indent=1))
        self._log.touch(mode=0o600)
        keeper: Any = self._testbed.standing.keeper
        argv = [str(KUEUE.program), "--config", str(self._config)]
        argv += ["--kubeconfig", str(self._testbed.kubeconfig)]
        self._held = keeper.hold(argv, log=self._log)
        self._api.alarms.append(self.check)
        self._more.append(self.facts.apply(("kueue", {"levels": self._names, "name": "kinda"})))
        objects = queue_objects("kinda", self.queue, self.namespace, {**_UNLIMITED, **quota})
        self._more.append(self._testbed.publish(objects, "kueue's queue"))
        try:
            wait_until(self._not_active, "kueue's queue", limit=self._timeout, interval=0.2)
        except WaitTimeoutError as error:
            raise SchedulerError(f"{error.message}\n{last_lines(self.logs())}") from error

    def _not_active(self) -> str:
        self.check()
        path = f"{_ROOT}/namespaces/{self.namespace}/localqueues/{self.queue}"
        found = conditions_of(self._api.get(path)).get("Active", {})
        if found.get("status") == "True":
            return ""
        return str(found.get("message") or "kueue has said nothing of it")

    def _end(self) -> None:
        """Take everything back, past errors; the first of them is raised."""
        if self.check in self._api.alarms:
            self._api.alarms.remove(self.check)
        steps: list[Callable[[], object]] = [self._delete_jobs]
        steps += [one.withdraw for one in reversed(self._more)]
        if self._definitions is not None:
            steps += [self._await_gone, self._end_process, self._definitions.withdraw]
        past_errors(steps)

    def _delete_jobs(self) -> None:
        for name in self._jobs:
            path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}"
            self._ask("DELETE", path, body={"propagationPolicy": "Background"})
        self._jobs.clear()

    def _ask(self, method: str, path: str, **more: Any) -> None:
        """Change an object that may be gone by now."""
        try:
            self._api.request(method, path, **more)
        except ClusterError as error:
            if error.status != 404:
                raise

    def _await_gone(self) -> None:
        """Wait until Kueue has let go of its objects; take what it does not out of its hands."""
        try:
            wait_until(self._there, "the end of kueue's objects", limit=_GONE_LIMIT)
        except WaitTimeoutError:
            for path in self._left():
                body = {"metadata": {"finalizers": None}}
                self._ask("PATCH", path, body=body, content_type=_MERGE)
                self._ask("DELETE", path)  # gone with its last finalizer, if that was before

    def _there(self) -> str:
        return ", ".join(self._left()) if not (self._held and self._held.ended) else ""

    def _left(self) -> list[str]:
        found = []
        for kind in _HELD:
            listed = self._api.find(f"{_ROOT}/{kind}") or {"items": []}
            for one in listed["items"]:
                space = one["metadata"].get("namespace")
                inside = f"/namespaces/{space}" if space else ""
                found.append(f"{_ROOT}{inside}/{kind}/{one['metadata']['name']}")
        return found

    def _end_process(self) -> None:
        if self._held is not None:
            self._held.end()
        self._last = self.logs()
        for file in (self._log, self._config):
            file.unlink(missing_ok=True)

    def __enter__(self) -> Kueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<kueue with queue {self.namespace}/{self.queue}>"


class Gang:
    """A job whose pods are admitted together, or wait together."""

    def __init__(self, kueue: Kueue, name: str, pods: int) -> None:
        self._kueue = kueue
        self.name = name
        self.pods = pods

    @property
    def admitted(self) -> bool:
        """Whether Kueue has admitted it."""
        found = conditions_of(self._kueue.workload(self.name) or {})
        return found.get("Admitted", {}).get("status") == "True"

    @property
    def reason(self) -> str:
        """Why it waits, in Kueue's words; empty when it does not, or nothing is said yet."""
        found = conditions_of(self._kueue.workload(self.name) or {}).get("QuotaReserved", {})
        return "" if found.get("status") == "True" else str(found.get("message", ""))

    @property
    def placements(self) -> Placements:
        """Its pods and where they are, judged by the facts that Kueue has."""
        kueue = self._kueue
        selector = f"job-name={self.name}"
        return placements(kueue._testbed, selector, namespace=kueue.namespace, facts=kueue.facts)

    def wait(self, timeout: float = 30.0) -> Gang:
        """Wait until it is admitted and all its pods are on nodes, for ``timeout`` seconds.

        Raises WaitTimeoutError with the reason, SchedulerError where Kueue has ended.
        """

        def missing() -> str:
            self._kueue.check()
            if not self.admitted:
                return self.reason or "kueue has said nothing of it"
            on = len([one for one in self.placements if one.node])
            return "" if on == self.pods else f"{on} of {self.pods} pods are on nodes"

        wait_until(missing, f"gang {self.name}", limit=timeout, interval=0.2)
        return self

    def wait_refused(self, timeout: float = 30.0) -> str:
        """Wait until Kueue has said why it waits; that. Raises WaitTimeoutError, SchedulerError."""

        def missing() -> str:
            self._kueue.check()
            return "" if self.reason else "admitted" if self.admitted else "nothing was said yet"

        wait_until(missing, f"a reason why gang {self.name} waits", limit=timeout, interval=0.2)
        return self.reason

    def __repr__(self) -> str:
        return f"<gang {self.name} of {self.pods} pods>"


def kueue(
    testbed: Testbed,
    *,
    levels: Sequence[str] | None = None,
    facts: LiveFacts | None = None,
    quota: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Kueue:
    """Run Kueue 0.14.8 with topology-aware scheduling until the end of the test.

    Its Topology is the levels of the ``facts`` (the testbed's own; ``levels`` names them, the
    closest first). ``quota`` is that of its one queue, and names every resource beside cpu and
    memory that gangs ask for. It is compiled when it is first needed (3 to 5 minutes). ``timeout``
    in seconds until its queue must take workloads. Use it as a call or as a context manager.
    Raises BuildError, FactsError, ClusterError, SchedulerError with its last lines. Example::

        with kinda.kueue(levels=["rack", "fabric"]) as kueue:
            gang = kueue.gang("train", 4, within="rack", requests={"cpu": "4"}).wait()
            assert gang.placements.together("level1")
    """
    made = Kueue(testbed, facts or network_facts(testbed), levels, timeout)
    return made.begin(quota or {})


def queue_objects(
    flavor: str, queue: str, namespace: str, quota: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A ClusterQueue of one flavor and a LocalQueue that leads to it, of the same name."""
    resources = [{"name": name, "nominalQuota": amount} for name, amount in quota.items()]
    group = {
        "coveredResources": list(quota),
        "flavors": [{"name": flavor, "resources": resources}],
    }
    cluster = {"namespaceSelector": {}, "resourceGroups": [group]}
    local = {"name": queue, "namespace": namespace}
    head = {"apiVersion": _API}
    return [
        {**head, "kind": "ClusterQueue", "metadata": {"name": queue}, "spec": cluster},
        {**head, "kind": "LocalQueue", "metadata": local, "spec": {"clusterQueue": queue}},
    ]


def conditions_of(item: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions of an object by their types.

    >>> conditions_of({"status": {"conditions": [{"type": "Active", "status": "True"}]}})
    {'Active': {'type': 'Active', 'status': 'True'}}
    """
    return {one["type"]: one for one in (item.get("status") or {}).get("conditions") or ()}
