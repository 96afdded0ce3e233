"""The scheduler under test: started, shown to work, watched, and taken back."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import (
    HostError,
    SchedulerError,
    SchedulerWarning,
    WaitTimeoutError,
    past_errors,
)
from pytest_kinda.scheduling.choice import BESIDE, DEFAULT, Choice, choose
from pytest_kinda.scheduling.configuration import complete, names_of, read_configuration
from pytest_kinda.scheduling.definitions import publish_definitions
from pytest_kinda.scheduling.extender import PROBE, ExtenderServer
from pytest_kinda.scheduling.runs import Run, make_ours, run_for
from pytest_kinda.scheduling.schedulerpod import rule_objects
from pytest_kinda.scheduling.sharing import (
    PROBE_NAME,
    kinds_missing,
    objects_missing,
    overcommitted,
    raced,
)
from pytest_kinda.testbed import workloads
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.waiting import placings, wait_for_object

if TYPE_CHECKING:
    from pytest_kinda.testbed.faults import Fault
    from pytest_kinda.testbed.publishing import Publication
    from pytest_kinda.testbed.testbed import Testbed

_PODS, _NODES = resource("pod"), resource("node")
_LAST = 12  # lines of a log that an error shows
_OWN_LIMIT = 60.0  # seconds for the cluster's own scheduler to work again
_CONNECT = 'timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2"'

_ACTIVE: WeakKeyDictionary[Testbed, list[Scheduler]] = WeakKeyDictionary()


class Scheduler:
    """A scheduler under test that works; a context manager that takes it back at its end."""

    def __init__(self, testbed: Testbed, choice: Choice, folder: Path) -> None:
        configuration = read_configuration(choice.config, folder)
        named = (configuration.get("profiles") or [{}])[0].get("schedulerName", "")
        name = choice.name or named or (BESIDE if choice.beside else DEFAULT)
        self.choice = replace(choice, name=name)
        self.name = name
        """What a pod's ``schedulerName`` must be for it."""
        self.configuration: Mapping[str, Any] = configuration
        """Its configuration; once it runs, completed with what its place needs."""
        self._testbed = testbed
        self._api = testbed.cluster.api
        self._run: Run = run_for(testbed, self.choice, folder)
        self._server: ExtenderServer | None = None
        self._more: list[Publication] = []
        self._told = ""
        self._fault: Fault | None = None
        self._began = ""
        self._over = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its profiles."""
        return names_of(self.configuration)

    @property
    def extender(self) -> ExtenderServer | None:
        """What serves its extender; None where it has none."""
        return self._server

    def logs(self) -> str:
        """What it has logged. Raises ClusterError where its container cannot be asked."""
        return self._run.log()

    def check(self) -> None:
        """Raise SchedulerError if it has died, or its extender has failed; with its last lines.

        Nothing once it has been stopped.
        """
        if self._over:
            return
        if self._server is not None and self._server.failure:
            self._tell(self._server.failure)
        death = self._run.death()
        if death is not None:
            reasons = objects_missing(self._api, self.configuration, self.names)
            why = "".join(f"\n  {one}" for one in reasons)
            self._tell(f"scheduler {self.name} has died: {death.how}{why}\n{last_lines(death.log)}")

    def _tell(self, text: str) -> None:
        self._told = text
        raise SchedulerError(text)

    def stop(self) -> None:
        """End it, and wait until the cluster is as it was; a second time does nothing.

        Raises KindaError with what could not be put back.
        """
        if self._fault is not None:
            self._fault.heal()

    def begin(self) -> Scheduler:
        """Start it, and wait until a pod shows that it works. Raises KindaError."""
        what = f"scheduler {self.name} under test"
        self._fault = self._testbed.inflict(what, self._start, self._end)
        return self

    def _start(self) -> None:
        choice = self.choice
        self._began = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if choice.filter is not None or choice.score is not None:
            self._serve()
        if choice.crds:
            self._publish_crds()
        if choice.rules:
            more = self._testbed.publish(rule_objects(choice, choice.rules), "scheduler's rules")
            self._more.append(more)
        self.configuration = complete(
            self.configuration,
            name=self.name,
            kubeconfig=self._run.kubeconfig,
            leads=not choice.beside,
            extender=self._server.entry if self._server else None,
        )
        if missing := kinds_missing(self._api, self.configuration):
            raise SchedulerError(
                "the scheduler would not start: " + "; ".join(missing),
                remedy="give the CustomResourceDefinitions as crds=[...]",
            )
        self._run.begin(self.configuration)
        self._api.alarms.append(self.check)
        _ACTIVE.setdefault(self._testbed, []).append(self)
        self._await_work()

    def _serve(self) -> None:
        cluster = self._testbed.plan.cluster
        assert cluster is not None
        here = self.choice.mode == "process" or not self._testbed.standing.has_data_path
        address = "127.0.0.1" if here else cluster.gateway
        server = ExtenderServer(address, self.choice.filter, self.choice.score)
        self._server = server
        if here:
            return
        first = next(one for one in self._testbed.kubernetes_nodes if one.is_control_plane)
        if not first.shell(_CONNECT, address, str(server.port), check=False, timeout=30.0).ok:
            raise HostError(
                f"{first.name} does not reach the extender at {address}:{server.port}",
                remedy=f"let the machine's firewall accept TCP to {address}",
            )

    def _publish_crds(self) -> None:
        self._more.append(publish_definitions(self._testbed, self._crds(), "scheduler's CRDs"))

    def _crds(self) -> list[Mapping[str, Any]]:
        given = self.choice.crds
        if not isinstance(given, str):
            return list(given)
        from pytest_kinda.setup import scheduling

        make_ours(self._testbed)
        return list(scheduling.definitions())

    def _await_work(self) -> None:
        deadline = time.monotonic() + self.choice.timeout

        def starting() -> str:
            self.check()
            return self._run.starting()

        try:
            wait_until(
                starting, f"scheduler {self.name} to run", limit=self.choice.timeout, interval=0.2
            )
            left = max(1.0, deadline - time.monotonic())
            place_probe(self._testbed, self.name, self.choice.probe, left)
        except WaitTimeoutError as error:
            raise SchedulerError(
                f"scheduler {self.name} was not ready within {self.choice.timeout:g} s: "
                f"{error.message}\n{last_lines(self.logs())}",
                remedy="timeout= gives it more time, probe= changes the pod it must place",
            ) from error
        if self._server is not None and not self._server.asked:
            raise SchedulerError(f"scheduler {self.name} placed a pod without asking its extender")

    def _end(self) -> None:
        """Take everything back, past errors; the first of them is raised."""
        self._over = True
        if self.check in self._api.alarms:
            self._api.alarms.remove(self.check)
        active = _ACTIVE.get(self._testbed, [])
        if self in active:
            active.remove(self)
        steps = [self._warn, self._run.end]
        steps += [one.withdraw for one in reversed(self._more)]
        if self._server is not None:
            steps.append(self._server.close)
        if not self.choice.beside:
            steps.append(self._await_own)
        past_errors(steps)

    def _await_own(self) -> None:
        """Verify that the cluster's own scheduler works again."""
        place_probe(self._testbed, DEFAULT, {}, _OWN_LIMIT)

    def _warn(self) -> None:
        if not self.choice.beside or self.choice.allow_race:
            return
        if sentence := raced(placings(self._api), self.names, self._began):
            more = overcommitted(
                self._api.get(_NODES.path())["items"], self._api.get(_PODS.path())["items"]
            )
            warnings.warn("; ".join([sentence, *more]), SchedulerWarning, stacklevel=2)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        told = self._told
        try:
            if error is None and not told:
                self.check()  # it died, and nobody waited for it
        finally:
            self.stop()

    def __repr__(self) -> str:
        return f"<scheduler {self.name}, {self.choice.mode}>"


