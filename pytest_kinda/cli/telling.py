"""What a declared network is to schedulers."""

from __future__ import annotations

from typing import Any

import click

from pytest_kinda.cli.declaring import options_from, plan_options
from pytest_kinda.cli.output import print_json

FORMS = (
    "labels",
    "diktyo",
    "volcano",
    "kueue",
    "kai",
    "koordinator",
    "topograph",
    "k8s-inc",
    "bandwidth",
    "csv",
    "json",
)


@click.command()
@click.argument("topology", metavar="FILE_OR_OBJECT")
@click.option("--for", "form", type=click.Choice(FORMS), help="Who is to read it; else a table.")
@click.option(
    "--metric",
    type=click.Choice(["delay", "rate", "hops"]),
    default="delay",
    help="What costs are made from (delay).",
)
@click.option("--unit", metavar="TEXT", help="What a cost of 1 stands for: 100us, 1gbit.")
@click.option("--zone", metavar="MEANING", help="What a zone is: node, or the name of a level.")
@click.option("--region", metavar="NAME", help="The region of all nodes.")
@click.option("--levels", metavar="A,B", help="Names of the levels, the closest first.")
@click.option("--name", metavar="NAME", help="The name of the object.")
@click.option("--namespace", metavar="NAME", help="The namespace of the object.")
@click.option(
    "--assume",
    type=click.Choice(["fewest-hops"]),
    help="The ways through routers that find their routes by themselves.",
)
@plan_options
@click.option("--json", "as_json", is_flag=True, help="Objects as a JSON list, not YAML.")
def facts(
    topology: str,
    form: str | None,
    metric: str,
    unit: str | None,
    assume: str | None,
    as_json: bool,
    zone: str | None,
    region: str | None,
    levels: str | None,
    name: str | None,
    namespace: str | None,
    **options: str | None,
) -> None:
    """Print the network as a scheduler reads it, without Docker.

    Delay, bottleneck rate, hops and cost between the nodes of the cluster, by the ways of the
    plan's routes; with --for as objects to be applied. What to beware of goes to stderr.
    """
    from pytest_kinda.cli.loading import load
    from pytest_kinda.plan import plan as make_plan
    from pytest_kinda.plan.values import USUAL
    from pytest_kinda.scheduling import network_facts

    planned = make_plan(load(topology), options_from(**options), USUAL)
    found = network_facts(planned, metric=metric, unit=unit, assume=assume or "")
    given: dict[str, Any] = {"zone": zone, "region": region, "name": name, "namespace": namespace}
    given["levels"] = levels.split(",") if levels else None
    chosen = {key: value for key, value in given.items() if value is not None}
    if form is None:
        if chosen:
            raise click.UsageError(f"--{next(iter(chosen))} is for a form: add --for FORM")
        if as_json:
            form = "json"
        else:
            click.echo(str(found))
            return
    rendered = found.render(form, **chosen)
    for warning in found.warnings:
        click.echo(f"note: {warning}", err=True)
    if isinstance(rendered, str):
        click.echo(rendered, nl=False)
    elif as_json:
        print_json(rendered)
    else:
        import yaml

        click.echo(yaml.safe_dump_all(rendered, sort_keys=False, explicit_start=True), nl=False)


COMMANDS = (facts,)
