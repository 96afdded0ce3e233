"""Nodes that a test holds: containers with interfaces, in which commands run."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pytest_kinda.errors import KindaError, UnknownNameError
from pytest_kinda.plan.values import NodePlan
from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.faults import Fault
from pytest_kinda.testbed.interfaces import Counters, InterfaceHandle, parse_counters
from pytest_kinda.testbed.processes import Execution, Process
from pytest_kinda.testbed.relays import Relays
from pytest_kinda.testbed.sockets import Sockets, UdpEnd, bound

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing


class Lifecycle(Protocol):
    """How a node is stopped and continued, whatever it runs in."""

    def pause(self, node: NodeHandle) -> Fault:
        """Freeze all its processes."""
        ...

    def kill(self, node: NodeHandle) -> Fault:
        """End all its processes at once."""
        ...

    def restart(self, node: NodeHandle, *, grace: float, wait: bool) -> Fault:
        """Stop it and start it again."""
        ...


class NodeHandle(CommandPlace):
    """A node of the testbed. Example::

    w1 = kinda.node("w1")
    w1.exec("ip", "route").stdout, w1.endpoint, w1.interface("eth1").mac
    """

    def __init__(
        self,
        planned: NodePlan,
        execution: Execution,
        lifecycle: Lifecycle,
        remember: Callable[[Process], None] | None = None,
        sockets: Sockets | None = None,
        relays: Relays | None = None,
    ) -> None:
        super().__init__(f"node {planned.name}", execution, remember)
        self.planned = planned
        self._lifecycle = lifecycle
        self._sockets = sockets
        self._relays = relays

    @property
    def name(self) -> str:
        """Its declared name."""
        return self.planned.name

    @property
    def kind(self) -> str:
        """Its kind, such as ``router`` or ``worker``."""
        return self.planned.kind

    @property
    def interfaces(self) -> tuple[InterfaceHandle, ...]:
        """Its interfaces on the virtual network, in the order of its links."""
        return tuple(InterfaceHandle(self, one) for one in self.planned.interfaces)

    def interface(self, name: str) -> InterfaceHandle:
        """The interface of that name. Raises UnknownNameError."""
        for one in self.interfaces:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.interfaces) or "none"
        raise UnknownNameError(
            f"{self.name} has no interface {name!r} on the virtual network; it has {known}"
        )

    @property
    def endpoint(self) -> str:
        """The address that stands for the node.

        A Kubernetes node's is its InternalIP and where its GRE ends. Raises KindaError for a node
        without any address, such as a switch.
        """
        found = addresses_of(self.planned)
        if not found:
            raise KindaError(f"{self.name} ({self.kind}) has no address on the virtual network")
        return found[0]

    @property
    def ip(self) -> str:
        """``endpoint``."""
        return self.endpoint

    def counters(self) -> dict[str, Counters]:
        """What each of its interfaces has counted, by name; Docker's and tunnels too."""
        return parse_counters(self.read_text("/proc/net/dev"))

    @property
    def standing(self) -> Standing:
        """The testbed that it is of."""
        return self._opener().standing

    def socket(
        self,
        family: int = socket.AF_INET,
        kind: int = socket.SOCK_STREAM,
        protocol: int = 0,
    ) -> socket.socket:
        """A socket of this process in the network of the node: it sends from there.

        Closed after the test at the latest, and when the node is killed or restarted. Raises
        HostError. Example::

            with kinda.node("h1").socket() as stream:
                stream.connect((kinda.node("h2").ip, 80))
        """
        return self._opener().open(self.name, family, kind, protocol)

    def udp(self, port: int = 0, *, address: str = "") -> UdpEnd:
        """Datagrams from and to the node: a UDP socket of this process in its network.

        ``port`` 0 is any free one; ``address`` (all of its own unless given) where it listens.
        Use it as a context manager. Raises HostError for a port that is taken.
        """
        return bound(self._opener(), self.name, address or self.endpoint, port, address)

    def pause(self) -> Fault:
        """Freeze all its processes until the fault is healed, at the latest after the test.

        Use it as a call or as a context manager. Raises HostError.
        """
        return self._lifecycle.pause(self)

    def kill(self) -> Fault:
        """End all its processes at once, as a loss of power does; its files stay.

        Healing, at the latest after the test, starts it and waits until it has its links back and
        reaches what it reached before; a node of the cluster is Ready then. Use it as a call or as
        a context manager. Raises HostError, WaitTimeoutError. Example::

            with kinda.node("w1").kill():
                assert not kinda.ping("w2", "w1", count=1)
        """
        self._close_sockets()
        return self._lifecycle.kill(self)

    def restart(self, *, grace: float = 2.0, wait: bool = True) -> Fault:
        """Stop it, with ``grace`` seconds to end by itself, and start it again; its files stay.

        Returns when it has its links back and reaches what it reached before; a node of the
        cluster is Ready then. With ``wait=False`` it returns while the node starts, and healing
        waits: at the end of a ``with`` block, or after the test. Raises HostError,
        WaitTimeoutError. Example::

            kinda.device("r1").restart()
        """
        self._close_sockets()
        return self._lifecycle.restart(self, grace=grace, wait=wait)

    def _opener(self) -> Sockets:
        if self._sockets is None:
            raise KindaError(f"{self.name}: its testbed opens no sockets")
        return self._sockets

    def _close_sockets(self) -> None:
        """They would keep the network of a node that is gone alive, and answering."""
        if self._sockets is not None:
            self._sockets.close(self.name)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class KubernetesNodeHandle(NodeHandle):
    """A node of the cluster."""

    @property
    def is_control_plane(self) -> bool:
        """Whether the API server runs on it."""
        return self.planned.role == "control-plane"

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        """The networks that its pods get their addresses from, one for each family."""
        return self.planned.pod_cidrs

    @property
    def ip6(self) -> str:
        """Its IPv6 InternalIP, which pods and nodes of the cluster reach by GRE.

        Empty in a cluster of IPv4 only.
        """
        return self.planned.endpoint6


def addresses_of(planned: NodePlan) -> tuple[str, ...]:
    """Every address of a node without prefix lengths, the one that stands for it first.

    None of a sealed device, whose program may answer on them or not.
    """
    if planned.is_sealed:
        return ()
    found = [planned.endpoint] if planned.endpoint else []
    found += [address.partition("/")[0] for address in planned.loopback]
    for interface in planned.interfaces:
        found += [address.partition("/")[0] for address in interface.addresses]
    return tuple(dict.fromkeys(found))
