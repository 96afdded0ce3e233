"""Commands that need no testbed: what a declaration means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pytest_kinda.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from pytest_kinda.plan.values import Plan, PlanOptions

Function = TypeVar("Function", bound=Callable[..., Any])


def plan_options(function: Function) -> Function:
    """Add the options that a plan takes."""
    for option in (
        click.option("--pool", metavar="NETWORK", help="Where unset addresses come from."),
        click.option("--tunnel", type=click.Choice(["auto", "gre", "bpf", "vxlan"])),
        click.option("--engine", type=click.Choice(["kathara", "direct"])),
    ):
        function = option(function)
    return function


def options_from(engine: str | None, tunnel: str | None, pool: str | None) -> PlanOptions:
    """The plan's options, defaults where nothing was given."""
    from pytest_kinda.plan.values import PlanOptions

    given: dict[str, Any] = {"engine": engine, "tunnel": tunnel, "pool": pool}
    return PlanOptions(**{name: value for name, value in given.items() if value is not None})


@click.command()
@click.argument("topology", metavar="FILE_OR_OBJECT")
@plan_options
@json_option
def plan(
    topology: str, engine: str | None, tunnel: str | None, pool: str | None, as_json: bool
) -> None:
    """Print what would be built, without Docker.

    FILE_OR_OBJECT is FILE.py, FILE.py:OBJECT or MODULE:OBJECT.
    """
    from pytest_kinda.cli.loading import load
    from pytest_kinda.plan import plan as make_plan

    planned = make_plan(load(topology), options_from(engine, tunnel, pool))
    if as_json:
        print_json(planned)
    else:
        print_plan(planned)


def print_plan(planned: Plan) -> None:
    """Tables of the nodes, the interfaces and the routes."""
    click.echo(f"topology {planned.topology}, signature {planned.signature[:12]}")
    click.echo(f"engine {planned.options.engine}")
    if planned.tunnel is not None:
        click.echo(f"pods' traffic: {planned.tunnel.driver}, MTU {planned.tunnel.mtu}")
    for warning in planned.warnings:
        click.echo(f"note: {warning}")
    print_table(
        "nodes",
        ["name", "kind", "endpoint", "pods"],
        [(node.name, node.kind, node.endpoint, " ".join(node.pod_cidrs)) for node in planned.nodes],
    )
    print_table(
        "interfaces",
        ["node", "interface", "addresses", "MAC", "MTU", "segment", "peers"],
        [
            (
                node.name,
                one.name,
                " ".join(one.addresses),
                one.mac,
                one.mtu,
                one.segment,
                " ".join(one.peers),
            )
            for node in planned.nodes
            for one in node.interfaces
        ],
    )
    print_table(
        "routes",
        ["node", "destination", "via"],
        [
            (
                node.name,
                route.destination,
                " | ".join(f"{hop.gateway or ''} {hop.interface}".strip() for hop in route.hops),
            )
            for node in planned.nodes
            for route in node.routes
        ],
    )


COMMANDS = (plan,)
