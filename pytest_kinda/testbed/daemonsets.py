"""DaemonSets kept off some nodes, and put back, without a restart of what they run elsewhere.

A DaemonSet that tolerates everything, such as kube-proxy, has a pod on every node, simulated ones
too. A term of its template's node affinity keeps it off nodes with a label; because its update
strategy is ``OnDelete`` meanwhile, the pods that it has are left alone: they are those of the
template that it had, and has again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import ClusterError

if TYPE_CHECKING:
    from pytest_kinda.testbed.api import Api

_ALL = "/apis/apps/v1/daemonsets"
_AFFINITY = "/spec/template/spec/affinity"
_STRATEGY = "/spec/updateStrategy"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_SEEN_LIMIT = 30.0
Affinity = Mapping[str, Any]


class DaemonSets:
    """The DaemonSets of a cluster."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def keep_off(self, label: str, note: Callable[[str, Any], None]) -> None:
        """Keep those that tolerate a taint ``label`` off the nodes that have a label ``label``.

        ``note`` is told the path of each, and how it was, before it is changed. Returns when the
        controller has seen it. Raises ClusterError, WaitTimeoutError.
        """
        for one in self._api.get(_ALL)["items"]:
            spec = one["spec"]["template"]["spec"]
            affinity = spec.get("affinity")
            if not tolerates(spec.get("tolerations") or (), label) or keeps_off(affinity, label):
                continue
            metadata = one["metadata"]
            path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/daemonsets/{metadata['name']}"
            strategy = one["spec"]["updateStrategy"]
            revisions = sorted(self._revisions(one))
            note(path, {"affinity": affinity, "strategy": strategy, "revisions": revisions})
            self._change(path, kept_off(affinity, label), {"type": "OnDelete"})
            self._await_seen(path)

    def put_back(self, before: Mapping[str, Any]) -> None:
        """Have them as ``keep_off`` noted them. Raises ClusterError; one that is gone is none."""
        for path, noted in before.items():
            try:
                self._change(path, noted["affinity"], noted["strategy"])
            except ClusterError as error:
                if error.status != 404:
                    raise
                continue
            found = self._await_seen(path)
            for name in sorted(self._revisions(found) - {*noted["revisions"]}):
                space = found["metadata"]["namespace"]
                revision = f"/apis/apps/v1/namespaces/{space}/controllerrevisions/{name}"
                self._api.request("DELETE", revision)

    def _change(self, path: str, affinity: Affinity | None, strategy: Mapping[str, Any]) -> None:
        there = "affinity" in self._api.get(path)["spec"]["template"]["spec"]
        patch: list[dict[str, Any]] = [{"op": "add", "path": _STRATEGY, "value": dict(strategy)}]
        if affinity:
            patch.append({"op": "add", "path": _AFFINITY, "value": dict(affinity)})
        elif there:
            patch.append({"op": "remove", "path": _AFFINITY})
        self._api.request("PATCH", path, body=patch, content_type="application/json-patch+json")

    def _await_seen(self, path: str) -> Any:
        """Wait until its controller has seen how it is now; it then."""
        found: dict[str, Any] = {}

        def look() -> str:
            found.update(self._api.get(path))
            wanted = found["metadata"]["generation"]
            seen = (found.get("status") or {}).get("observedGeneration", 0)
            return "" if seen >= wanted else f"generation {seen} was seen of {wanted}"

        wait_until(look, f"the controller of {path}", limit=_SEEN_LIMIT)
        return found

    def _revisions(self, one: Mapping[str, Any]) -> set[str]:
        """The names of a DaemonSet's revisions."""
        metadata = one["metadata"]
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/controllerrevisions"
        return {
            each["metadata"]["name"]
            for each in self._api.get(path)["items"]
            for owner in each["metadata"].get("ownerReferences") or ()
            if owner["uid"] == metadata["uid"]
        }


def tolerates(tolerations: Iterable[Mapping[str, Any]], key: str) -> bool:
    """Whether a taint of that key, without regard of its value, keeps nothing away.

    >>> tolerates([{"operator": "Exists"}], "a"), tolerates([{"key": "b"}], "a")
    (True, False)
    """
    return any(
        one.get("key", "") == key or (not one.get("key") and one.get("operator") == "Exists")
        for one in tolerations
    )


def kept_off(affinity: Affinity | None, label: str) -> dict[str, Any]:
    """An affinity that is as before, and keeps off nodes that have a label.

    >>> kept_off(None, "a")["nodeAffinity"][_REQUIRED]["nodeSelectorTerms"]
    [{'matchExpressions': [{'key': 'a', 'operator': 'DoesNotExist'}]}]
    """
    off = {"key": label, "operator": "DoesNotExist"}
    nodes = dict((affinity or {}).get("nodeAffinity") or {})
    terms = (nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    terms = [
        {**one, "matchExpressions": [*(one.get("matchExpressions") or ()), off]} for one in terms
    ]
    nodes[_REQUIRED] = {"nodeSelectorTerms": terms}
    return {**(affinity or {}), "nodeAffinity": nodes}


def keeps_off(affinity: Affinity | None, label: str) -> bool:
    """Whether an affinity keeps off nodes that have a label already."""
    required = ((affinity or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    terms = required.get("nodeSelectorTerms") or ()
    return bool(terms) and all(
        {"key": label, "operator": "DoesNotExist"} in (one.get("matchExpressions") or ())
        for one in terms
    )
