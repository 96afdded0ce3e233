"""Relays that a test asks for: a port of a node that leads to a program elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_kinda.errors import KindaError, UnknownNameError
from pytest_kinda.operations import HOST
from pytest_kinda.plan.relays import addresses_at
from pytest_kinda.testbed.faults import Fault, Ledger

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing


@runtime_checkable
class InPod(Protocol):
    """A pod that runs, as far as a program in it is reached."""

    @property
    def node(self) -> str:
        """The node that it is on."""
        ...

    @property
    def ip(self) -> str:
        """Its address."""
        ...


@runtime_checkable
class OnNode(Protocol):
    """A node of the testbed."""

    @property
    def name(self) -> str:
        """Its declared name."""
        ...

    @property
    def planned(self) -> Any:
        """What the plan says of it."""
        ...


Program = str | tuple[str, int] | OnNode | InPod
"""Where a program listens: a node (or its name), a pod, or an address and port of this machine."""


class Relays:
    """Opens relays by the keeper, and knows what was done by tests so that it is taken back."""

    def __init__(self, standing: Standing, ledger: Ledger) -> None:
        self._standing = standing
        self._ledger = ledger
        self._numbers = itertools.count(1)

    def target(self, program: Program, port: int) -> tuple[dict[str, Any], str]:
        """Where a relay is to lead, and that in words. Raises UnknownNameError, KindaError."""
        if isinstance(program, tuple):
            address, port = program
            return _target(HOST, (address,), port), f"{address}:{port} of this machine"
        if isinstance(program, OnNode):
            return self._at_node(program.name, port)
        if isinstance(program, str):
            name, _, given = program.partition(":")
            return self._at_node(name, int(given) if given.isdigit() else port)
        if not program.ip or not program.node:
            raise KindaError(f"{program!r} does not run: it has no address yet")
        return _target(program.node, (program.ip,), port), f"port {port} of {program!r}"

    def _at_node(self, name: str, port: int) -> tuple[dict[str, Any], str]:
        names = [one.name for one in self._standing.plan.nodes]
        if name not in names:
            raise UnknownNameError(
                f"there is no node {name!r} where a program could listen; there are "
                + ", ".join(names)
            )
        return _target(name, addresses_at(self._standing.plan.node(name)), port), f"{name}:{port}"

    def open(self, node: str, to: Mapping[str, Any]) -> tuple[str, int]:
        """Lead a free port of a node's loopback there; its name and the port. Raises HostError."""
        keeper: Any = self._standing.keeper
        name = f"{node}:test-{next(self._numbers)}"
        return name, keeper.relay_open(name, node, 0, to, places=self._standing.places)

    def close(self, name: str) -> None:
        """Give one up."""
        keeper: Any = self._standing.keeper
        keeper.relay_close(name)

    def errors(self, node: str) -> dict[int, str]:
        """By port of a node: why its relay does not get anywhere; empty where it does."""
        keeper: Any = self._standing.keeper
        found: Mapping[str, Mapping[str, Any]] = keeper.relays()
        return {
            int(one["port"]): str(one["error"]) for one in found.values() if one["place"] == node
        }

    def until_healed(
        self, what: str, begin: Callable[[], object], end: Callable[[], None]
    ) -> Fault:
        """Do something that is taken back with its handle, at the latest after the test."""
        return self._ledger.inflict(what, begin, end)

    def await_true(self, look: Callable[[], str], what: str, timeout: float) -> None:
        """Wait until ``look`` has nothing to say. Raises WaitTimeoutError with its last words."""
        from pytest_kinda.build.awaiting import wait_until

        wait_until(look, what, limit=timeout)


def _target(place: str, addresses: tuple[str, ...], port: int) -> dict[str, Any]:
    return {"place": place, "addresses": list(addresses), "port": port}
