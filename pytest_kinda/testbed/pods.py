"""Pods that a test holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import LabError
from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.podexec import PodExecution
from pytest_kinda.testbed.processes import Process
from pytest_kinda.testbed.resources import resource
from pytest_kinda.testbed.states import Object, describe

if TYPE_CHECKING:
    from pytest_kinda.testbed.cluster import Cluster

_PODS = resource("pod")
NOWHERE = "it is on a node that is only an object: nothing runs there and no packet gets there"
ELSEWHERE = "put it on a node of the topology, or ask for its placement only"


class PodHandle(CommandPlace):
    """A pod. Example::

    client = kinda.cluster.run_pod("client", node="w1")
    client.exec("ping", "-c", "1", server.ip)
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        container: str = "",
        remember: Callable[[Process], None] | None = None,
    ) -> None:
        super().__init__(
            f"pod {namespace}/{name}",
            PodExecution(cluster.api, namespace, name, container, self._need_machine),
            remember,
        )
        self._cluster = cluster
        self.namespace = namespace
        self.name = name
        self._container = container
        self._seen: Object | None = None

    def read(self) -> Object:
        """The pod as the API server has it now. Raises ClusterError where it is gone."""
        self._seen = self._cluster.api.get(_PODS.path(self.namespace, self.name))
        return self._seen

    def _known(self, *path: str) -> str:
        """A value that does not change once it is there."""
        for attempt in range(2):
            value: Any = self._seen if self._seen and not attempt else self.read()
            for key in path:
                value = (value or {}).get(key)
            if value:
                return str(value)
        return ""

    def _need_machine(self, what: str) -> None:
        """Refuse what its node cannot do. Raises LabError where that is only an object."""
        simulated = self._cluster.simulated
        if simulated and self.node in simulated:
            raise LabError(f"pod {self.name}: {what}: {NOWHERE}", remedy=ELSEWHERE)

    @property
    def ip(self) -> str:
        """Its address; empty while it has none. Raises LabError where it will never have one."""
        self._need_machine("its address")
        return self._known("status", "podIP")

    @property
    def ips(self) -> tuple[str, ...]:
        """Its addresses, one for each family of the cluster; none while it has none."""
        self._need_machine("its addresses")
        for attempt in range(2):
            read = self._seen if self._seen and not attempt else self.read()
            if found := (read.get("status") or {}).get("podIPs"):
                return tuple(str(one["ip"]) for one in found)
        return ()

    @property
    def ip6(self) -> str:
        """Its IPv6 address; empty where it has none."""
        return next((one for one in self.ips if ":" in one), "")

    @property
    def node(self) -> str:
        """The declared name of the node that it is on; empty while it is on none."""
        return self._known("spec", "nodeName")

    @property
    def phase(self) -> str:
        """Its phase now, such as ``Running``."""
        return str((self.read().get("status") or {}).get("phase", ""))

    @property
    def state(self) -> str:
        """Its state now, in words."""
        return describe(self.read())

    def container(self, name: str) -> PodHandle:
        """The same pod, with commands and logs of another of its containers."""
        return PodHandle(self._cluster, self.namespace, self.name, name, self._remember)

    def logs(self, *, previous: bool = False, since: float | None = None) -> str:
        """What its container has printed. ``since`` in seconds before now. Raises ClusterError."""
        self._need_machine("its log")
        query: dict[str, Any] = {"container": self._container} if self._container else {}
        if previous:
            query["previous"] = "true"
        if since is not None:
            query["sinceSeconds"] = max(1, round(since))
        path = _PODS.path(self.namespace, self.name) + "/log"
        return str(self._cluster.api.request("GET", path, query, text=True))

    def wait_for(self, condition: str = "Ready", *, timeout: float = 60.0) -> PodHandle:
        """Wait until it is Ready, Succeeded and the like. Raises WaitTimeoutError, ClusterError."""
        self._seen = self._cluster.wait_for(
            f"pod/{self.name}", condition, namespace=self.namespace, timeout=timeout
        )
        return self

    def delete(self, *, wait: bool = True, timeout: float = 60.0) -> None:
        """Delete it; one that is gone already is no error."""
        self._cluster.delete(
            f"pod/{self.name}", namespace=self.namespace, wait=wait, timeout=timeout
        )

    def capture_point(self) -> tuple[str, str]:
        """The node and the interface there that is the other end of the pod's own.

        Directions of packets are those of the node: what the pod sends is ``in``.
        """
        self._need_machine("a capture")
        index = self.exec("cat", "/sys/class/net/eth0/iflink").stdout.strip()
        node = self._cluster.node(self.node)
        listed = node.exec("ip", "-j", "link", "show").json()
        for one in listed:
            if str(one.get("ifindex")) == index:
                return node.name, str(one["ifname"])
        raise self._cluster.error(f"pod {self.name}: its interface is not on node {node.name}")

    def __repr__(self) -> str:
        return f"<pod {self.namespace}/{self.name}>"
