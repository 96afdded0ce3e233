"""What a controller needs to know of a network, in the form that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.declaring import plan_of, plan_options
from pytest_kinda.cli.output import json_option

FORMS = ("json", "yaml", "dot", "onos", "k8s-inc")


@click.command()
@click.argument("topology", metavar="[FILE_OR_OBJECT]", required=False)
@click.option(
    "-t", "--testbed", metavar="ID", help="Which testbed.", shell_complete=offers.complete_testbed
)
@click.option("-f", "--format", "form", type=click.Choice(FORMS), help="Left out: json.")
@click.option("--function", metavar="NAME", help="k8s-inc: the Go function's name.")
@click.option(
    "--artifacts",
    metavar="PROGRAM=P4INFO,JSON",
    multiple=True,
    help="k8s-inc: a program's files as its controller finds them.",
)
@click.option(
    "--implements",
    metavar="PROGRAM=INTERFACE",
    multiple=True,
    help="k8s-inc: what a program is known by.",
)
@plan_options
@json_option
@click.pass_context
def describe(
    ctx: click.Context,
    /,
    topology: str | None,
    testbed: str | None,
    form: str | None,
    function: str | None,
    artifacts: Sequence[str],
    implements: Sequence[str],
    as_json: bool,
    **options: str | None,
) -> None:
    """Describe a network to a controller: devices, ports, links, addresses, programs, endpoints.

    With FILE_OR_OBJECT what would be built, without Docker; else a testbed that stands, with where
    it is reached. `kinda schema description` prints the JSON Schema. What a form could not say
    goes to stderr.
    """
    from pytest_kinda.description import describe as describe_plan

    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json or -f {form}, not both", ctx)
    wanted = testbed or ctx.obj
    given = [name for name, value in options.items() if value is not None]
    if topology is not None and testbed is not None:
        raise click.UsageError("give FILE_OR_OBJECT or --testbed, not both", ctx)
    if topology is None and given:
        option = given[0].replace("_", "-")
        raise click.UsageError(f"--{option} is for a plan: give FILE_OR_OBJECT", ctx)
    if topology is not None:
        found = describe_plan(plan_of(topology, **options))
    else:
        from pytest_kinda.build.catalogue import open_standing
        from pytest_kinda.testbed.describing import describe_standing

        found = describe_standing(open_standing(offers.chosen(wanted).directory))
    chosen: dict[str, Any] = {"function": function} if function else {}
    if artifacts:
        chosen["artifacts"] = {name: _pair(text) for name, text in map(_split, artifacts)}
    for name, text in map(_split, implements):
        chosen.setdefault("implements", {}).setdefault(name, []).append(text)
    text = found.render(
        form or "json", warn=lambda line: click.echo(f"note: {line}", err=True), **chosen
    )
    click.echo(text, nl=False)


def _split(text: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not (name and sign and rest):
        raise click.UsageError(f"found {text!r}; expected PROGRAM=…")
    return name, rest


def _pair(text: str) -> list[str]:
    found = text.split(",")
    if len(found) != 2:
        raise click.UsageError(f"found {text!r}; expected P4INFO,JSON: two files")
    return found


COMMANDS = (describe,)