def scheduler(testbed: Testbed, name: str = "", **options: Any) -> Scheduler:
    """Run a scheduler and wait until it has placed a pod; the test's end takes it back.

    ``mode`` says where: ``profile`` (default), the cluster's own with another ``config``;
    ``extender``, the cluster's own with functions of yours; ``replace``, another ``image``,
    ``binary`` or ``command`` in its place; ``second``, a pod beside it; ``process``, a program of
    this machine (in ``folder``, with ``env``) beside it. ``name`` is what pods ask for; else that
    of the first profile.

    ``config`` is a KubeSchedulerConfiguration: a dict, YAML text or a file. ``binary`` is a static
    program of this machine that takes kube-scheduler's flags, in any of the three last modes
    (``"@scheduler-plugins"`` is one of ours, made when it is first needed). ``command`` is one
    program with those flags, or a list of words in which ``{config}`` and ``{kubeconfig}`` become
    files. ``filter(pod, nodes)`` gives the nodes that it refuses, with reasons, ``score(pod,
    nodes)`` 0 to 10 for each: with either, in any mode, the scheduler asks them as its extender.
    ``crds`` (or ``"@scheduler-plugins"``) are made before, ``rules`` are RBAC rules that it needs
    beside kube-scheduler's. ``probe`` is merged into the pod that it must place, within ``timeout``
    seconds. ``verbosity`` is that of its log. ``allow_race`` silences the warning that two
    schedulers have placed pods on the same nodes.

    Raises DeclarationError, and SchedulerError with its last log lines. Example::

        with kinda.scheduler("mine", mode="process", command="./my-scheduler") as mine:
            kinda.cluster.run_pod("web", spec={"schedulerName": mine.name})
    """
    folder = Path(options.pop("base", ".")).resolve()
    choice = choose({"name": name, **options})
    return Scheduler(testbed, choice, folder).begin()


