"""Carry a plan out: the network and the cluster side by side, then what joins them.

Whatever fails, everything that was made is undone before the error is raised; the logs stay.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kinda.build import balancer, on_demand, programs, readiness
from pytest_kinda.build.devices import await_kathara, start_devices
from pytest_kinda.build.direct import DirectEngine
from pytest_kinda.build.directories import new_testbed_directory
from pytest_kinda.build.engine import Deployed, NetworkEngine
from pytest_kinda.build.execution import ContainerExecution
from pytest_kinda.build.failing import build_step, undone
from pytest_kinda.build.kathara import KatharaEngine
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.kind import KindRun, cluster_name, make_cluster_network
from pytest_kinda.build.nodes import NodeWatch
from pytest_kinda.build.outside import cluster_hosts, make_uplink
from pytest_kinda.build.progress import Progress, Silent
from pytest_kinda.build.relays import FOLLOWER, open_relays, relays_of
from pytest_kinda.build.room import check, check_unclaimed
from pytest_kinda.build.standing import Standing
from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.host.client import Keeper
from pytest_kinda.jsonvalues import to_json
from pytest_kinda.operations import Operation, Place
from pytest_kinda.plan import (
    cni_operations,
    configure_operations,
    control_plane_operations,
    tunnel_operations,
    wire_operations,
)
from pytest_kinda.plan.values import Plan

WATCH = "the watch that wires nodes which start again"


def build(
    plan: Plan,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    directory: Path | None = None,
    keep: bool = False,
) -> Standing:
    """Build what a plan says, and return it when a packet has crossed between all its nodes.

    ``name`` is the testbed's id (default: six random hex digits), ``directory`` the directory that
    its own directory is made in. With ``keep`` it outlives this process. Raises BuildError after
    everything that was made has been removed; its message says where the logs are. A machine
    without room, or a name that others' Docker objects bear, is refused before anything is made.
    Ctrl-C undoes too, then goes on as KeyboardInterrupt.

    Example:
        ``standing = build(plan(topology, options, facts()), progress=Lines())``
    """
    testbed = name or secrets.token_hex(3)
    reporter = progress or Silent()
    check(plan)
    home = new_testbed_directory(testbed, directory)
    try:
        check_unclaimed(testbed)
        (home / "plan.json").write_text(json.dumps(to_json(plan)))
        keeper: KeeperClient = Keeper.start(home, testbed, owner=True)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    builder = _Builder(plan, testbed, home, keeper, reporter)
    try:
        standing = builder.run()
        if keep:
            keeper.keep(True)
        return standing
    except Exception as error:
        raise _undone(builder, error) from error
    except BaseException as error:
        _undone(builder, error)
        raise


class _Builder:
    def __init__(
        self, plan: Plan, testbed: str, home: Path, keeper: KeeperClient, progress: Progress
    ) -> None:
        self.plan = plan
        self.testbed = testbed
        self.home = home
        self.keeper = keeper
        self.progress = progress
        self.kathara = plan.options.engine == "kathara"
        self.engine: NetworkEngine = KatharaEngine() if self.kathara else DirectEngine()
        self.places: dict[str, Place] = {}
        self.containers: dict[str, str] = {}
        self.kind: KindRun | None = None
        self.watch: NodeWatch | None = None
        self.pool = ThreadPoolExecutor(4, "build")

    def run(self) -> Standing:
        self.keeper.note(
            state="building", topology=self.plan.topology, signature=self.plan.signature
        )
        if self.plan.uplink is not None:
            with build_step(self.progress, "uplink"):
                self._use(make_uplink(self.keeper, self.plan, self.testbed))
        network = self.pool.submit(self._network)
        cluster: Future[None] | None = None
        begun: list[Future[Any]] = [network]
        if self.plan.cluster is not None:
            watch = self._begin_cluster()
            cluster = self.pool.submit(self._cluster)
            begun.append(watch.started)
        _await(begun, watching=[cluster] if cluster else [])
        deployed = network.result()
        self._join(deployed)
        if cluster is not None:
            _await([cluster])
            self._await_ready()
        self.pool.shutdown()
        return self._complete()

    def _network(self) -> Deployed:
        if not self.plan.devices:
            return Deployed()
        if lacking := on_demand.missing(on_demand.images_of(self.plan)):
            with build_step(self.progress, f"{on_demand.STEP} ({', '.join(lacking)})"):
                on_demand.make(lacking, self.progress.info)
        if lacking := on_demand.chosen_missing(self.plan):
            with build_step(self.progress, f"{on_demand.STEP} ({', '.join(lacking)})"):
                on_demand.pull_chosen(lacking, self.progress.info)
        if wanted := programs.program_names(self.plan):
            with build_step(self.progress, f"{programs.STEP} ({', '.join(wanted)})"):
                programs.make_programs(self.plan)
        for note, names in notes(self.plan).items():
            self.progress.info(f"{', '.join(names)}: {note}")
        with build_step(self.progress, f"network ({len(self.plan.devices)} devices)"):
            return self.engine.deploy(self.plan, self.testbed, self.keeper)

    def _begin_cluster(self) -> NodeWatch:
        with build_step(self.progress, "Docker network"):
            self._use(make_cluster_network(self.keeper, self.plan, self.testbed))
            self.watch = NodeWatch(self.keeper, self.plan, cluster_name(self.testbed))
            self.watch.start()
            self.kind = KindRun(self.keeper, self.plan, self.testbed, self.home)
            return self.watch

    def _use(self, plan: Plan) -> None:
        """Go on with a plan that differs in what the machine gave."""
        if plan != self.plan:
            self.plan = plan
            (self.home / "plan.json").write_text(json.dumps(to_json(plan)))

    def _cluster(self) -> None:
        assert self.kind is not None
        with build_step(self.progress, f"kind cluster ({len(self.plan.kubernetes_nodes)} nodes)"):
            self.kind.start()
            self.kind.finish()

    def _join(self, deployed: Deployed) -> None:
        """Everything between the two halves; the kind cluster may still be coming up."""
        self.containers |= deployed.containers
        self.places |= deployed.places
        if self.watch is not None:
            self.watch.join()
            self.containers |= self.watch.containers
            self.places |= self.watch.places
        with build_step(self.progress, "wiring"):
            if self.kathara:
                await_kathara(self.plan.devices, self.containers)
            operations: list[Operation] = list(
                wire_operations(self.plan, deployed.bridges, self.testbed)
            )
            # names of the cluster first: what configures a node may end Docker's knowing them
            operations += cluster_hosts(self.plan, self.testbed)
            for node in self.plan.nodes:
                operations += configure_operations(self.plan, node)
            self.keeper.apply(operations, self.places)
            open_relays(self.keeper, self.plan, self.places)
        if self.plan.devices:
            with build_step(self.progress, "devices"):
                found = start_devices(self.plan.devices, self.containers, kathara=self.kathara)
            for note, names in found.items():
                self.progress.info(f"{', '.join(names)}: {note}")
        if self.plan.cluster is not None and self.plan.cluster.cni != "none":
            with build_step(self.progress, "tunnels and CNI"):
                self.keeper.apply(self._pod_network(), self.places)

    def _pod_network(self) -> list[Operation]:
        found: list[Operation] = []
        for node in self.plan.kubernetes_nodes:
            found += tunnel_operations(self.plan, node)
        # The conflist comes last: with it a node turns Ready and starts pods.
        for node in self.plan.kubernetes_nodes:
            found += cni_operations(self.plan, node)
        return found

    def _await_ready(self) -> None:
        assert self.kind is not None
        with build_step(self.progress, "nodes and system pods"):
            readiness.await_cluster(self.plan, self.kind.kubeconfig)
        with build_step(self.progress, "packets between all nodes"):
            opener = partial(self.keeper.open_socket, places=self.places)
            readiness.await_reachability(self.plan, opener)
        if self.plan.options.control_plane_traffic == "network":
            with build_step(self.progress, "control plane's traffic"):
                self._divert_control_plane()

    def _divert_control_plane(self) -> None:
        assert self.kind is not None
        assert self.watch is not None
        operations: list[Operation] = []
        for node in self.plan.kubernetes_nodes:
            operations += control_plane_operations(self.plan, node, self.watch.addresses)
        self.keeper.apply(operations, self.places)
        readiness.await_control_plane(self.plan, self.kind.kubeconfig)

    def _complete(self) -> Standing:
        kubeconfig = self.kind.kubeconfig if self.kind is not None else None
        self.keeper.note(
            state="complete",
            containers=dict(self.containers),
            places={name: to_json(place) for name, place in self.places.items()},
            kubeconfig=str(kubeconfig) if kubeconfig else None,
        )
        argv = [sys.executable, "-m", "pytest_kinda.build.watch", str(self.home)]
        self.keeper.tend(argv, name=WATCH, log=self.home / "watch.log")
        if any(one.pod for _, _, one in relays_of(self.plan)):
            argv = [sys.executable, "-m", "pytest_kinda.build.relays", str(self.home)]
            self.keeper.tend(argv, name=FOLLOWER, log=self.home / "relays.log")
        return Standing(
            self.testbed,
            self.home,
            self.plan,
            self.places,
            self.containers,
            kubeconfig,
            connect=partial(Keeper.connect, self.home),
            _keeper=self.keeper,
        )

    def give_up(self, why: BaseException) -> None:
        """End what still runs, so that nothing is made while the undo looks."""
        if self.watch is not None:
            self.watch.stop(why)
        if self.kind is not None:
            try:
                self.kind.kill()
            except KindaError as error:
                self.progress.info(f"kind could not be ended by name: {error.message}")
        self.pool.shutdown(wait=True, cancel_futures=True)
        if self.watch is not None:
            self.watch.join()

    def collect(self) -> None:
        """Put the nodes' own logs beside ours, as far as there are any."""
        if self.watch is None:
            return
        for name, container in self.watch.containers.items():
            argv = ["journalctl", "--no-pager", "-n", "200", "-u", "kubelet", "-u", "containerd"]
            try:
                finished = ContainerExecution(container, name).run(argv, timeout=10)
            except KindaError:
                continue
            (self.home / f"{name}.log").write_bytes(finished.stdout + finished.stderr)
        if balancer.is_needed(self.plan):
            try:
                said = balancer.logs(cluster_name(self.testbed))
            except KindaError:
                return
            (self.home / "load-balancer.log").write_text(said)


def notes(plan: Plan) -> dict[str, list[str]]:
    """What devices say of how they are carried out here, and which devices say it."""
    found: dict[str, list[str]] = {}
    for node in plan.devices:
        for note in node.device.notes if node.device else ():
            found.setdefault(note, []).append(node.name)
    return found


def _undone(builder: _Builder, error: BaseException) -> BuildError:
    """Undo a build that failed; the error that says so."""
    builder.give_up(error)
    builder.collect()
    return undone(builder.keeper, builder.home, builder.progress, error)


def _await(wanted: list[Future[Any]], watching: list[Future[Any]] | None = None) -> None:
    """Wait for all of ``wanted``; the first failure among these and ``watching`` is raised."""
    pending = set(wanted)
    others = set(watching or ())
    while pending:
        done, _ = wait(pending | others, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        pending -= done
        others -= done
