"""A lab: the control plane of a cluster as plain processes on loopback, without Docker or root.

etcd, the API server, the controller manager, the scheduler and one process for all kubelets are
children of the keeper, as everything that a testbed starts, and end with it. The topology's nodes
are objects of that API server; its links are what facts are computed from, and carry nothing.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.directories import new_testbed_directory
from pytest_kinda.build.failing import build_step, undone
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.lab_api import LabApi
from pytest_kinda.build.lab_files import SCHEDULER, LabFiles, write_secret
from pytest_kinda.build.lab_nodes import Object, node_objects
from pytest_kinda.build.progress import Progress, Silent
from pytest_kinda.build.standing import Standing
from pytest_kinda.errors import ClusterError, KindaError, LabError
from pytest_kinda.host.client import Keeper
from pytest_kinda.host.held import how_ended
from pytest_kinda.jsonvalues import to_json
from pytest_kinda.plan.values import Plan
from pytest_kinda.setup.lab import programs

KUBELETS = "the kubelets of nodes that are only objects"
_API, _CONTROLLERS = "kube-apiserver", "kube-controller-manager"
VERBOSITY = 2
"""That of a scheduler's log of which nobody wants more."""
_TRIES = 3  # a port that was free may be taken before the API server has it
_API_LIMIT, _CONTROLLERS_LIMIT = 60.0, 60.0
_LAST = 8  # lines of a log that an error shows
_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


@dataclass(eq=False)
class LabStanding(Standing):
    """A lab that stands."""

    @property
    def has_data_path(self) -> bool:
        """It has none."""
        return False

    def need_data_path(self, what: str) -> None:
        """Refuse it. Raises LabError."""
        raise LabError(
            f"{what}: testbed {self.id} is a lab, whose nodes and links are only declared: nothing "
            "runs on them and no packet is sent",
            remedy="run it without --kinda-lab, or on a Testbed",
        )

    @property
    def scheduler(self) -> OwnScheduler:
        """Its own scheduler. Raises HostError where the keeper is gone."""
        return OwnScheduler(self.directory, self.keeper)

    def check(self) -> None:
        """Raise ClusterError if a process of the control plane has ended, with its last lines."""
        for name, child in _children(self.directory).items():
            if name != SCHEDULER:  # which tests may end
                _alive(self.keeper, self.directory, name, child)


class OwnScheduler:
    """The scheduler of a lab, which tests may have another one take the place of."""

    def __init__(self, directory: Path, keeper: KeeperClient) -> None:
        notes = _notes(directory)
        self.files = LabFiles(directory, Path(notes["programs"]))
        self.port = int(notes["scheduler_port"])
        self._directory = directory
        self._keeper = keeper

    @property
    def log(self) -> Path:
        """The file that it logs to."""
        return self.files.log(SCHEDULER)

    def start(
        self,
        configuration: Mapping[str, Any] | None = None,
        *,
        verbosity: int | None = None,
        argv: tuple[str, ...] = (),
        log: Path | None = None,
    ) -> None:
        """Start one in its place, which must be free. Raises HostError.

        ``configuration`` (its own) is a KubeSchedulerConfiguration, ``argv`` (kube-scheduler)
        a program that takes kube-scheduler's flags.
        """
        file = self._directory / "scheduler.json"
        write_secret(file, json.dumps(configuration or self.files.own_configuration(), indent=1))
        level = VERBOSITY if verbosity is None else verbosity
        program, *flags = self.files.scheduler(file, self.port, level)
        child = self._keeper.spawn([*(argv or (program,)), *flags], log=log or self.log)
        _remember(self._directory, {SCHEDULER: child})

    def stop(self) -> None:
        """End what is in its place; nothing if that has ended. Raises HostError."""
        child = _children(self._directory).get(SCHEDULER)
        if child is not None:
            self._keeper.kill(child)

    def set_verbosity(self, level: int) -> None:
        """Have what is in its place log more or less from now on. Raises ClusterError."""
        where, files = f"127.0.0.1:{self.port}", self.files
        LabApi(files.kubeconfig, where, files.scheduler_certificate).put(
            "/debug/flags/v", str(level)
        )

    def ended(self) -> str:
        """How what is in its place has ended, in words; empty while it runs."""
        return how_ended(self._keeper.ended(_children(self._directory)[SCHEDULER]))


def build_lab(
    plan: Plan, *, name: str | None = None, progress: Progress | None = None, keep: bool = False
) -> LabStanding:
    """Start the lab of a plan; it stands when its scheduler runs and pods may be made.

    ``name``, ``progress`` and ``keep`` are those of ``build``. Raises BuildError, after everything
    that was started has been ended; SetupError where the programs are not here.
    """
    reporter = progress or Silent()
    if plan.cluster is None:
        raise LabError(f"topology {plan.topology} declares no ControlPlane: a lab is a cluster")
    found = programs(reporter.info)
    testbed = name or secrets.token_hex(3)
    home = new_testbed_directory(testbed)
    try:
        (home / "plan.json").write_text(json.dumps(to_json(plan)))
        keeper = Keeper.start(home, testbed, owner=True)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    try:
        standing = _started(plan, LabFiles(home, found), keeper, reporter)
        if keep:
            keeper.keep(True)
        return standing
    except Exception as error:
        raise undone(keeper, home, reporter, error) from error
    except BaseException as error:
        undone(keeper, home, reporter, error)
        raise


