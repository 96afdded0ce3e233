"""A container of the testbed has started again: its node gets back what the plan gives it.

Docker gives it a new network namespace, its own network's interface and a fresh /etc/hosts; under
Kathara also the interfaces of its segments, in any order. The rest is operations of the plan, which
the keeper carries out. Start-up commands of a device come after the wiring, as in a build; files
are where they were, since the file system of the container is the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.devices import KATHARA_NAMING, await_device, said, start_device
from pytest_kinda.build.drivers import driver_of
from pytest_kinda.build.engine_api import containers_of, place_of
from pytest_kinda.build.execution import ContainerExecution
from pytest_kinda.build.kathara import find_bridges
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.kind import cluster_name, container_names
from pytest_kinda.build.labels import CLUSTER_LABEL
from pytest_kinda.build.nodes import hosts_lines
from pytest_kinda.build.outside import cluster_hosts, settle_names
from pytest_kinda.errors import GoneError, HostError, KindaError
from pytest_kinda.host.namespaces import start_time
from pytest_kinda.operations import AppendLines, Operation, Place, SetInterface
from pytest_kinda.plan import control_plane_operations, remade_ends, rewire_operations
from pytest_kinda.plan.values import NodePlan, Plan

WIRING_LIMIT = 20.0

_MACS = 'for one in /sys/class/net/*; do echo "${one##*/} $(cat "$one/address")"; done 2>/dev/null'


class Rewiring:
    """Re-wires nodes one at a time; ``places`` are the newest that it knows of each."""

    def __init__(
        self, keeper: KeeperClient, plan: Plan, testbed: str, places: Mapping[str, Place]
    ) -> None:
        self.keeper = keeper
        self.plan = plan
        self.testbed = testbed
        self.places = dict(places)
        self._bridges: Mapping[str, str] | None = None

    def restarted(self, name: str) -> bool:
        """Whether the node's container runs, and not as it did when this last looked."""
        try:
            place = place_of(self.places[name].container)
        except HostError:
            return False  # stopped: when it starts there is an event
        return place != self.places[name]

    def wire(self, name: str) -> None:
        """Give a node that has started its links and all that is its kernel's.

        Raises GoneError where it has ended again, HostError.
        """
        place = place_of(self.places[name].container)
        self.places[name] = place
        facts = {"pid": place.pid, "started": place.started}
        self.keeper.restarted(name, state="wiring", **facts)

        def attempt() -> str:
            # a neighbour may end while this goes on: it brings the cable when it starts
            try:
                self.keeper.rewire(name, self._operations(name), self.places)
            except GoneError as error:
                if not _runs(place):
                    raise
                return error.message
            return ""

        wait_until(attempt, f"the wiring of {name}", limit=WIRING_LIMIT)

    def start(self, name: str) -> None:
        """Run a device's start-up commands, after its neighbours have taken their new interfaces.

        A Kubernetes node's name servers are written again. Raises BuildError, HostError,
        WaitTimeoutError.
        """
        for end in remade_ends(self.plan, name):
            if _runs(self.places[end.node]):
                self._attach(self.plan.node(end.node), end.interface)
        node = self.plan.node(name)
        if node.is_kubernetes:
            settle_names(self.keeper, self.plan, node, self.places[name])
        else:
            start_device(node, self.places[name].container, kathara=False)

    def unready(self, name: str) -> str:
        """Wait until a device says that it is ready; why it did not, in words."""
        node = self.plan.node(name)
        if not node.is_kubernetes:
            try:
                await_device(node, self.places[name].container)
            except KindaError as error:
                return error.message
        return ""

    def _attach(self, node: NodePlan, interface: str) -> None:
        """Make a new interface part of its device, such as a port of its switch."""
        device = node.device
        commands = [
            command
            for one in (device.attach if device is not None else ())
            if one.interface == interface
            for command in one.commands
        ]
        container = self.places[node.name].container
        execution = ContainerExecution(container, node.name)
        driver = driver_of(node, container)

        def attempt() -> str:
            # it may be starting itself, and have no switch yet
            if driver is not None:
                try:
                    driver.attach(interface)
                except KindaError as error:
                    return error.message
            for command in commands:
                finished = execution.run(command.argv, timeout=WIRING_LIMIT)
                if command.check and finished.rc != 0:
                    return f"{' '.join(command.argv)!r}: {said(finished)}"
            return ""

        if commands or driver is not None:
            what = f"interface {interface} of {node.name} to be taken"
            wait_until(attempt, what, limit=WIRING_LIMIT, interval=0.2)

    def _operations(self, name: str) -> list[Operation]:
        node = self.plan.node(name)
        alive = [one for one, place in self.places.items() if _runs(place)]
        found: list[Operation] = []
        if not node.is_kubernetes:
            if self.plan.options.engine == "kathara":
                self._uncover_files(node)
            found += naming_operations(node, self._macs(node))
        found += rewire_operations(self.plan, name, alive, self._host_bridges(), self.testbed)
        if node.is_kubernetes:
            found += self._on_docker_network(alive)
        return found

    def _uncover_files(self, node: NodePlan) -> None:
        """Take away what Docker mounts over the device's own files, as Kathara does; its name."""
        execution = ContainerExecution(self.places[node.name].container, node.name)
        script = "for one in /etc/resolv.conf /etc/hosts; do umount $one 2>/dev/null; done"
        execution.run(["/bin/sh", "-c", f"{script}; {KATHARA_NAMING}", "again", node.name])

    def _macs(self, node: NodePlan) -> dict[str, str]:
        """The MAC address of each interface that Docker has given to a device."""
        if self.plan.options.engine == "direct" and not (node.device and node.device.ports):
            return {}  # nothing but a loopback
        execution = ContainerExecution(self.places[node.name].container, node.name)
        lines = execution.run(["/bin/sh", "-c", _MACS]).stdout.decode().splitlines()
        pairs = [line.split() for line in lines]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] != "lo"}

    def _host_bridges(self) -> Mapping[str, str]:
        if self.plan.options.engine == "direct" or not self.plan.devices:
            return {}
        if self._bridges is None:
            self._bridges = find_bridges(self.plan, self.testbed)
        return self._bridges

    def _on_docker_network(self, alive: Collection[str]) -> list[Operation]:
        """What nodes are told of each other's Docker addresses (see ``NodeWatch``, ``builder``).

        Docker may have given another one to the node that has started.
        """
        addresses = self._docker_addresses()
        hosts = cluster_hosts(self.plan, self.testbed)
        found: list[Operation] = [one for one in hosts if one.place in alive]
        for one in self.plan.kubernetes_nodes:
            if one.name not in alive:
                continue
            if one.role == "control-plane" and addresses:
                lines = hosts_lines(addresses, set())
                found.append(AppendLines(one.name, "/etc/hosts", lines, instead=True))
            found += control_plane_operations(self.plan, one, addresses)
        return found

    def _docker_addresses(self) -> dict[str, str]:
        cluster = cluster_name(self.testbed)
        names = container_names(self.plan, cluster)
        found = {}
        for one in containers_of(f"{CLUSTER_LABEL}={cluster}"):
            node = names.get(one["Names"][0].lstrip("/"))
            address = one["NetworkSettings"]["Networks"].get(cluster, {}).get("IPAddress")
            if node and address:
                found[node] = str(address)
        return found


def naming_operations(node: NodePlan, found: Mapping[str, str]) -> list[Operation]:
    """Operations that give interfaces the planned names, whatever Docker has called them.

    ``found`` is the MAC address of each interface that is there. Docker's own, where ports are
    published, gets the first free ``ethN``.

    >>> naming_operations(node, {"eth0": "02:b", "eth1": "02:a"})      # doctest: +SKIP
    """
    planned = {one.mac: one.name for one in node.interfaces}
    taken = set(planned.values())
    free = (name for name in (f"eth{n}" for n in count(len(taken))) if name not in taken)
    wanted = {name: planned.get(mac) or next(free) for name, mac in found.items()}
    moving = [(old, new) for old, new in wanted.items() if old != new]
    # by way of names that nobody has: two may have changed places
    return [
        *(SetInterface(node.name, old, rename=f"kn{at}") for at, (old, _) in enumerate(moving)),
        *(SetInterface(node.name, f"kn{at}", rename=new) for at, (_, new) in enumerate(moving)),
    ]


def _runs(place: Place) -> bool:
    try:
        return start_time(place.pid) == place.started
    except GoneError:
        return False
