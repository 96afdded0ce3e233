"""Which testbeds and nodes there are: for choosing, for completion, for the nearest name."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_kinda.errors import KindaError, UnknownNameError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pytest_kinda.build.catalogue import Known


def chosen(wanted: str | None, *, states: tuple[str, ...] = ("complete",)) -> Known:
    """The testbed that is meant: by id or topology's name, or the only one.

    Raises UnknownNameError, or KindaError where several could be meant.
    """
    from pytest_kinda.build.catalogue import testbeds

    known = testbeds()
    if wanted:
        found = [one for one in known if wanted in (one.id, str(one.directory))]
        found = found or [one for one in known if one.topology == wanted]
        if not found:
            names = [one.id for one in known] + [one.topology for one in known]
            near = difflib.get_close_matches(wanted, names, 3, 0.5)
            raise UnknownNameError(
                f"there is no testbed {wanted!r}"
                + (f"; did you mean {' or '.join(near)}?" if near else ""),
                remedy="kinda ls",
            )
    else:
        found = [one for one in known if one.state in states]
        if not found:
            raise KindaError("no testbed stands", remedy="pytest --kinda-keep, or kinda up FILE")
    if len(found) > 1:
        several = ", ".join(f"{one.id} ({one.topology})" for one in found)
        raise KindaError(f"several testbeds could be meant: {several}", remedy="kinda -t ID …")
    return found[0]


def nodes_of(directory: Path) -> list[str]:
    """The declared names of a testbed's nodes; empty where its plan cannot be read."""
    try:
        data: Any = json.loads((directory / "plan.json").read_text())
        return [str(node["name"]) for node in data["nodes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def node_names(wanted: str | None) -> list[str]:
    """The nodes of the testbed that is meant, or of all that stand."""
    found = _meant_testbeds(wanted)
    return list(dict.fromkeys(name for one in found for name in nodes_of(one.directory)))


def _meant_testbeds(wanted: str | None) -> list[Known]:
    from pytest_kinda.build.catalogue import testbeds

    return [one for one in testbeds() if wanted in (None, one.id, one.topology)]


def links_of(directory: Path) -> list[str]:
    """The names of a testbed's links; empty where its plan cannot be read."""
    try:
        data: Any = json.loads((directory / "plan.json").read_text())
        return [str(link["name"]) for link in data["links"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def complete_testbed(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Shell completion of a testbed's id."""
    from click.shell_completion import CompletionItem

    from pytest_kinda.build.catalogue import testbeds

    return [
        CompletionItem(one.id, help=one.topology)
        for one in testbeds()
        if one.id.startswith(incomplete)
    ]


def complete_node(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Shell completion of a node's name."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in node_names(_meant(ctx)) if name.startswith(incomplete)]


def complete_link(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Shell completion of a link's name."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name)
        for one in _meant_testbeds(_meant(ctx))
        for name in links_of(one.directory)
        if name.startswith(incomplete)
    ]


def complete_place(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Shell completion of where a capture can be: a node or a link."""
    return [
        *complete_node(ctx, param, incomplete),
        *complete_link(ctx, param, incomplete),
    ]


def _meant(ctx: click.Context) -> str | None:
    """The testbed that the command line has named so far: by the command, else by the group."""
    wanted = ctx.params.get("testbed") or ctx.find_root().params.get("testbed")
    return str(wanted) if wanted else None
