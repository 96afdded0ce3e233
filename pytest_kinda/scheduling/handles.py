"""What a testbed's ``kinda`` can be asked of scheduling: placements, and why they are so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab import VERBOSITY, LabStanding
from pytest_kinda.errors import KindaError, PlacementError, WaitTimeoutError
from pytest_kinda.scheduling.explaining import Explanation, explain_pod
from pytest_kinda.scheduling.facts import NetworkFacts
from pytest_kinda.scheduling.live import network_facts
from pytest_kinda.scheduling.placements import Placements, placement_of
from pytest_kinda.scheduling.probing import probed
from pytest_kinda.scheduling.records import ANNOTATION, record_of
from pytest_kinda.scheduling.scheduler import active, is_bound
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.waiting import wait_for_object

if TYPE_CHECKING:
    from pytest_kinda.testbed.faults import Fault
    from pytest_kinda.testbed.pods import PodHandle
    from pytest_kinda.testbed.testbed import Testbed

_PODS, _NODES = resource("pod"), resource("node")
_SYSTEM = "kube-system"
_LABEL = {"labelSelector": "component=kube-scheduler"}
_MOST_TOLD, _TELL_LIMIT = 8, 20.0  # pods of a report, and seconds for it
_LOOKED: WeakKeyDictionary[Testbed, tuple[str, str]] = WeakKeyDictionary()
_RECORD_LIMIT = 3.0  # seconds that a record may need from the scheduler into its log
TELLING = "the scheduler tells more"


def placements(
    testbed: Testbed,
    selector: str = "",
    *,
    namespace: str | None = None,
    facts: NetworkFacts | None = None,
    timeout: float = 0.0,
) -> Placements:
    """The pods that a label selector fits, and where they are.

    With ``timeout`` (seconds) until each of them is on a node. They are judged by ``facts``, else
    by the testbed's own. Raises ClusterError, WaitTimeoutError with those that are on none.
    """
    space = namespace or testbed.cluster.namespace

    def look() -> Placements:
        listed = testbed.cluster.api.get(_PODS.path(space), {"labelSelector": selector})
        items = sorted(map(placement_of, listed["items"]), key=lambda one: one.pod)
        return Placements(items, facts or partial(network_facts, testbed))

    _LOOKED[testbed] = (space, selector)
    if timeout:

        def missing() -> str:
            testbed.cluster.api.sound_alarms()
            found = look()
            waiting = ", ".join(f"{one.pod} ({one.reason or one.phase})" for one in found.pending)
            return waiting if found.items else f"no pod fits {selector!r} in {space}"

        wait_until(missing, f"pods {selector or 'of ' + space} on nodes", limit=timeout)
    return look()


def told_of_placements(testbed: Testbed) -> str:
    """Where the pods are that the test on a testbed has last looked at, and why.

    Empty if it has looked at none. What cannot be told is said. Raises ClusterError.
    """
    space, selector = _LOOKED.get(testbed, ("", ""))
    if not space or space != testbed.cluster.namespace:
        return ""
    found = placements(testbed, selector)
    lines, deadline = [str(found)], time.monotonic() + _TELL_LIMIT
    for one in found.items[:_MOST_TOLD]:
        if time.monotonic() > deadline:
            lines.append(f"pod {one.pod} and those after it: not asked for after {_TELL_LIMIT:g} s")
            break
        try:
            lines.append(str(explain(testbed, one.pod)))
        except KindaError as error:
            lines.append(f"pod {one.pod}: not explained: {error.message}")
    if len(found) > _MOST_TOLD:
        lines.append(f"and {len(found) - _MOST_TOLD} more pods")
    return "\n".join(lines)


def assert_unschedulable(
    testbed: Testbed,
    pod: str | PodHandle,
    *,
    plugin: str = "",
    reason: str = "",
    within: float = 10.0,
    hold: float = 2.0,
    namespace: str | None = None,
) -> Explanation:
    """Assert that a scheduler finds no node for a pod: its condition says so, and goes on to.

    ``plugin`` must be among those that refused nodes (exactly for pods made within
    ``kinda.explaining()``, else as far as the reasons tell it), ``reason`` in the condition's text.
    ``within`` seconds the scheduler must have said so; for ``hold`` seconds more it must not place
    it after all. Raises PlacementError with what was said, ClusterError.
    """
    handle = testbed.cluster.pod(pod, namespace=namespace) if isinstance(pod, str) else pod

    def wait(condition: Any, limit: float) -> Any:
        return wait_for_object(
            testbed.cluster.api,
            _PODS,
            handle.namespace,
            handle.name,
            condition,
            timeout=limit,
            show=lambda text: None,
        )

    try:
        wait(_refused_or_bound, within)
    except WaitTimeoutError as error:
        found = explain_pod(handle.read(), None)
        raise PlacementError(
            f"pod {handle.name} was not refused within {within:g} s\n{found}"
        ) from error
    try:
        wait(is_bound, hold)
    except WaitTimeoutError:
        pass  # it stays where it is: nowhere
    found = explain(testbed, handle)
    if found.node:
        raise PlacementError(f"pod {handle.name} was placed: it is on {found.node}\n{found}")
    if reason not in found.message:
        raise PlacementError(
            f"pod {handle.name}: {reason!r} is not what the scheduler said\n{found}"
        )
    if plugin and plugin not in found.plugins and plugin not in found.message:
        raise PlacementError(
            f"pod {handle.name}: {plugin} is not among those that refused nodes\n{found}",
            remedy="reasons name few plugins beside the in-tree ones: make the pod within "
            "kinda.explaining()",
        )
    return found


def explaining(testbed: Testbed, *, verbosity: int = 10) -> Fault:
    """Have kube-scheduler log each plugin's scores, at the latest until the end of the test.

    Its verbosity is set at run time, the binary is as it was. Use it as a call or as a context
    manager, and make the pods within it. Raises CommandError, ClusterError. Example::

        with kinda.explaining():
            pod = kinda.cluster.run_pod("web")
            print(kinda.explain(pod))
    """
    if isinstance(testbed.standing, LabStanding):
        own = testbed.standing.scheduler
        return testbed.inflict(
            TELLING, partial(own.set_verbosity, verbosity), partial(own.set_verbosity, VERBOSITY)
        )
    pods = testbed.cluster.api.get(_PODS.path(_SYSTEM), _LABEL)["items"]
    if not pods:
        raise PlacementError("the cluster has no pod of kube-scheduler to be asked")
    before = {one["spec"]["nodeName"]: _verbosity(one) for one in pods}

    def put_all(levels: dict[str, int]) -> None:
        for node, level in levels.items():
            _set_verbosity(testbed, node, level)

    return testbed.inflict(
        TELLING,
        partial(put_all, dict.fromkeys(before, verbosity)),
        partial(put_all, before),
    )


def explain(
    testbed: Testbed,
    pod: str | PodHandle,
    *,
    namespace: str | None = None,
    probe: bool | Sequence[str] = False,
) -> Explanation:
    """Why a pod is on its node, or on none: counted reasons, and scores where they were logged.

    Scores are there for pods made within ``kinda.explaining()``. A pod with the annotation
    ``explained()`` has all of it, of each node, where our Explain plugin is in its scheduler. What
    the scheduler did not say is left out, never guessed.

    ``probe`` is for a pod that fits nowhere: a copy of it is pinned to each node (or to those
    named), so that the scheduler says of each why it is refused. Copies run nothing of the pod's
    and go again; one that fits after all is bound for that moment. Raises ClusterError, and
    PlacementError for a pod that cannot be probed. Example::

        lost = kinda.cluster.run_pod("lost", requests={"cpu": "900"}, wait=False)
        kinda.assert_unschedulable(lost)
        assert kinda.explain(lost, probe=True).refused["w1"].plugin == "NodeResourcesFit"
    """
    handle = testbed.cluster.pod(pod, namespace=namespace) if isinstance(pod, str) else pod
    item = handle.read()
    name = f"{handle.namespace}/{handle.name}"
    scheduler = str(item["spec"].get("schedulerName", ""))
    began, asked = placement_of(item).created.timestamp(), time.monotonic()
    recorded = ANNOTATION in (item["metadata"].get("annotations") or {})
    found: list[str] = []

    def look() -> str:
        found[:] = _log(testbed, scheduler, time.time() - began)
        told = [line for line in found if f'pod="{name}"' in line]
        tries = any('"Attempting to schedule pod"' in line for line in told)
        bound = any('"Successfully bound pod to node"' in line for line in told)
        if tries and item["spec"].get("nodeName") and not bound:
            return "its binding"
        early = recorded and time.monotonic() - asked < _RECORD_LIMIT
        record = record_of(item["metadata"]["uid"], told) if early else None
        at = record.node if record is not None else None
        return "its record" if early and at != item["spec"].get("nodeName", "") else ""

    wait_until(look, f"the scheduler's log of {name}", limit=10.0)
    mine = [line for line in found if f'pod="{name}"' in line]
    heard = any('"Attempting to schedule pod"' in line for line in mine)
    told = explain_pod(item, mine if heard else None, records=mine)
    if not probe:
        return told
    listed = [one["metadata"]["name"] for one in testbed.cluster.api.get(_NODES.path())["items"]]
    nodes = listed if probe is True else [testbed.cluster.node(one).name for one in probe or ()]
    since = time.time()
    with _telling(testbed, scheduler):
        return probed(
            testbed, item, nodes, told, lambda: _log(testbed, scheduler, time.time() - since)
        )


@contextmanager
def _telling(testbed: Testbed, scheduler: str) -> Iterator[None]:
    """The cluster's own scheduler names the plugins that refuse; one under test does as it does."""
    told = [one for one in testbed.faults if one.what == TELLING]
    if told or active(testbed, scheduler) is not None:
        yield
        return
    with explaining(testbed):
        yield


