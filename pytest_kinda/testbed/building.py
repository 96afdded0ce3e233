"""How a testbed comes about: built from what is declared, or held because it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kinda.plan.values import Plan, PlanOptions
from pytest_kinda.topology import Topology

if TYPE_CHECKING:
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.build.standing import Standing


def standing_of(
    what: Topology | Plan | Standing,
    *,
    options: PlanOptions | None = None,
    progress: Progress | None = None,
    name: str | None = None,
    keep: bool = False,
) -> tuple[Standing, bool]:
    """What stands, and whether it was built just now. Raises PlanError, BuildError."""
    if not isinstance(what, (Topology, Plan)):
        return what, False
    from pytest_kinda.build.builder import build
    from pytest_kinda.build.facts import facts
    from pytest_kinda.plan import plan

    if isinstance(what, Topology):
        what = plan(what, options or PlanOptions(), facts())
    return build(what, name=name, progress=progress, keep=keep), True
