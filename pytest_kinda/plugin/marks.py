"""The ``topology`` mark: whose it is, what it wants, and the order of the tests that carry it.

Other plugins use a mark of the same name; one is ours if its first argument is our ``Topology``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

from pytest_kinda.plugin.options import ACCEPTED, FREE, P4_ENGINES

if TYPE_CHECKING:
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology


@dataclass(frozen=True)
class Want:
    """What a test wants: equal wants share one testbed.

    ``fresh`` is empty, or the id of the one test that has the testbed for itself. ``options`` are
    the plan's options that the mark sets, by name; they win over the run's.
    """

    topology: Topology
    fresh: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The topology's name with the values of the mark's options: ``triangle-direct``."""
        return "-".join([self.topology.name, *(value for _, value in self.options)])

    def plan_options(self, options: PlanOptions) -> PlanOptions:
        """The run's options with the mark's own in them."""
        chosen: dict[str, Any] = dict(self.options)
        return replace(options, **chosen)

    def p4_engines(self, options: PlanOptions) -> dict[str, list[str]]:
        """Its P4 switches by the engine that runs them."""
        found: dict[str, list[str]] = {}
        for node in self.topology.nodes:
            engine_of = getattr(getattr(node, "nic", None) or node, "p4_engine", None)
            if engine_of is not None:
                found.setdefault(engine_of(self.plan_options(options)), []).append(node.name)
        return found


def on_each_p4_engine(wants: Iterable[Want]) -> list[Want]:
    """Wants, once on each engine where that makes a difference.

    It makes none to a topology without P4 switches, or whose switches all name their engine.
    """
    from pytest_kinda.plan.values import PlanOptions

    found: list[Want] = []
    for want in wants:
        if "p4_engine" in dict(want.options):
            found.append(want)
            continue
        each = [replace(want, options=(*want.options, ("p4_engine", one))) for one in P4_ENGINES]
        bmv2, native = (one.p4_engines(PlanOptions()) for one in each)
        found += each if bmv2 != native else [want]
    return found


def is_topology(value: object) -> TypeGuard[Topology]:
    """Whether the value is a :class:`pytest_kinda.Topology`; told by name, imports nothing."""
    return any(
        (one.__module__, one.__qualname__) == ("pytest_kinda.topology.topology", "Topology")
        for one in type(value).__mro__
    )


def wants_of(definition: Any) -> list[Want]:
    """What the nearest node with marks of ours asks for; empty if there is none.

    A function's own marks win over its class's, and those over its module's. Raises UsageError for
    a mark of ours with an argument that we do not know.
    """
    wants: dict[Want, None] = {}
    owner: object = None
    for node, mark in definition.iter_markers_with_node("topology"):
        if not mark.args or not is_topology(mark.args[0]):
            continue
        if owner is not None and node is not owner:
            break
        owner = node
        wants = {**dict.fromkeys(_read(mark, definition.nodeid)), **wants}
    return list(wants)


def _read(mark: pytest.Mark, nodeid: str) -> list[Want]:
    for position, argument in enumerate(mark.args):
        if not is_topology(argument):
            raise pytest.UsageError(
                f"{nodeid}: mark topology, argument {position + 1}: found "
                f"{type(argument).__name__} {argument!r}; expected a pytest_kinda.Topology"
            )
    fresh = nodeid if mark.kwargs.get("fresh") else ""
    options = tuple(
        _option(name, value, nodeid)
        for name, value in sorted(mark.kwargs.items())
        if name != "fresh"
    )
    return [Want(argument, fresh, options) for argument in mark.args]


def _option(name: str, value: object, nodeid: str) -> tuple[str, str]:
    if name not in ACCEPTED:
        raise pytest.UsageError(
            f"{nodeid}: mark topology: found argument {name!r}; "
            f"expected fresh=True or an option of the plan: {', '.join(ACCEPTED)}"
        )
    accepted = ACCEPTED[name]
    network = f"an IPv{6 if name.endswith('6') else 4} network"
    if not isinstance(value, str) or (accepted and value not in accepted):
        expected = " or ".join(map(repr, accepted)) or FREE.get(name, network)
        raise pytest.UsageError(
            f"{nodeid}: mark topology: found {name}={value!r}; expected {expected}"
        )
    return name, value


def as_want(parameter: object, nodeid: str) -> Want:
    """The want behind a parameter of ``kinda``; a suite may also parametrize it by topologies."""
    if isinstance(parameter, Want):
        return parameter
    if is_topology(parameter):
        return Want(parameter)
    raise pytest.UsageError(
        f"{nodeid}: `kinda` is parametrized by {type(parameter).__name__} {parameter!r}; "
        "expected a pytest_kinda.Topology"
    )


def want_of(item: pytest.Item) -> Want | None:
    """What this collected test wants, if it uses ``kinda``."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or "kinda" not in callspec.params:
        return None
    parameter = callspec.params["kinda"]
    if isinstance(parameter, Want):
        return parameter
    return Want(parameter) if is_topology(parameter) else None


def grouped(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests with those of equal topologies side by side, at the place of the first of them.

    Stable; within a topology the tests with a testbed of their own come last, so that the shared
    one is built once. pytest up to 9.1 groups parameters by their index and would build A, B, A, B.
    """
    groups: dict[object, list[tuple[Want, pytest.Item]]] = {}
    for item in items:
        want = want_of(item)
        if want is not None:
            groups.setdefault((want.topology, want.options), []).append((want, item))
    ordered: list[pytest.Item] = []
    for item in items:
        want = want_of(item)
        if want is None:
            ordered.append(item)
            continue
        ordered += _shared_first(groups.pop((want.topology, want.options), ()))
    return ordered


def _shared_first(group: Iterable[tuple[Want, pytest.Item]]) -> list[pytest.Item]:
    return [item for want, item in sorted(group, key=lambda one: one[0].fresh != "")]
