"""The forms that facts can be told in, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import FactsError
from pytest_kinda.scheduling import diktyo, hierarchies, incnet, labels, tables

if TYPE_CHECKING:
    from pytest_kinda.scheduling.facts import NetworkFacts

FORMS: Mapping[str, Callable[..., Any]] = {
    "labels": labels.node_labels,
    "diktyo": diktyo.network_topology,
    "volcano": hierarchies.hypernodes,
    "kueue": hierarchies.kueue,
    "kai": hierarchies.kai,
    "koordinator": hierarchies.koordinator,
    "topograph": labels.topograph,
    "k8s-inc": incnet.inc_topology,
    "bandwidth": labels.extended_resources,
    "csv": tables.to_csv,
    "json": tables.to_json,
}
"""What makes each form; all take the facts, and options by name."""


def render(facts: NetworkFacts, form: str, **options: Any) -> Any:
    """The facts in one form: a list of plain objects, or text. Raises FactsError."""
    if form not in FORMS:
        raise FactsError(f"form: found {form!r}; expected {', '.join(FORMS)}")
    maker = FORMS[form]
    parameters = list(inspect.signature(maker).parameters.values())[1:]
    accepted = [one.name for one in parameters]
    if unknown := [name for name in options if name not in accepted]:
        raise FactsError(
            f"{form}: found the option {unknown[0]!r}; expected {', '.join(accepted) or 'none'}"
        )
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    if missing := [name for name in needed if name not in options]:
        raise FactsError(f"{form}: {missing[0]} is missing", remedy=_REMEDIES.get(missing[0], ""))
    return maker(facts, **options)


_REMEDIES = {"zone": "zone='node', or the name of a level: what a zone is must be said"}
