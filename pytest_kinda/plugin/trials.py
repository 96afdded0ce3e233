"""The mark ``kinda_experiment``: which trials it makes of a test, and in which order they run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.errors import ExperimentError

if TYPE_CHECKING:
    from pytest_kinda.experiment.design import Design, Planned

MARK = "kinda_experiment"
MARKER = (
    f"{MARK}(arms, repetitions=8, warmup=1, seed=1, bound=0, confidence=0.95, primary=''): run the "
    "test, which takes `trial`, once for each arm in each repetition, in an order drawn from the "
    "seed; bound ('10%') is the difference that matters, primary the metric that decides."
)
_ACCEPTED = ("arms", "repetitions", "warmup", "seed", "bound", "confidence", "primary")
_ARM = re.compile(r"[A-Za-z0-9_.+:=-]+")


@dataclass(frozen=True)
class Parameter:
    """What one trial's test is parametrized by."""

    planned: Planned
    design: Design
    value: Any = field(compare=False)


def parameter_of(item: pytest.Item) -> Parameter | None:
    """The trial that this collected test is, if it is one."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("trial") if callspec is not None else None
    return found if isinstance(found, Parameter) else None


def name_of(item: pytest.Item) -> str:
    """The experiment that a test is a trial of: its node id, without what stands in brackets."""
    callspec: Any = getattr(item, "callspec", None)
    return item.nodeid.removesuffix(f"[{callspec.id}]") if callspec is not None else item.nodeid


def case_of(item: pytest.Item, parameter: Parameter) -> str:
    """What a trial's test is parametrized by beside the trial, as its node id has it."""
    callspec: Any = item.callspec  # type: ignore[attr-defined]
    pattern = rf"(^|-){re.escape(parameter.planned.id)}(-|$)"
    return re.sub(pattern, lambda found: "-" * (found[1] == found[2] == "-"), callspec.id, count=1)


def ordered(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests with the trials of each experiment side by side, in the order of its design.

    An experiment stands where the first of its trials stood; its cases run one after the other.
    """
    groups: dict[str, dict[str, list[tuple[int, pytest.Item]]]] = {}
    for item in items:
        if (parameter := parameter_of(item)) is not None:
            cases = groups.setdefault(name_of(item), {})
            of_case = cases.setdefault(case_of(item, parameter), [])
            of_case.append((parameter.planned.order, item))
    found: list[pytest.Item] = []
    for item in items:
        if parameter_of(item) is None:
            found.append(item)
            continue
        for case in groups.pop(name_of(item), {}).values():
            found += [one for _, one in sorted(case, key=lambda pair: pair[0])]
    return found


def design_of(definition: Any) -> tuple[Design, dict[str, Any]] | None:
    """What the nearest mark says, with the value of each arm; None where there is none.

    Raises UsageError.
    """
    from pytest_kinda.experiment import design as designs

    mark = definition.get_closest_marker(MARK)
    if mark is None:
        return None
    try:
        given = dict(zip(_ACCEPTED, mark.args, strict=False)) | mark.kwargs
        for name in given:
            if name not in _ACCEPTED:
                raise ExperimentError(f"found {name!r}; expected {', '.join(_ACCEPTED)}")
        arms = given.pop("arms", ())
        if isinstance(arms, str) or not isinstance(arms, (Mapping, Sequence)):
            raise ExperimentError(f"arms: found {arms!r}; expected names, or values by name")
        values = dict(arms) if isinstance(arms, Mapping) else {}
        given["bound"] = designs.parse_bound(given.get("bound", 0))
        found = designs.Design(tuple(arms), **given)
        numbers = {name: getattr(found, name) for name in ("repetitions", "warmup", "seed")}
        designs.check(found.arms, numbers, found.confidence)
        for arm in found.arms:
            if not _ARM.fullmatch(arm):
                raise ExperimentError(f"arms: found {arm!r}; expected letters, digits and _.+:=-")
        return found, {arm: values.get(arm, arm) for arm in found.arms}
    except ExperimentError as error:
        raise pytest.UsageError(f"{definition.nodeid}: mark {MARK}: {error.message}") from None


def parametrize(metafunc: pytest.Metafunc, repetitions: int) -> None:
    """Make of a marked test that takes ``trial`` as many as its design has trials.

    ``repetitions`` above 0 take the place of the design's. Raises UsageError.
    """
    found = design_of(metafunc.definition)
    if found is None:
        return
    if "trial" not in metafunc.fixturenames:
        if any(mark.name == MARK for mark in metafunc.definition.own_markers):
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: mark {MARK}: found a test that does not take "
                "`trial`; expected it among its arguments"
            )
        return
    from pytest_kinda.experiment.design import trials

    design, values = found
    if repetitions:
        design = replace(design, repetitions=repetitions)
    parameters = [Parameter(one, design, values[one.arm]) for one in trials(design)]
    ids = [one.planned.id for one in parameters]
    metafunc.parametrize("trial", parameters, indirect=True, ids=ids)
