"""Images that few testbeds need: made, or pulled, by the first build whose plan names them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import quote

from pytest_kinda.build import balancer
from pytest_kinda.errors import BuildError, SetupError
from pytest_kinda.plan.values import Plan
from pytest_kinda.setup import engine, prepare, registry, steps_of
from pytest_kinda.setup.bmv2_image import INSTEAD
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
        if "bmv2" in names:
            remedy += f"; {INSTEAD}"
        raise BuildError(STEP, " / ".join(lines), remedy=remedy)


def chosen_missing(plan: Plan) -> list[str]:
    """Images of BMv2 that the user chose and that are not here. Raises BuildError."""
    chosen = plan.options.bmv2_image
    used = {one.device.image for one in plan.devices if one.device is not None}
    if not chosen or chosen not in used:
        return []
    try:
        here = engine.ask(f"/images/{quote(chosen, safe='')}/json")
    except OSError as error:
        raise BuildError(STEP, f"Docker Engine does not answer: {error}") from error
    return [] if here is not None else [chosen]


def pull_chosen(references: Collection[str], report: Callable[[str], None]) -> None:
    """Pull them. Raises BuildError that names the engine which needs none."""
    for one in references:
        try:
            registry.pull(one, report)
        except SetupError as error:
            remedy = f"--kinda-bmv2-image must name an image of BMv2; {INSTEAD}"
            raise BuildError(STEP, error.message, remedy=remedy) from error