def _refused_or_bound(item: Any) -> bool:
    for one in (item.get("status") or {}).get("conditions") or ():
        if one["type"] == "PodScheduled":
            return True
    return is_bound(item)


def _verbosity(item: Any) -> int:
    """What a scheduler's pod was started with."""
    containers = item["spec"]["containers"]
    words = [word for one in containers for word in (*one.get("command", ()), *one.get("args", ()))]
    given = [word.partition("=")[2] for word in words if word.startswith(("--v=", "-v="))]
    return int(given[-1]) if given else 0


def _set_verbosity(testbed: Testbed, node: str, level: int) -> None:
    testbed.node(node).exec(
        "kubectl",
        "--kubeconfig=/etc/kubernetes/admin.conf",
        "--server=https://127.0.0.1:10259",
        "--insecure-skip-tls-verify=true",
        "replace",
        "--raw=/debug/flags/v",
        "-f",
        "-",
        stdin=str(level),
        timeout=30.0,
    )


def _log(testbed: Testbed, scheduler: str, seconds: float) -> list[str]:
    """The log of whoever places pods of that scheduler's name, since so many seconds ago."""
    mine = active(testbed, scheduler)
    if mine is not None:
        return list(mine.logs().splitlines())
    if isinstance(testbed.standing, LabStanding):
        return testbed.standing.scheduler.log.read_text(errors="replace").splitlines()
    api = testbed.cluster.api
    lines: list[str] = []
    for one in api.get(_PODS.path(_SYSTEM), _LABEL)["items"]:
        path = _PODS.path(_SYSTEM, one["metadata"]["name"]) + "/log"
        query = {"sinceSeconds": max(1, round(seconds) + 2)}
        lines += str(api.request("GET", path, query, text=True)).splitlines()
    return lines
