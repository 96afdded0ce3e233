"""The control plane's own pods, changed by their manifests and put back.

The kubelet of a control plane runs what lies in ``/etc/kubernetes/manifests``. A manifest is
replaced whole; what it was is in a file of the testbed before that, so that a testbed that outlives
its test is put back by the next one that is given it. A change is known by an annotation of ours,
which the pod that the API shows of it (its mirror) has as well; that a pod is back is known by the
hash that the kubelet gives to equal manifests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import ClusterError, HostError
from pytest_kinda.testbed.api import Api
from pytest_kinda.testbed.nodes import NodeHandle
from pytest_kinda.testbed.notes import read_note, write_note
from pytest_kinda.testbed.resources import resource

FILE = "static-pods.json"
MANIFESTS = "/etc/kubernetes/manifests"
RUN = "pytest-kinda/run"
"""The annotation that says of a pod which of our changes it runs."""
RETURN_LIMIT = 90.0
"""Seconds for a pod of the control plane to be what it was."""

_HASH = "kubernetes.io/config.hash"
_SYSTEM = "kube-system"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"
_PODS = resource("pod")
# Beside the folder, so that the kubelet never sees half a file; the rename is within one disk.
_SWAP = 'cat > "/etc/kubernetes/.$1" && mv -f -- "/etc/kubernetes/.$1" "$2/$1"'


@dataclass(frozen=True)
class Original:
    """What a pod's manifest was before it was changed, and what was put beside it."""

    node: str
    component: str
    manifest: str
    hash: str
    files: tuple[str, ...] = ()


class StaticPod:
    """One component (``kube-scheduler``) on one control plane. Raises HostError, ClusterError."""

    def __init__(self, api: Api, node: NodeHandle, component: str, folder: Path) -> None:
        self.node = node
        self.component = component
        self.name = f"{component}-{node.name}"
        self._api = api
        self._file = folder / FILE

    def manifest(self) -> dict[str, Any]:
        """Its manifest as it lies on the node now."""
        return _read(self.node.read_text(f"{MANIFESTS}/{self.component}.yaml"), self.name)

    def pod(self) -> Any:
        """Its mirror in the API; empty where there is none at the moment."""
        return self._api.find(_PODS.path(_SYSTEM, self.name)) or {}

    def log(self, *, previous: bool = False, seconds: float | None = None) -> str:
        """What it has logged since it started last; of the start before with ``previous``."""
        query: dict[str, Any] = {"previous": "true"} if previous else {}
        if seconds is not None:
            query["sinceSeconds"] = max(1, round(seconds))
        path = _PODS.path(_SYSTEM, self.name) + "/log"
        return str(self._api.request("GET", path, query, text=True))

    def replace(self, manifest: Mapping[str, Any], files: Mapping[str, str | Path]) -> None:
        """Let the kubelet run another manifest, with files by their paths: texts, or copies of.

        Only from what it originally was: a change of a change is not noted.
        """
        text = self.node.read_text(f"{MANIFESTS}/{self.component}.yaml")
        there = self.pod()
        if not there or RUN in _annotations(there):
            raise ClusterError(
                f"pod {self.name} cannot be changed now: "
                + ("it is changed already" if there else "the API has no such pod"),
                remedy="end the change before, such as the other scheduler under test",
            )
        before = _annotations(there)[_HASH]
        original = Original(self.node.name, self.component, text, before, tuple(files))
        _note(self._file, [*_noted(self._file), original])
        for path, content in files.items():
            if isinstance(content, Path):
                self.node.copy_in(content, path)
            else:
                self.node.write_file(path, content)
        self._swap(json.dumps(manifest, indent=1))

    def put_back(self) -> None:
        """Make it what it was, and wait until it is. Nothing where it was not changed."""
        for one in _noted(self._file):
            if (one.node, one.component) == (self.node.name, self.component):
                self._put_back(one)

    def _put_back(self, original: Original) -> None:
        self._swap(original.manifest)
        wait_until(
            lambda: _not_yet(self.pod(), original.hash),
            f"pod {self.name} to be what it was",
            limit=RETURN_LIMIT,
        )
        for path in original.files:
            self.node.exec("rm", "-f", "--", path)
        _note(self._file, [one for one in _noted(self._file) if one != original])

    def _swap(self, text: str) -> None:
        """Take the pod away, then give the kubelet the other one.

        Told of both at once it makes the second one wait for a look of its own each 10 s.
        """
        path = f"{MANIFESTS}/{self.component}.yaml"
        self.node.exec("rm", "-f", "--", path)
        wait_until(
            lambda: f"pod {self.name} is there" if self.pod() else "",
            f"the end of pod {self.name}",
            limit=RETURN_LIMIT,
        )
        self._free_lease()
        self.node.shell(_SWAP, f"{self.component}.yaml", MANIFESTS, stdin=text, timeout=30.0)

    def _free_lease(self) -> None:
        """Take the component's lease from the pod that is gone, if it has it still.

        It gives the lease up when it ends in peace; else the next one waits 15 s for its end.
        """
        path = _LEASES + self.component
        try:
            holder = str(self._api.get(path)["spec"].get("holderIdentity") or "")
            if holder.startswith(f"{self.node.check_output('hostname')}_"):
                self._api.request("DELETE", path)
        except ClusterError as error:
            if error.status != 404:
                raise


def put_back_left(api: Api, folder: Path, node: Callable[[str], NodeHandle]) -> tuple[str, ...]:
    """Put back what earlier processes have left changed; the names of it.

    Raises HostError, ClusterError, WaitTimeoutError. Nothing is asked where nothing was left.
    """
    names = []
    for one in _noted(folder / FILE):
        pod = StaticPod(api, node(one.node), one.component, folder)
        pod.put_back()
        names.append(pod.name)
    return tuple(names)


def run_of(pod: Mapping[str, Any]) -> str:
    """Which of our changes a mirror pod runs; empty where it is as it was made."""
    return _annotations(pod).get(RUN, "")


def running(pod: Mapping[str, Any]) -> bool:
    """Whether all containers of a pod run."""
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(found) and all("running" in (one.get("state") or {}) for one in found)


def _not_yet(pod: Mapping[str, Any], wanted: str) -> str:
    if not pod:
        return "the API has no such pod"
    if _annotations(pod).get(_HASH) != wanted:
        return "it is still the changed one"
    return "" if running(pod) else "its container does not run yet"


def _annotations(pod: Mapping[str, Any]) -> dict[str, str]:
    return dict((pod.get("metadata") or {}).get("annotations") or {})


def _read(text: str, name: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise HostError(f"the manifest of {name} is no YAML: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != "Pod":
        raise HostError(f"the manifest of {name} is no Pod: {text[:80]!r}")
    return found


def _noted(file: Path) -> list[Original]:
    found = read_note(file) or ()
    return [Original(**{**one, "files": tuple(one["files"])}) for one in found]


def _note(file: Path, originals: Sequence[Original]) -> None:
    """Put on disk what is changed, before it is and after it is not any more."""
    write_note(file, [asdict(one) for one in originals])
