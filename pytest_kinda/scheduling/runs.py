"""How a scheduler under test is run: in the control plane's place, as a pod, or as a process here.

Each run has a beginning, an end that leaves nothing, whatever the process that began it suffers,
and an answer to whether it has died. In the control plane's place it is the static pod with another
manifest (undone by a note of the testbed); as a pod it is published like any other object; as a
process it is a child of the keeper which is held, and dies with its holder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.lab import LabStanding
from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.scheduling.choice import OURS, Choice
from pytest_kinda.scheduling.configuration import arguments_of, changed_manifest
from pytest_kinda.scheduling.death import Death
from pytest_kinda.scheduling.labrun import InLab
from pytest_kinda.scheduling.schedulerpod import SYSTEM, object_name, pod_objects
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.states import HOPELESS
from pytest_kinda.testbed.staticpods import StaticPod, run_of, running

if TYPE_CHECKING:
    from pytest_kinda.testbed.publishing import Publication
    from pytest_kinda.testbed.testbed import Testbed

COMPONENT = "kube-scheduler"
_PODS = resource("pod")
_FILE = "/etc/kubernetes/kinda-scheduler.json"
_BINARY = "/var/lib/kinda-scheduler"
_GONE_LIMIT = 30.0


class Run(Protocol):
    """A scheduler that runs."""

    kubeconfig: str
    """What its configuration says; empty: it finds the API server by itself."""

    def begin(self, configuration: Mapping[str, Any]) -> None:
        """Start it; it need not work yet. Raises KindaError."""
        ...

    def starting(self) -> str:
        """What is still missing for it to run, in words; empty when it runs."""
        ...

    def death(self) -> Death | None:
        """How it has died; None while it lives."""
        ...

    def log(self) -> str:
        """All that it has logged."""
        ...

    def end(self) -> None:
        """End it; everything is as it was when this returns. Raises KindaError."""
        ...


def run_for(testbed: Testbed, choice: Choice, folder: Path) -> Run:
    """The run of a choice; ``folder`` is what its files are relative to."""
    binary = _binary_of(testbed, choice.binary, folder)
    if isinstance(testbed.standing, LabStanding) and choice.mode != "process":
        return InLab(testbed.standing, choice, binary)
    if choice.mode == "second":
        return _AsPod(testbed, choice, binary)
    if choice.mode == "process":
        return _AsProcess(testbed, choice, binary, folder)
    return _InControlPlane(testbed, choice, binary)


def _binary_of(testbed: Testbed, given: str | Path, folder: Path) -> Path | None:
    """A program of this machine; one of ours is made if it is not here. Raises KindaError."""
    if not given:
        return None
    if given == OURS:
        from pytest_kinda.setup import scheduling

        make_ours(testbed)
        return scheduling.scheduler_plugins()
    path = folder / given
    if not os.access(path, os.X_OK) or not path.is_file():
        raise HostError(
            f"binary {path}: found no program there",
            remedy=f"build it first, or use binary={OURS!r} or a command",
        )
    return path


def make_ours(testbed: Testbed, step: str = "scheduling") -> None:
    """Make what a step of the set-up makes, with definitions, if it is not here.

    Raises KindaError.
    """
    from pytest_kinda.build import on_demand

    if missing := on_demand.missing([step]):
        on_demand.make(missing, testbed.show)


class _InControlPlane:
    """Instead of the cluster's own: every control plane's static pod, changed."""

    def __init__(self, testbed: Testbed, choice: Choice, binary: Path | None) -> None:
        self._binary = binary
        self._choice = choice
        self._testbed = testbed
        self._pods = static_pods(testbed)
        self._run = uuid4().hex[:12]
        self.kubeconfig = "/etc/kubernetes/scheduler.conf"

    def begin(self, configuration: Mapping[str, Any]) -> None:
        load_if_here(self._testbed, self._choice.image)
        text = json.dumps(configuration, indent=1)
        for pod in self._pods:
            manifest = changed_manifest(
                pod.manifest(),
                run=self._run,
                config=_FILE,
                image=self._choice.image,
                argv=self._choice.argv,
                binary=_BINARY if self._binary else "",
                verbosity=self._choice.verbosity,
            )
            program = {_BINARY: self._binary} if self._binary else {}
            pod.replace(manifest, {_FILE: text, **program})

    def starting(self) -> str:
        for one in self._pods:
            pod = one.pod()
            if run_of(pod) != self._run:
                return f"the kubelet of {one.node.name} has not yet changed {one.name}"
            if not running(pod):
                return f"the container of {one.name} does not run yet"
        return ""

    def death(self) -> Death | None:
        for one in self._pods:
            pod = one.pod()
            if run_of(pod) == self._run and (told := _death_of(pod)):
                how, before = told
                log = _said(partial(one.log, previous=before))
                return Death(f"{how} on {one.node.name}", log)
        return None

    def log(self) -> str:
        return "".join(one.log() for one in self._pods)

    def end(self) -> None:
        for one in self._pods:
            one.put_back()


class _AsPod:
    """Beside the cluster's own: a pod on the first control plane with a service account."""

    kubeconfig = ""

    def __init__(self, testbed: Testbed, choice: Choice, binary: Path | None) -> None:
        self._testbed = testbed
        self._choice = choice
        self._binary = binary
        self._published: Publication | None = None
        self._api = testbed.cluster.api
        self._name = object_name(choice.name)
        self._path = _PODS.path(SYSTEM, self._name)

    def begin(self, configuration: Mapping[str, Any]) -> None:
        load_if_here(self._testbed, self._choice.image)
        cluster = self._testbed.plan.cluster
        first = static_pods(self._testbed)[0]
        self._node = first.node
        path = f"/var/lib/{self._name}" if self._binary else ""
        if self._binary:
            first.node.copy_in(self._binary, path)
        flags = [] if self._choice.verbosity is None else [f"--v={self._choice.verbosity}"]
        if bare := cluster is not None and cluster.cni == "none":
            flags.append("--secure-port=0")  # the cluster's own has that port there
        body = pod_objects(
            self._name,
            configuration,
            image=self._choice.image or first.manifest()["spec"]["containers"][0]["image"],
            argv=self._choice.argv or (COMPONENT,),
            flags=flags,
            node=first.node.name,
            binary=path,
            host_network=bare,
        )
        self._published = self._testbed.publish(body, f"scheduler {self._choice.name}")

    def starting(self) -> str:
        return "" if running(self._api.get(self._path)) else f"pod {self._name} does not run yet"

    def death(self) -> Death | None:
        pod = self._api.find(self._path)
        if pod is None:
            return Death(f"pod {self._name} is gone", "")
        told = _death_of(pod)
        return Death(told[0], _said(self.log)) if told else None

    def log(self) -> str:
        return str(self._api.request("GET", self._path + "/log", text=True))

    def end(self) -> None:
        if self._published is None:
            return
        self._published.withdraw()
        query = {"fieldSelector": f"metadata.name={self._name}"}

        def there() -> str:
            listed = self._api.get(_PODS.path(SYSTEM), query)["items"]
            return f"pod {self._name} is there" if listed else ""

        wait_until(there, f"the end of pod {self._name}", limit=_GONE_LIMIT)
        self._node.exec("rm", "-f", "--", f"/var/lib/{self._name}")