def active(testbed: Testbed, name: str) -> Scheduler | None:
    """The scheduler under test of that name; None where the cluster's own would be it."""
    found = [one for one in _ACTIVE.get(testbed, ()) if name in one.names]
    return found[-1] if found else None


def last_lines(log: str) -> str:
    """What an error shows of a log: its end, or where a program of Go began to tell its crash.

    >>> last_lines("one\\ntwo\\n")
    '    one\\n    two'
    """
    lines = log.rstrip().splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(("panic:", "fatal error:"))]
    shown = lines[starts[-1] :][:_LAST] if starts else lines[-_LAST:]
    return "\n".join("    " + line[:400] for line in shown) or "    (no log)"


def place_probe(testbed: Testbed, name: str, more: Mapping[str, Any], timeout: float) -> str:
    """Have a scheduler place a pod, which is removed then; its node. Raises WaitTimeoutError."""
    from pytest_kinda.setup import image

    body = workloads.pod(
        f"{PROBE_NAME}-{uuid4().hex[:6]}",
        image("tools"),
        node=None,
        command=("sleep", "infinity"),
        args=(),
        env={},
        labels={PROBE: "yes"},
        ports=(),
        host_network=False,
        privileged=False,
        spec={"schedulerName": name, "tolerations": [{"operator": "Exists"}]},
    )
    body["metadata"]["namespace"] = "default"
    body = workloads.merge(body, more)
    space, pod = body["metadata"]["namespace"], body["metadata"]["name"]
    with testbed.publish([body], "a probe of the scheduler"):
        found = wait_for_object(
            testbed.cluster.api,
            _PODS,
            space,
            pod,
            is_bound,
            timeout=timeout,
            show=lambda text: None,
        )
        return str(found["spec"]["nodeName"])


def is_bound(item: Mapping[str, Any]) -> bool:
    """Whether a pod has a node."""
    return bool(item["spec"].get("nodeName"))
