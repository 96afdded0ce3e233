"""Images that few testbeds need: made, or pulled, by the first build whose plan names them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pytest_kinda.build import balancer
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import Plan
from pytest_kinda.setup import prepare, steps_of
from pytest_kinda.setup.images import ON_DEMAND
from pytest_kinda.setup.steps import Policy

STEP = "images"


def images_of(plan: Plan) -> list[str]:
    """The names of such images that the plan's devices and its cluster run on, sorted.

    >>> images_of(plan_with_an_ovs_switch)                       # doctest: +SKIP
    ['ovs']
    """
    used = {one.device.image for one in plan.devices if one.device is not None}
    if balancer.is_needed(plan):
        used.add(f"@{balancer.IMAGE}")
    return sorted(name for name in ON_DEMAND if f"@{name}" in used)


def missing(names: Collection[str]) -> list[str]:
    """Those that are not here, or not of the present recipe."""
    if not names:
        return []
    steps = steps_of(Policy())
    return [name for name in names if not steps[name].check().ok]


def make(names: Collection[str], report: Callable[[str], None]) -> None:
    """Make or pull them, which takes a minute or so; ``report`` takes a line at a time.

    Raises BuildError with what kept one from being made.
    """
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        if ":   " in line:  # what is being done, which takes its time
            report(line)

    if prepare(only=list(names), report=note) != 0:
        remedy = f"kinda setup --only {','.join(names)}    (says more)"
        raise BuildError(STEP, " / ".join(lines), remedy=remedy)
