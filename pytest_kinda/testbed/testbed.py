"""The testbed: everything that a test holds of what stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import KindaError, UndoError
from pytest_kinda.plan.values import NodePlan, Plan, PlanOptions
from pytest_kinda.testbed.attachments import Applier, Capturer, NodeExecution
from pytest_kinda.testbed.building import standing_of
from pytest_kinda.testbed.capture import Capture
from pytest_kinda.testbed.clusters import add_families, await_services, make_cluster
from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.devices import DeviceHandle, handle_class
from pytest_kinda.testbed.evidence import Piece, collect, questions_of
from pytest_kinda.testbed.families import family
from pytest_kinda.testbed.faults import Fault, Faults, Ledger
from pytest_kinda.testbed.fidelity import Fidelity, fidelity_of
from pytest_kinda.testbed.flapping import flap
from pytest_kinda.testbed.helpers import helpers_broken
from pytest_kinda.testbed.leaks import Leaks, read_leaks
from pytest_kinda.testbed.lifecycle import ContainerLifecycle
from pytest_kinda.testbed.links import LinkHandle
from pytest_kinda.testbed.networkfaults import NetworkFaults
from pytest_kinda.testbed.nodes import KubernetesNodeHandle, NodeHandle, addresses_of
from pytest_kinda.testbed.partition import cut_between
from pytest_kinda.testbed.places import Ends, Where, points
from pytest_kinda.testbed.processes import Process
from pytest_kinda.testbed.publishing import Publication
from pytest_kinda.testbed.reachability import Reachability, reachability
from pytest_kinda.testbed.relays import Relays
from pytest_kinda.testbed.results import Result
from pytest_kinda.testbed.sending import Sending
from pytest_kinda.testbed.sockets import Sockets
from pytest_kinda.testbed.tracing import PATTERN, Trace, trace_of
from pytest_kinda.testbed.traffic import Addressed, ping
from pytest_kinda.testbed.verification import Verification, verify

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.cluster import Cluster
    from pytest_kinda.testbed.kubectl import Kubectl
    from pytest_kinda.topology import Topology


class Testbed(Sending):
    """A network and a cluster that stand; a context manager that removes them at its end.

    Example::

        with Testbed(TRIANGLE) as kinda:
            assert kinda.reachability()
            kinda.node("w1").exec("ping", "-c", "1", kinda.node("w2").endpoint)
    """

    __test__ = False  # pytest: this is no test class

    def __init__(
        self,
        what: Topology | Plan | Standing,
        show: Callable[[str], None] = lambda text: None,
        *,
        options: PlanOptions | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        keep: bool = False,
    ) -> None:
        """Build a topology (or a plan that was made before), or hold what stands already.

        ``progress`` is told the steps of the build, ``name`` is its id (else six random digits),
        ``keep`` leaves it standing when this process ends. Raises PlanError, and BuildError after
        everything has been removed again.
        """
        standing, built = standing_of(
            what, options=options, progress=progress, name=name, keep=keep
        )
        self._show = progress.info if progress else show
        self._lock = threading.RLock()
        self._ledger = Ledger()
        self._sockets = Sockets(standing)
        self._relays = Relays(standing, self._ledger)
        self._processes: list[Process] = []
        self._captures: list[Capture] = []
        self._lifecycle = self._lifecycle_of(standing)
        self._cluster: Cluster | None = None
        self._numbers = 0
        self._closed = False
        self._test_began = time.time()
        super().__init__(standing, self._faults_of(standing), self._handle)
        if built:
            try:
                add_families(self.plan, lambda: self.cluster)
                await_services(self.plan, self.kubernetes_nodes, progress)
            except BaseException:
                self.close()
                raise

    def _lifecycle_of(self, standing: Standing) -> ContainerLifecycle:
        return ContainerLifecycle(standing, self._ledger, self._captures)

    def _faults_of(self, standing: Standing) -> NetworkFaults:
        return NetworkFaults(self._ledger, Applier(standing))

    # Life

    @classmethod
    def build(
        cls,
        declared: Topology | Plan,
        *,
        options: PlanOptions | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        keep: bool = False,
    ) -> Testbed:
        """``Testbed(declared, ...)``, under the name that says what it does."""
        return cls(declared, options=options, progress=progress, name=name, keep=keep)

    @classmethod
    def open(cls, name: str | Path, *, owner: bool = False) -> Testbed:
        """A testbed that another process built, by its id or directory.

        ``owner`` keeps it alive while this process runs. Raises KindaError, HostError.
        """
        from pytest_kinda.build.catalogue import open_standing

        return cls(open_standing(name, owner=owner))

    def close(self) -> None:
        """Heal, end what tests started, and remove everything; a second time does nothing.

        Raises UndoError with what could not be removed.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._end_processes()
        self._let_go()
        # The undo removes what is paused or captured as well: what fails here is told by it.
        for capture in self._captures:
            if capture.running:
                _quietly(capture.stop)
        self._ledger.heal_all()
        left = self.standing.keeper.undo(self._show)
        if left:
            raise UndoError(self.id, left)

    def keep(self) -> None:
        """Leave it standing after this process; ``kinda clean`` removes it. Raises HostError."""
        self.put_back()
        self._let_go()
        self.standing.keeper.keep(True)
        with self._lock:
            self._closed = True

    def leave(self) -> None:
        """Put it back and let go of it: whoever built it, or keeps it, decides how long it stands.

        Raises KindaError with what could not be put back.
        """
        self.put_back()
        self._let_go()
        with self._lock:
            self._closed = True

    def begin_test(self, name: str) -> None:
        """A test begins: evidence of it holds what was logged from now on."""
        self._test_began = time.time()

    @property
    def test_began(self) -> float:
        """When the test that runs began, or the testbed itself; seconds since the epoch."""
        return self._test_began

    def put_back(self) -> None:
        """As it was before the test: processes ended, sockets and captures closed, faults healed.

        The test's namespace is deleted in the background. Raises KindaError with what could not
        be put back.
        """
        self._end_processes()
        problems = []
        for capture in [one for one in self._captures if one.running]:
            problems += _quietly(capture.stop)
        self._captures.clear()
        # before healing takes them away
        problems += helpers_broken(self.standing, self._nodes, self._lifecycle.away)
        problems += self._ledger.heal_all()
        problems += self._put_devices_back()
        if self._cluster is not None:
            problems += _quietly(self._cluster.end_namespace)
            self._begin_namespace(self._cluster)
        if problems:
            raise KindaError(
                f"testbed {self.id} could not be put back: " + "; ".join(problems),
                remedy=f"kinda clean {self.id}",
            )

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What it does

    def exec(self, name: str, *argv: str, **options: Any) -> Result:
        """``node(name).exec(...)``."""
        return self.node(name).exec(*argv, **options)

    @property
    def cluster(self) -> Cluster:
        """Its Kubernetes cluster. Raises KindaError where the topology has none."""
        with self._lock:
            if self._cluster is None:
                self._cluster = make_cluster(self, self._remember, self._show)
                self._begin_namespace(self._cluster)
            return self._cluster

    @property
    def kubectl(self) -> Kubectl:
        """The real kubectl on its kubeconfig: ``kinda.kubectl("get", "pods", json=True)``."""
        return self.cluster.kubectl

    def show(self, line: str) -> None:
        """Tell whoever watches, where somebody does, a line of what is going on."""
        self._show(line)

    def capture(
        self,
        where: Where = None,
        *,
        filter: str = "",
        ends: Ends = "a",
        path: str | Path | None = None,
        snaplen: int = 262144,
        allow_drops: bool = False,
    ) -> Capture:
        """A capture to be started, by ``with`` or ``start()``.

        ``where``: an interface, a link (its end a; see ``ends``), a node, a pod, a text such as
        ``"w1:eth1"`` or ``"r1--r2"``, several of them, or None for everywhere. ``filter`` is in
        tcpdump's language; ``path`` where the pcapng file goes (else in the testbed's directory).
        A capture that lost packets raises CaptureError unless ``allow_drops``. Example::

            with kinda.capture(kinda.link("r1", "r2"), filter="proto gre") as capture: ...
        """
        found = points(self, where, ends)
        if path is None:
            folder = self.directory / "captures"
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{self._next_number()}.pcapng"
        capture = Capture(
            Capturer(self.standing),
            found,
            Path(path).resolve(),
            expression=filter,
            snaplen=snaplen,
            allow_drops=allow_drops,
        )
        self._captures.append(capture)
        return capture

    def reachability(self, *, wait: float = 1.0, every_address: bool = False) -> Reachability:
        """Who reaches whom: a ping really sent from every node to every other.

        ``wait`` in seconds for an answer; with ``every_address`` all addresses of a node count.
        """
        return reachability(self.nodes, self.nodes, wait=wait, every_address=every_address)

    def leaks(self) -> Leaks:
        """What the leak guards have counted since the testbed was built."""
        return read_leaks(self.kubernetes_nodes, outside=self.plan.uplink is not None)

    def verify(self, *, wait: float = 1.0, measure: bool = False) -> Verification:
        """Send packets everywhere and read the leak guards; truthy when all is as declared.

        With ``measure`` rate, delay, loss and MTU of every link are measured as well, and the ways
        that packets take (see ``fidelity``): seconds for each declared rate. Raises HostError.
        """
        found = verify(self.plan, self.nodes, wait=wait)
        return replace(found, fidelity=self.fidelity()) if measure else found

    def fidelity(self) -> Fidelity:
        """Measure what was declared on what is there; truthy when they agree, its text a table.

        Each direction of a link: its rate, saturated for 2 s, within 3 % in bytes of frames; its
        delay within 0.2 ms and 2 %; its loss within the binomial 99 % interval; its MTU exactly.
        Then the way between all nodes whose routes are planned. What is found wrong is measured
        twice. Faults in force are measured like everything else. Raises HostError. Example::

            found = kinda.fidelity()
            assert found, str(found)
        """
        return fidelity_of(self)

    def evidence(self, folder: str | Path, *, limit: float = 30.0) -> tuple[Piece, ...]:
        """Write what the testbed looks like now to files in a folder; which, and what is missing.

        Plan, interfaces, routes, queues and counters of every node, last log lines, pods, events,
        leak guards. ``limit`` in seconds is for all together. Raises OSError if the folder cannot
        be made, and nothing for what could not be had.
        """
        return collect(questions_of(self, limit=min(10.0, limit)), Path(folder), limit=limit)

    def publish(self, objects: Sequence[Mapping[str, Any]], what: str = "objects") -> Publication:
        """Apply objects to the cluster until they are withdrawn, at the latest after the test.

        Applied by the server under a field manager of its own (``kubectl apply --server-side``):
        labels can be added to a node and go again. Use it as a call or as a context manager.
        Raises ClusterError, also where another manager has given a field another value. Example::

            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1"}}
            node["metadata"]["labels"] = {"rack": "a"}
            with kinda.publish([node]): ...
        """
        api = self.cluster.api
        return Publication(api, self.directory, self._ledger, f"published {what}").begin(objects)

    def trace(self, source: str | CommandPlace, target: str | Addressed) -> Trace:
        """The nodes and interfaces that a packet really crosses, in the order of time.

        One ping is sent while every interface of the virtual network is captured. Raises
        CommandError where the source has no ping. Example::

            assert kinda.trace("w1", "w2").nodes == ("w1", "r1", "r2", "w2")
        """
        place = self._place(source)
        with self.capture(filter="icmp or icmp6 or proto gre or vlan") as capture:
            answer = ping(place, self._target(target, place), count=1, pattern=PATTERN)
        macs = {
            str(end): end.mac
            for node in self.nodes
            if addresses_of(node.planned)
            for end in node.interfaces
        }
        return trace_of(capture.packets, macs, arrived=bool(answer))

    # Faults

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are not healed, oldest first."""
        return self._ledger.open

    def heal(self) -> None:
        """Heal every fault, the newest first. Raises KindaError with what could not be healed."""
        if problems := self._ledger.heal_all():
            raise KindaError(f"testbed {self.id}: not healed: " + "; ".join(problems))

    def partition(self, one: Iterable[str], other: Iterable[str]) -> Faults:
        """Cut the fewest links that leave no path between two groups of nodes.

        Use it as a call or as a context manager. Raises UnknownNameError, and KindaError for
        groups that share a node. Example::

            with kinda.partition({"w1"}, {"w2", "w3"}): ...
        """
        groups = [tuple(self.node(name).name for name in group) for group in (one, other)]
        names = cut_between(self.plan.links, *groups)
        made: list[Fault] = []
        try:
            for name in names:
                made.append(self.link(name).down())
        except BaseException:
            Faults(made).heal()
            raise
        return Faults(made)

    def flap(
        self, link: str | LinkHandle, *, period: float = 1.0, down: float | None = None
    ) -> Fault:
        """Cut a link for ``down`` seconds (half the period) in every ``period`` seconds.

        Use it as a call or as a context manager. Raises KindaError, HostError. Example::

            with kinda.flap("r1--r2", period=2.0): ...
        """
        found = self.link(link) if isinstance(link, str) else link
        return flap(found, self._ledger, period=period, down=down)

    def inflict(self, what: str, bite: Callable[[], object], heal: Callable[[], None]) -> Fault:
        """A fault of one's own: known from before ``bite``, healed at the latest after the test.

        Use it as a call or as a context manager.
        """
        return self._ledger.inflict(what, bite, heal)

    # Parts

    if TYPE_CHECKING:
        app_graph: Callable[..., Any]
        assert_unschedulable: Callable[..., Any]
        explain: Callable[..., Any]
        explaining: Callable[..., Any]
        int_collector: Callable[..., Any]
        kueue: Callable[..., Any]
        network_facts: Callable[..., Any]
        p4runtime: Callable[..., Any]
        placements: Callable[..., Any]
        replay: Callable[..., Any]
        scheduler: Callable[..., Any]
        simulated_nodes: Callable[..., Any]
    else:

        def __getattr__(self, name: str) -> Any:
            """A family of handles, such as ``network_facts``."""
            found = None if name.startswith("_") else family(name)
            if found is None:
                raise AttributeError(f"a testbed has no {name!r}")
            return partial(found, self)

    def _handle(self, planned: NodePlan) -> NodeHandle:
        kind = KubernetesNodeHandle if planned.is_kubernetes else handle_class(planned)
        execution = NodeExecution(self.standing, planned.name)
        return kind(
            planned, execution, self._lifecycle, self._remember, self._sockets, self._relays
        )

    def _remember(self, process: Process) -> None:
        with self._lock:
            self._processes = [one for one in self._processes if one.running] + [process]

    def _end_processes(self) -> None:
        self._sockets.close()
        with self._lock:
            processes, self._processes = self._processes, []
        for process in reversed(processes):
            if process.running:
                _quietly(partial(process.stop, grace=0.5))

    def _let_go(self) -> None:
        for device in self.devices:
            _quietly(device.close)

    def _put_devices_back(self) -> list[str]:
        kinds = [one for one in self.devices if type(one).put_back is not DeviceHandle.put_back]
        if not kinds or not self.standing.has_data_path:
            return []  # those of a lab are only declared
        with ThreadPoolExecutor(min(8, len(kinds)), "put back") as pool:
            found = pool.map(_quietly, [one.put_back for one in kinds])
            return [text for each in found for text in each]

    def _next_number(self) -> int:
        with self._lock:
            self._numbers += 1
            return self._numbers

    def _begin_namespace(self, cluster: Cluster) -> None:
        cluster.begin_namespace(f"test-{self._next_number()}")

    def __repr__(self) -> str:
        return f"<testbed {self.id} of {self.plan.topology}>"


def _quietly(act: Callable[[], object]) -> list[str]:
    """Do it; an error of ours as text."""
    try:
        act()
    except (KindaError, OSError) as error:
        return [str(error)]
    return []
