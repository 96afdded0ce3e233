"""The cluster of a lab: its objects are real, and nothing runs in it."""

from __future__ import annotations

from typing import Any, NoReturn

from pytest_kinda.errors import LabError
from pytest_kinda.testbed.cluster import Cluster
from pytest_kinda.testbed.pods import NOWHERE, PodHandle

_REMEDY = "run it without --kinda-lab, or on a Testbed"


class LabPod(PodHandle):
    """A pod that is only an object: it has a node and a state."""

    def container(self, name: str) -> PodHandle:
        """The same pod."""
        return self

    def _need_machine(self, what: str) -> NoReturn:
        raise LabError(f"pod {self.name}: {what}: {NOWHERE}", remedy=_REMEDY)


class LabCluster(Cluster):
    """The cluster of a lab."""

    def pod(self, name: str, *, namespace: str | None = None, container: str = "") -> PodHandle:
        """A pod by name; nothing is asked of the cluster yet."""
        return LabPod(self, namespace or self.namespace, name, container, self._remember)

    def run_job(self, name: str, **options: Any) -> NoReturn:
        """Refused: its command would not be run. Raises LabError."""
        self._refuse(f"job {name}")

    def wait_for_service(self, name: str, **options: Any) -> NoReturn:
        """Refused: pods without addresses are no endpoints. Raises LabError."""
        self._refuse(f"service {name}")

    def expose(self, name: str, **options: Any) -> NoReturn:
        """Refused: pods without addresses are no endpoints. Raises LabError."""
        self._refuse(f"service {name}")

    def port_forward(self, what: str, port: int, **options: Any) -> NoReturn:
        """Refused: nothing listens. Raises LabError."""
        self._refuse(f"a port of {what}")

    def _refuse(self, what: str) -> NoReturn:
        raise LabError(
            f"{what}: the nodes of a lab are only objects: nothing runs on them and no packet gets "
            "there",
            remedy=_REMEDY,
        )
