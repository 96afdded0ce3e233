"""The kubelets of nodes that are only objects: ``python -m pytest_kinda.build.kubelets FILE``.

One process for all nodes of a lab, by its kubeconfig FILE; with ``--group NAME`` for the simulated
nodes of that group in any cluster, whose leases it then renews. It says of each pod that has one of
these nodes that it runs, and lets go of each that is to be deleted. Nothing is run, and pod
start-up is nobody's measurement here.
"""

from __future__ import annotations

import argparse
import logging
import queue
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.build.lab_nodes import GROUP, pod_status
from pytest_kinda.errors import ClusterError

WORKERS = 4
RENEW = 15.0
"""Seconds between two renewals of a node's lease: a third of the usual time without one, after
which a node is no longer Ready."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PLACED = "/api/v1/pods?fieldSelector=spec.nodeName!%3D"
_WATCH = 300  # seconds
_MERGE = "application/strategic-merge-patch+json"
_GONE = (404, 409)  # deleted meanwhile, or another pod of its name by now

log = logging.getLogger("kubelets")
Pod = Mapping[str, Any]


class Kubelets:
    """Follows all pods that have a node (one of ``nodes``); workers act on what is to be done."""

    def __init__(self, kubeconfig: Path, nodes: Collection[str] | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._nodes = nodes
        self._todo: queue.SimpleQueue[Pod] = queue.SimpleQueue()
        self._begun: set[tuple[str, bool]] = set()

    def serve(self) -> None:
        """Serve until this process is ended. Raises ClusterError where the API server is gone."""
        for number in range(WORKERS):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()
        api = LabApi(self._kubeconfig)
        while True:
            listed = api.request("GET", _PLACED)
            there = {str(one["metadata"]["uid"]) for one in listed["items"]}
            for one in list(self._begun):
                if one[0] not in there:
                    self._begun.discard(one)
            for pod in listed["items"]:
                self._look(pod)
            version = listed["metadata"]["resourceVersion"]
            try:
                path = f"{_PLACED}&resourceVersion={version}"
                for kind, pod in api.watch(path, _WATCH, _is_work):
                    if kind == "ERROR":
                        break  # the version is too old; list again
                    if kind != "DELETED":
                        self._look(pod)
            except ClusterError as error:
                log.warning("%s", error.message)

    def _look(self, pod: Pod) -> None:
        """Have a worker do what is to be done about a pod, once."""
        if self._nodes is not None and pod["spec"]["nodeName"] not in self._nodes:
            return
        ends = "deletionTimestamp" in pod["metadata"]
        if not ends and (pod.get("status") or {}).get("phase") != "Pending":
            return
        key = (str(pod["metadata"]["uid"]), ends)
        if key not in self._begun:
            self._begun.add(key)
            self._todo.put(pod)

    def _work(self) -> None:
        api = LabApi(self._kubeconfig)
        while True:
            pod = self._todo.get()
            try:
                self._act(api, pod)
            except ClusterError as error:
                if error.status in _GONE:
                    continue
                # it is looked at again with the next list
                self._begun.discard(
                    (str(pod["metadata"]["uid"]), "deletionTimestamp" in pod["metadata"])
                )
                log.warning("%s", error.message)

    def _act(self, api: LabApi, pod: Pod) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            exactly = {"uid": metadata["uid"]}
            api.request("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": exactly})
            return
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {"metadata": {"uid": metadata["uid"]}, "status": pod_status(pod, now)}
        api.request("PATCH", f"{path}/status", told, _MERGE)


def _is_work(line: bytes) -> bool:
    """Whether an event may be something to do: most tell of pods that run, and need no decoding.

    Within a text JSON escapes quotation marks: these words are a pod's own.

    >>> _is_work(b'{"type":"MODIFIED","object":{"status":{"phase":"Running"}}}')
    False
    """
    return b'"phase":"Running"' not in line or b'"deletionTimestamp":' in line


class Leases:
    """The leases of some nodes: a node whose lease nobody renews is no longer Ready."""

    def __init__(self, kubeconfig: Path, group: str, nodes: Mapping[str, str]) -> None:
        """``nodes`` are uids by name."""
        self._kubeconfig = kubeconfig
        self._group = group
        self._nodes = dict(nodes)
        self._over = threading.Event()

    def renew(self) -> None:
        """Renew them, at once and then evenly, each every ``RENEW`` seconds, for ever."""
        api = LabApi(self._kubeconfig)
        apart = 0.0
        while self._nodes:
            began = time.monotonic()
            for number, name in enumerate(self._nodes):
                self._over.wait(max(0.0, began + number * apart - time.monotonic()))
                try:
                    self._renew(api, name)
                except ClusterError as error:
                    log.warning("lease of %s: %s", name, error.message)
            self._over.wait(max(0.0, began + RENEW - time.monotonic()))
            apart = RENEW / len(self._nodes)

    def _renew(self, api: LabApi, name: str) -> None:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
        try:
            api.request("PATCH", f"{LEASES}/{name}", {"spec": spec}, "application/merge-patch+json")
        except ClusterError as error:
            if error.status != 404:
                raise
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._nodes[name]}
            metadata = {"name": name, "labels": {GROUP: self._group}, "ownerReferences": [owner]}
            api.request("POST", LEASES, {"metadata": metadata, "spec": spec})


def _group(kubeconfig: Path, name: str) -> dict[str, str]:
    """The uids of a group's nodes by their names."""
    api = LabApi(kubeconfig)
    listed = api.request("GET", f"/api/v1/nodes?labelSelector={GROUP}%3D{name}")
    api.close()
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in listed["items"]}


def main(argv: Sequence[str]) -> int:
    """The program; it ends only by an error (1), after which it is started again."""
    parser = argparse.ArgumentParser(prog="kubelets")
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--group", default="")
    asked = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info("kubelets by %s since %s", asked.kubeconfig, time.strftime("%H:%M:%S"))
    try:
        nodes = None
        if asked.group:
            nodes = _group(asked.kubeconfig, asked.group)
            leases = Leases(asked.kubeconfig, asked.group, nodes)
            threading.Thread(target=leases.renew, name="leases", daemon=True).start()
        Kubelets(asked.kubeconfig, nodes).serve()
    except ClusterError as error:
        log.error("%s", error.message)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