class _AsProcess:
    """Beside the cluster's own: a program of this machine with the testbed's kubeconfig."""

    def __init__(self, testbed: Testbed, choice: Choice, binary: Path | None, folder: Path) -> None:
        self._testbed = testbed
        self._choice = choice
        self._argv = (str(binary),) if binary else choice.argv
        self._folder = folder / choice.folder
        self._log = testbed.directory / f"{object_name(choice.name)}-{uuid4().hex[:8]}.log"
        self._config = self._log.with_suffix(".json")
        self._held: Any = None
        self._last = ""
        self.kubeconfig = str(testbed.kubeconfig)

    def begin(self, configuration: Mapping[str, Any]) -> None:
        if not self._folder.is_dir():
            raise HostError(f"folder {self._folder} is not there")
        self._config.write_text(json.dumps(configuration, indent=1))
        self._log.touch(mode=0o600)
        flags = ["--secure-port=0"]  # nobody asks it, and another may have the port
        if self._choice.verbosity is not None:
            flags.append(f"--v={self._choice.verbosity}")
        argv = arguments_of(self._argv, str(self._config), self.kubeconfig, flags)
        env = {**os.environ, "KUBECONFIG": self.kubeconfig, **self._choice.env}
        keeper: Any = self._testbed.standing.keeper
        self._held = keeper.hold(["env", "-C", str(self._folder), *argv], env=env, log=self._log)

    def starting(self) -> str:
        return "" if self._held is not None else "it was not started"

    def death(self) -> Death | None:
        how = self._held.ended if self._held is not None else ""
        return Death(how, self.log()) if how else None

    def log(self) -> str:
        try:
            return self._log.read_text(errors="replace")
        except FileNotFoundError:
            return self._last

    def end(self) -> None:
        if self._held is not None:
            self._held.end()
        self._last = self.log()
        for file in (self._log, self._config):
            file.unlink(missing_ok=True)


def static_pods(testbed: Testbed) -> list[StaticPod]:
    """The cluster's own scheduler, on each of its control planes."""
    api, folder = testbed.cluster.api, testbed.directory
    return [
        StaticPod(api, one, COMPONENT, folder)
        for one in testbed.kubernetes_nodes
        if one.is_control_plane
    ]


def load_if_here(testbed: Testbed, image: str) -> None:
    """Put an image into the control planes if the Docker Engine has it; else kubelets pull it."""
    if not image:
        return
    names = [one.name for one in testbed.kubernetes_nodes if one.is_control_plane]
    try:
        testbed.cluster.load_image(image, nodes=names)
    except HostError as error:
        if getattr(error, "status", 0) != 404:
            raise


def _death_of(pod: Mapping[str, Any]) -> tuple[str, bool] | None:
    """How a pod's container has died, and whether another has been started since.

    A container that ended with its node ("Unknown") has not died of itself.
    """
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        state, last = one.get("state") or {}, one.get("lastState") or {}
        if (waiting := state.get("waiting")) and waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', '')}".strip(), False
        ended = state.get("terminated") or last.get("terminated")
        if ended and ended.get("reason") != "Unknown":
            how = f"{ended.get('reason', 'ended')}, exit status {ended.get('exitCode')}"
            return how, "running" in state
    return None


def _said(read: Callable[[], str]) -> str:
    """A log that may not be there: the container may be gone, or may never have started."""
    try:
        return read()
    except KindaError as error:
        return f"(no log: {error.message})"
