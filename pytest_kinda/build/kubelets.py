"""The kubelets of nodes that are only objects: ``python -m pytest_kinda.build.kubelets FILE``.

One process for all nodes of a lab, by its kubeconfig FILE. It says of each pod that has a node that
it runs, and lets go of each that is to be deleted. Nothing is run, and pod start-up is nobody's
measurement here.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.build.lab_nodes import pod_status
from pytest_kinda.errors import ClusterError

WORKERS = 4
_PLACED = "/api/v1/pods?fieldSelector=spec.nodeName!%3D"
_WATCH = 300  # seconds
_MERGE = "application/strategic-merge-patch+json"
_GONE = (404, 409)  # deleted meanwhile, or another pod of its name by now

log = logging.getLogger("kubelets")
Pod = Mapping[str, Any]


class Kubelets:
    """Follows all pods that have a node; workers act on what is to be done."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
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
                for kind, pod in api.watch(f"{_PLACED}&resourceVersion={version}", _WATCH):
                    if kind == "ERROR":
                        break  # the version is too old; list again
                    if kind == "DELETED":
                        uid = str(pod["metadata"]["uid"])
                        self._begun -= {(uid, False), (uid, True)}
                        continue
                    self._look(pod)
            except ClusterError as error:
                log.warning("%s", error.message)

    def _look(self, pod: Pod) -> None:
        """Have a worker do what is to be done about a pod, once."""
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


def main(argv: list[str]) -> int:
    """The program; it ends only by an error (1), after which it is started again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info("kubelets by %s since %s", argv[0], time.strftime("%H:%M:%S"))
    try:
        Kubelets(Path(argv[0])).serve()
    except ClusterError as error:
        log.error("%s", error.message)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
