"""Commands on testbeds as a whole: build, list, show, remove."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.declaring import options_from, plan_options
from pytest_kinda.cli.output import json_option, print_json, print_table
from pytest_kinda.errors import HostError, UndoError

if TYPE_CHECKING:
    from pytest_kinda.build.catalogue import Known


@click.command()
@click.argument("topology", metavar="FILE_OR_OBJECT")
@click.option("--name", help="The testbed's id (default: six random hex digits).")
@plan_options
@json_option
def up(topology: str, name: str | None, as_json: bool, **options: str | None) -> None:
    """Build a topology and leave it standing."""
    from pytest_kinda.build.builder import build
    from pytest_kinda.build.display import display
    from pytest_kinda.build.facts import facts
    from pytest_kinda.cli.loading import load
    from pytest_kinda.plan import plan

    declared = load(topology)
    planned = plan(declared, options_from(**options), facts())
    with display(sys.stderr, f"kinda {declared.name}", terminal=sys.stderr.isatty()) as progress:
        standing = build(planned, name=name, progress=progress, keep=True)
    if as_json:
        print_json(
            {
                "id": standing.id,
                "topology": declared.name,
                "directory": str(standing.directory),
                "nodes": [one.name for one in planned.nodes],
                "kubeconfig": str(standing.kubeconfig or ""),
            }
        )
        return
    first = planned.nodes[0].name
    click.echo(f"testbed  {standing.id}")
    click.echo(f"enter    kinda -t {standing.id} {first} bash")
    if standing.kubeconfig is not None:
        click.echo(f"kubectl  kinda -t {standing.id} kubectl get pods -A")
    click.echo(f"remove   kinda down {standing.id}")


@click.command(name="ls")
@json_option
def list_testbeds(as_json: bool) -> None:
    """List the testbeds of this user."""
    from pytest_kinda.build.catalogue import testbeds

    known = testbeds()
    if as_json:
        print_json([_row(one) for one in known])
    elif known:
        print_table(
            "",
            ["testbed", "topology", "state", "nodes"],
            [
                (one.id, one.topology, one.state, shortened(offers.nodes_of(one.directory)))
                for one in known
            ],
        )
    else:
        click.echo("no testbed", err=True)


def shortened(names: list[str], most: int = 8) -> str:
    """Names in one cell: the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return " ".join(names[:most]) + more


def _row(one: Known) -> dict[str, object]:
    return {
        "id": one.id,
        "topology": one.topology,
        "state": one.state,
        "signature": one.signature,
        "directory": str(one.directory),
        "nodes": offers.nodes_of(one.directory),
    }


@click.command()
@click.argument("testbed", required=False, shell_complete=offers.complete_testbed)
@json_option
@click.pass_context
def show(ctx: click.Context, testbed: str | None, as_json: bool) -> None:
    """Show a testbed: its nodes, containers, addresses, links and files."""
    from pytest_kinda.build.catalogue import open_standing
    from pytest_kinda.testbed.left import faults_left

    known = offers.chosen(testbed or ctx.obj)
    standing = open_standing(known.directory)
    changed = faults_left(known.directory)
    if as_json:
        print_json(
            {
                **_row(known),
                "containers": standing.containers,
                "kubeconfig": str(standing.kubeconfig or ""),
                "changed_links": list(changed),
                "plan": standing.plan,
            }
        )
        return
    click.echo(f"testbed    {known.id} ({known.topology}), {known.state}")
    click.echo(f"directory  {known.directory}")
    if changed:
        click.echo(f"changed    {', '.join(changed)} (kinda link up LINK puts it back)")
    if standing.kubeconfig is not None:
        click.echo(f"kubectl    export KUBECONFIG={standing.kubeconfig}")
    print_table(
        "nodes",
        ["name", "kind", "endpoint", "container", "interfaces"],
        [
            (
                node.name,
                node.kind,
                node.endpoint,
                standing.containers.get(node.name, "")[:12],
                "  ".join(f"{one.name} {' '.join(one.addresses)}" for one in node.interfaces),
            )
            for node in standing.plan.nodes
        ],
    )
    print_table(
        "links",
        ["link", "from", "to"],
        [
            (one.name, f"{one.a.node} {one.a.interface}", f"{one.b.node} {one.b.interface}")
            for one in standing.plan.links
        ],
    )


@click.command()
@click.argument("testbeds", nargs=-1, metavar="[ID]...", shell_complete=offers.complete_testbed)
@click.option("--all", "everything", is_flag=True, help="All testbeds of this user.")
@json_option
def clean(testbeds: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Remove testbeds: those named, or those that a crash has left behind.

    Without ID and --all only testbeds whose keeper is gone are removed.
    """
    from pytest_kinda.build.catalogue import testbeds as known_testbeds

    states = ("complete", "building", "abandoned")
    if testbeds:
        wanted = [offers.chosen(one, states=states) for one in testbeds]
    else:
        known = known_testbeds()
        wanted = [one for one in known if everything or one.state == "abandoned"]
        for one in known:
            if one not in wanted:
                click.echo(f"{one.id} ({one.topology}) is {one.state}; left alone", err=True)
    failed: list[UndoError] = []
    told = []
    for one in wanted:
        left = remove(one)
        told.append({"id": one.id, "removed": not left, "left": list(left)})
        if left:
            failed.append(UndoError(one.id, left))
        elif not as_json:
            click.echo(f"{one.id}: removed")
    if as_json:
        print_json(told)
    if not wanted:
        click.echo("nothing to clean", err=True)
    for error in failed:
        click.echo(str(error), err=True)
    if failed:
        raise SystemExit(1)


@click.command()
@click.argument("testbed", required=False, shell_complete=offers.complete_testbed)
@json_option
@click.pass_context
def down(ctx: click.Context, testbed: str | None, as_json: bool) -> None:
    """Remove the testbed that stands, or the one that is named."""
    known = offers.chosen(testbed or ctx.obj)
    left = remove(known)
    if as_json:
        print_json({"id": known.id, "removed": not left, "left": list(left)})
    if left:
        raise UndoError(known.id, left)
    if not as_json:
        click.echo(f"{known.id}: removed")


def remove(known: Known) -> tuple[str, ...]:
    """Undo a testbed, by its keeper if that still lives; what could not be removed."""
    from pytest_kinda.build.undo import undo_testbed
    from pytest_kinda.host.client import Keeper

    def report(line: str) -> None:
        click.echo(f"{known.id}: {line}", err=True)

    try:
        keeper = Keeper.connect(known.directory)
    except HostError:
        return undo_testbed(known.directory, report)
    return tuple(keeper.undo(report))


COMMANDS = (up, down, list_testbeds, show, clean)
