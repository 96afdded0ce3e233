"""Waiting for objects of the cluster: by watches, each state shown once, never without a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from pytest_kinda.errors import ClusterError, WaitTimeoutError
from pytest_kinda.testbed.api import Api
from pytest_kinda.testbed.resources import Resource
from pytest_kinda.testbed.states import Condition, Object, describe, fulfils, hopeless, unseen

Show = Callable[[str], None]
ALARMED = 1.0
"""Seconds between two looks at alarms, where there are any."""


def wait_for_object(
    api: Api,
    resource: Resource,
    namespace: str,
    name: str,
    condition: Condition,
    *,
    timeout: float,
    show: Show,
) -> Object:
    """Wait until an object has a condition and give it as it is then.

    ``condition`` is a condition's type (``Ready``, ``Available``, ``Complete``), a phase
    (``Running``), ``deleted``, or a function of the object. ``timeout`` in seconds. ``show`` is
    told each new state once. Raises WaitTimeoutError with the last state and events, and
    ClusterError at once when the condition can never come true; so does an alarm of the ``api``.
    """
    what = f"{resource.kind} {name}"
    wish = condition if isinstance(condition, str) else getattr(condition, "__name__", "condition")
    deadline = time.monotonic() + timeout
    last = "not there"
    query = {"fieldSelector": f"metadata.name={name}"}
    path = resource.path(namespace)
    while True:
        api.sound_alarms()
        listed = api.get(path, query)
        item: Object | None = None
        for one in listed["items"]:
            item = {"kind": resource.kind, **one}
        if item is None:
            if wish == "deleted":
                return {}
            _tell(show, what, last, "not there")
            last = "not there"
        else:
            last = _tell(show, what, last, describe(item))
            if _decided(item, condition, what, wish):
                return item
        left = deadline - time.monotonic()
        if left <= 0:
            raise _late(api, item, what, name, namespace, wish, timeout, last)
        version = listed["metadata"]["resourceVersion"]
        longest = ALARMED if api.alarms else 60.0
        for kind, found in api.watch(
            path, {**query, "resourceVersion": version}, timeout=min(left, longest)
        ):
            if kind == "ERROR":
                break  # the version is too old; list again
            if kind == "DELETED":
                if wish == "deleted":
                    return {}
                last = _tell(show, what, last, "deleted")
                continue
            item = {"kind": resource.kind, **found}
            last = _tell(show, what, last, describe(item))
            if _decided(item, condition, what, wish):
                return item
            if time.monotonic() >= deadline:
                break


def _tell(show: Show, what: str, last: str, state: str) -> str:
    if state != last:
        show(f"{what}: {state}")
    return state


def _decided(item: Object, condition: Condition, what: str, wish: str) -> bool:
    if wish == "deleted":
        return False
    if fulfils(item, condition):
        return True
    if why := hopeless(item, condition):
        raise ClusterError(f"{what} will not become {wish}: {why}")
    return False


def _late(
    api: Api,
    item: Object | None,
    what: str,
    name: str,
    namespace: str,
    wish: str,
    timeout: float,
    last: str,
) -> WaitTimeoutError:
    lines = [f"{what} was not {wish} within {timeout:g} s; last state: {last}"]
    lines += [f"  event: {text}" for text in events_of(api, namespace, name)]
    if item is not None and item.get("kind") == "Pod" and unseen(item):
        lines.append(f"  {nobody_runs(item, placers(api))}")
    return WaitTimeoutError("\n".join(lines))


def nobody_runs(item: Object, known: Iterable[str]) -> str:
    """The sentence about a pod that no scheduler has looked at; ``known`` are those that work."""
    others = ", ".join(sorted(known)) or "none"
    return (
        f"no scheduler has looked at it: nobody runs one named {item['spec']['schedulerName']!r} "
        f"(those that have placed pods here: {others})"
    )


def placers(api: Api) -> frozenset[str]:
    """The names of the schedulers that have placed pods in the last hour, by their events.

    Empty where the events cannot be read.
    """
    try:
        return frozenset(placer_of(one) for one in placings(api))
    except ClusterError:
        return frozenset()


def placings(api: Api) -> Sequence[Object]:
    """The events of the last hour that say which pod was placed on which node, and by whom."""
    found: Sequence[Object]
    found = api.get("/api/v1/events", {"fieldSelector": "reason=Scheduled"})["items"]
    return found


def placer_of(event: Object) -> str:
    """The scheduler whose event says that it has placed a pod."""
    source = (event.get("source") or {}).get("component")
    return str(event.get("reportingComponent") or source or "")


def events_of(api: Api, namespace: str, name: str) -> list[str]:
    """The last ten events about an object as "reason: message", the oldest first."""
    try:
        listed = api.get(
            f"/api/v1/namespaces/{namespace or 'default'}/events",
            {"fieldSelector": f"involvedObject.name={name}"},
        )
    except ClusterError as error:
        return [f"(the events could not be read: {error.message})"]
    found = sorted(listed["items"], key=lambda one: str(one.get("lastTimestamp") or ""))
    return [f"{one.get('reason')}: {one.get('message')}" for one in found[-10:]]
