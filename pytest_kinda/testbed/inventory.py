"""What a testbed is made of: its nodes, devices and links, found by their declared names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kinda.errors import UnknownNameError
from pytest_kinda.plan.values import Member, NodePlan, Plan
from pytest_kinda.testbed.devices import DeviceHandle
from pytest_kinda.testbed.interfaces import InterfaceHandle
from pytest_kinda.testbed.links import LinkHandle
from pytest_kinda.testbed.networkfaults import NetworkFaults
from pytest_kinda.testbed.nodes import KubernetesNodeHandle, NodeHandle

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.description import Description


class Inventory:
    """The nodes and links of what stands."""

    def __init__(
        self,
        standing: Standing,
        faults: NetworkFaults,
        handle: Callable[[NodePlan], NodeHandle],
    ) -> None:
        self.standing = standing
        self._faults = faults
        self._nodes = {one.name: handle(one) for one in self.plan.nodes}
        self.simulated: dict[str, NodeHandle] = {}
        """Nodes of its cluster that are only objects, by name; never among its ``nodes``."""

    @property
    def id(self) -> str:
        """Its id, which names and labels carry."""
        return self.standing.id

    @property
    def plan(self) -> Plan:
        """The plan that it was built from."""
        return self.standing.plan

    @property
    def directory(self) -> Path:
        """Where its journal, logs, kubeconfig and captures are."""
        return self.standing.directory

    @property
    def kubeconfig(self) -> Path | None:
        """The kubeconfig of its cluster; None where it has none."""
        return self.standing.kubeconfig

    @property
    def nodes(self) -> tuple[NodeHandle, ...]:
        """All its nodes in the plan's order, devices too."""
        return tuple(self._nodes.values())

    @property
    def devices(self) -> tuple[DeviceHandle, ...]:
        """The devices of its network."""
        return tuple(one for one in self.nodes if isinstance(one, DeviceHandle))

    @property
    def kubernetes_nodes(self) -> tuple[KubernetesNodeHandle, ...]:
        """The nodes of its cluster."""
        return tuple(one for one in self.nodes if isinstance(one, KubernetesNodeHandle))

    def node(self, name: str) -> NodeHandle:
        """A node or device by its declared name. Raises UnknownNameError with the nearest."""
        found = self._nodes.get(name) or self.simulated.get(name)
        if found is None:
            raise unknown("node", name, self._nodes)
        return found

    def device(self, name: str) -> DeviceHandle:
        """A device of the network. Raises UnknownNameError."""
        found = {one.name: one for one in self.devices}
        if name not in found:
            if name in self._nodes:
                raise UnknownNameError(
                    f"{name} is a {self._nodes[name].kind}, no device; "
                    f"devices: {', '.join(found) or 'none'}",
                    remedy=f"kinda.node({name!r})",
                )
            raise unknown("device", name, found)
        return found[name]

    @property
    def links(self) -> tuple[LinkHandle, ...]:
        """All its links in declared order."""
        return tuple(
            LinkHandle(
                one,
                self.plan.segment(one.segment),
                self._end(one.a),
                self._end(one.b),
                self._faults,
            )
            for one in self.plan.links
        )

    def describe(self) -> Description:
        """What a controller needs to know of it, with where it reaches what stands.

        Raises HostError where the keeper is gone. Example::

            netcfg = kinda.describe().render("onos")
        """
        from pytest_kinda.testbed.describing import describe_standing

        return describe_standing(self.standing)

    def plan_now(self) -> Plan:
        """The plan with what the links do to packets now: as declared, changed by open faults."""
        nodes = []
        for planned in self.plan.nodes:
            ends = [self._nodes[planned.name].interface(one.name) for one in planned.interfaces]
            shapes = [self._faults.shape_of(end) for end in ends]
            interfaces = tuple(
                replace(one, shape=None if shape.empty else shape)
                for one, shape in zip(planned.interfaces, shapes, strict=True)
            )
            nodes.append(replace(planned, interfaces=interfaces))
        return replace(self.plan, nodes=tuple(nodes))

    def cut_links(self) -> tuple[str, ...]:
        """The links that a fault has cut, by name."""
        return tuple(
            one.name
            for one in self.links
            if any(self._faults.is_cut(end) for end in one.interfaces)
        )

    def _end(self, member: Member) -> InterfaceHandle | None:
        """The interface of a link's end; None at a hub, which is a wire."""
        return self._nodes[member.node].interface(member.interface) if member.interface else None

    def link(self, *which: str) -> LinkHandle:
        """A link by its name, or by the two nodes that it joins, in either order.

        Raises UnknownNameError with the links that exist, or where several join those nodes.
        """
        if len(which) == 1:
            found = [one for one in self.links if one.name == which[0]]
        else:
            found = [one for one in self.links if sorted(one.nodes) == sorted(which)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(one.name for one in found or self.links) or "none"
        what = " and ".join(map(repr, which))
        if found:
            raise UnknownNameError(f"several links join {what}: {names}; name one of them")
        raise UnknownNameError(f"no link is named {what} or joins them; links: {names}")


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is none of those known, with the nearest."""
    names = list(known)
    near = get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UnknownNameError(
        f"there is no {what} {name!r}; there are {', '.join(names) or 'none'}", remedy=hint
    )
