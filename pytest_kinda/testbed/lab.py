"""A lab that a test holds: a cluster whose nodes and links are only declared.

What schedulers do is real: the API server, the controllers, the scheduler, their objects. What
needs a machine or a packet is refused at once, in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_kinda.build.lab import LabStanding, build_lab
from pytest_kinda.plan.values import USUAL, Plan, PlanOptions
from pytest_kinda.testbed.attachments import Applier
from pytest_kinda.testbed.faults import Fault
from pytest_kinda.testbed.lifecycle import ContainerLifecycle
from pytest_kinda.testbed.networkfaults import NetworkFaults
from pytest_kinda.testbed.testbed import Testbed
from pytest_kinda.topology import Topology

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.cluster import Cluster
    from pytest_kinda.testbed.interfaces import InterfaceHandle
    from pytest_kinda.testbed.links import LinkHandle
    from pytest_kinda.testbed.nodes import NodeHandle


_POD_NETWORKS = "10.128.0.0/9"  # no pod has an address, but every node has a network for its pods


class Lab(Testbed):
    """etcd, an API server, controllers and a scheduler as processes, without Docker and root.

    Its nodes are those of a topology: objects with the declared labels, taints, cores and memory
    (8 cores, 32 GiB and 110 pods where nothing is declared). Pods on them are Running at once and
    do nothing; those of a job have ended well. They have no address, so that no service leads to
    them. Example::

        with Lab(leaf_spine(2, 4, 8)) as kinda:
            kinda.cluster.run_pod("web", requests={"cpu": "2"})
            assert kinda.placements("app=web").of("web") == "w1"

    What needs a machine or a packet raises LabError.
    """

    __test__ = False  # pytest: this is no test class

    def __init__(
        self,
        what: Topology | Plan | LabStanding,
        show: Callable[[str], None] = lambda text: None,
        *,
        options: PlanOptions | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        keep: bool = False,
    ) -> None:
        """Start the lab of a topology or plan; arguments are those of ``Testbed``.

        Raises PlanError, SetupError where its programs are not here, BuildError.
        """
        if isinstance(what, Topology):
            from pytest_kinda.plan import plan

            what = plan(what, _roomy(options or PlanOptions()), USUAL)
        if isinstance(what, Plan):
            what = build_lab(what, name=name, progress=progress, keep=keep)
        self.lab = what
        super().__init__(what, show, progress=progress)

    @property
    def cluster(self) -> Cluster:
        """Its cluster; a wait for it ends when a process of the control plane has ended."""
        made = self._cluster is None
        found = super().cluster
        if made:
            found.api.alarms.append(self.lab.check)
        return found

    def put_back(self) -> None:
        """As it was before the test. Raises KindaError, also where the control plane has died."""
        super().put_back()
        self.lab.check()

    def capture(self, *where: Any, **options: Any) -> NoReturn:
        """Refused: there is no packet to capture."""
        self._refuse("a capture")

    def reachability(self, **options: Any) -> NoReturn:
        """Refused: nobody sends anything."""
        self._refuse("reachability")

    def leaks(self) -> NoReturn:
        """Refused: there are no packets to leak."""
        self._refuse("a leak guard")

    def verify(self, **options: Any) -> NoReturn:
        """Refused: there is no network to be looked at."""
        self._refuse("verify")

    def fidelity(self) -> NoReturn:
        """Refused: there is nothing to measure."""
        self._refuse("fidelity")

    def trace(self, source: Any, target: Any) -> NoReturn:
        """Refused: no packet crosses anything."""
        self._refuse("a trace")

    def flap(self, link: str | LinkHandle, **options: Any) -> NoReturn:
        """Refused: a link carries nothing that could be cut."""
        self._refuse("a fault of a link")

    def _refuse(self, what: str) -> NoReturn:
        self.lab.need_data_path(what)
        raise AssertionError("a lab has no data path")

    def _lifecycle_of(self, standing: Standing) -> ContainerLifecycle:
        return _NoLifecycle(standing, self._ledger, self._captures)

    def _faults_of(self, standing: Standing) -> NetworkFaults:
        return _NoFaults(standing, self)

    def __repr__(self) -> str:
        return f"<lab {self.id} of {self.plan.topology}>"


def _roomy(options: PlanOptions) -> PlanOptions:
    """Options with networks for the pods of 30,000 nodes, unless their author has chosen one."""
    usual = options.pod_cidr == PlanOptions().pod_cidr
    return replace(options, pod_cidr=_POD_NETWORKS) if usual else options


class _NoLifecycle(ContainerLifecycle):
    """A node of a lab is no container."""

    def pause(self, node: NodeHandle) -> Fault:
        return self._refuse(node)

    def kill(self, node: NodeHandle) -> Fault:
        return self._refuse(node)

    def restart(self, node: NodeHandle, *, grace: float, wait: bool) -> Fault:
        return self._refuse(node)

    def _refuse(self, node: NodeHandle) -> Fault:
        self._standing.need_data_path(f"a fault of {node.name}")
        raise AssertionError("a lab has no data path")


class _NoFaults(NetworkFaults):
    """Links of a lab are as they were declared."""

    def __init__(self, standing: Standing, lab: Lab) -> None:
        super().__init__(lab._ledger, Applier(standing))
        self._lab = lab

    def cut(self, what: str, ends: Sequence[InterfaceHandle]) -> Fault:
        self._lab._refuse(what)

    def impair(
        self, what: str, ends: Sequence[InterfaceHandle], changes: Mapping[str, Any]
    ) -> Fault:
        self._lab._refuse(what)