def _started(plan: Plan, files: LabFiles, keeper: Keeper, progress: Progress) -> LabStanding:
    assert plan.cluster is not None
    home = files.directory
    keeper.note(state="building", topology=plan.topology, signature=plan.signature)
    with build_step(progress, "etcd and API server"):
        token = files.write_secrets()
        children = {"etcd": keeper.spawn(files.etcd(), log=files.log("etcd"))}
        children[_API] = _start_api(files, keeper, token, plan.cluster.service_cidr, children)
    nodes = node_objects(plan)
    with build_step(progress, f"controllers, scheduler, {len(nodes)} nodes"):
        children[_CONTROLLERS] = keeper.spawn(files.controllers(), log=files.log(_CONTROLLERS))
        _write_notes(home, {"programs": str(files.programs), "scheduler_port": _free_port()})
        _remember(home, children)
        OwnScheduler(home, keeper).start()
        argv = [sys.executable, "-m", "pytest_kinda.build.kubelets", str(files.kubeconfig)]
        keeper.tend(argv, name=KUBELETS, log=home / "kubelets.log")
        _register(files.kubeconfig, nodes)
        _await_controllers(files, keeper)
    keeper.note(
        state="complete",
        lab=True,
        containers={},
        places={},
        kubeconfig=str(files.kubeconfig),
    )
    return LabStanding(
        home.name,
        home,
        plan,
        {},
        {},
        files.kubeconfig,
        connect=partial(Keeper.connect, home),
        _keeper=keeper,
    )


def _start_api(
    files: LabFiles, keeper: Keeper, token: str, service_cidr: str, beside: Mapping[str, int]
) -> int:
    """Start the API server at a free port and wait until it answers; its child's number."""
    for left in reversed(range(_TRIES)):
        port = _free_port()
        files.write_kubeconfig(f"https://127.0.0.1:{port}", token)
        child = keeper.spawn(files.apiserver(port, service_cidr), log=files.log(_API))

        def look(child: int = child) -> str:
            for name, one in {**beside, _API: child}.items():
                _alive(keeper, files.directory, name, one)
            if not files.certificate.exists():
                return "it has no certificate yet"
            try:
                LabApi(files.kubeconfig).request("GET", "/api/v1/namespaces/default")
            except ClusterError as error:
                return error.message
            return ""

        try:
            wait_until(look, "the API server", limit=_API_LIMIT)
        except ClusterError as error:
            if left and "address already in use" in error.message:
                continue
            raise
        return child
    raise AssertionError("the last try returns or raises")


def _register(kubeconfig: Path, nodes: list[Object]) -> None:
    """Make the node objects. Raises ClusterError."""

    def register(some: list[Object]) -> None:
        api = LabApi(kubeconfig)
        for one in some:
            api.request("POST", "/api/v1/nodes", one)
        api.close()

    at_once = 4
    with ThreadPoolExecutor(at_once, "nodes") as pool:
        list(pool.map(register, [nodes[number::at_once] for number in range(at_once)]))


def _await_controllers(files: LabFiles, keeper: Keeper) -> None:
    """Wait until pods may be made: controllers have made the service account that they need."""
    api = LabApi(files.kubeconfig)

    def look() -> str:
        for name, child in _children(files.directory).items():
            _alive(keeper, files.directory, name, child)
        try:
            api.request("GET", _ACCOUNT)
        except ClusterError as error:
            return error.message
        return ""

    wait_until(look, "the first service account", limit=_CONTROLLERS_LIMIT, interval=0.05)
    api.close()


def _alive(keeper: KeeperClient, directory: Path, name: str, child: int) -> None:
    how = how_ended(keeper.ended(child))
    if not how:
        return
    lines = (directory / f"{name}.log").read_text(errors="replace").splitlines()[-_LAST:]
    told = "\n".join(f"    {line[:400]}" for line in lines)
    raise ClusterError(f"{name} of lab {directory.name} has ended: {how}\n{told}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# What another process must know to act on the lab's processes; nothing in it is secret.
_FILE = "lab.json"


def _notes(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / _FILE).read_text())
    except (OSError, ValueError) as error:
        raise KindaError(
            f"{directory / _FILE}: the lab's notes cannot be read: {error}",
            remedy=f"kinda clean {directory.name}",
        ) from error
    return found


def _write_notes(directory: Path, notes: Mapping[str, Any]) -> None:
    made = directory / f".{_FILE}"
    made.write_text(json.dumps(notes))
    made.replace(directory / _FILE)


def _children(directory: Path) -> dict[str, int]:
    return dict(_notes(directory).get("children", {}))


def _remember(directory: Path, children: Mapping[str, int]) -> None:
    notes = _notes(directory)
    _write_notes(directory, {**notes, "children": {**notes.get("children", {}), **children}})
