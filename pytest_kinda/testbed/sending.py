"""What a testbed sends between its nodes and pods, by their names."""

from __future__ import annotations

import time
from typing import Any

from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.httpload import HttpLoad, http_load
from pytest_kinda.testbed.inventory import Inventory
from pytest_kinda.testbed.nodes import NodeHandle
from pytest_kinda.testbed.traffic import Addressed, Iperf, Ping, iperf, ping


class Sending(Inventory):
    """Traffic between the nodes and pods of what stands."""

    def ping(self, source: str | CommandPlace, target: str | Addressed, **options: Any) -> Ping:
        """Ping between nodes (by name too), pods and addresses; see ``traffic.ping``. Example::

        assert kinda.ping("w1", "w2", count=10).loss == 0
        """
        place = self._place(source)
        return ping(place, self._target(target, place), **options)

    def iperf(
        self, client: str | CommandPlace, server: str | CommandPlace, **options: Any
    ) -> Iperf:
        """Measure throughput between nodes (by name too) and pods; see ``traffic.iperf``."""
        return iperf(self._place(client), self._place(server), **options)

    def http_load(self, client: str | CommandPlace, url: str, **options: Any) -> HttpLoad:
        """Many HTTP requests from a node (by name too) or pod; see ``httpload.http_load``."""
        return http_load(self._place(client), url, **options)

    def now(self) -> int:
        """Nanoseconds since the epoch by the one clock of all nodes, pods and captures."""
        return time.time_ns()

    def _place(self, place: str | CommandPlace) -> CommandPlace:
        return self.node(place) if isinstance(place, str) else place

    def _target(self, target: str | Addressed, source: CommandPlace) -> str | Addressed:
        if not isinstance(target, str):
            return target
        # Pods know services by plain names, nodes know each other and names with a dot.
        known = target in self._nodes or any(one in target for one in ".:")
        if target in self.simulated or (isinstance(source, NodeHandle) and not known):
            return self.node(target)
        return self._nodes.get(target, target)
