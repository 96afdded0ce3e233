"""Commands that need no testbed: what a declaration means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
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
        click.option(
            "--pods",
            type=click.Choice(["gre", "routed"]),
            help="Through a tunnel, or by routes of the network.",
        ),
        click.option("--engine", type=click.Choice(["kathara", "direct"])),
        click.option(
            "--control-plane-traffic",
            type=click.Choice(["direct", "network"]),
            help="Which network API server and kubelets talk over.",
        ),
        click.option(
            "--internet-via", metavar="ROUTER", help="Reach what is outside through this one."
        ),
        click.option(
            "--internet-dns", metavar="ADDRESSES", help="The name servers there, commas between."
        ),
        click.option(
            "--ip-family",
            type=click.Choice(["ipv4", "dual", "ipv6"]),
            help="The families of addresses that pods and services have.",
        ),
        click.option(
            "--p4-engine",
            type=click.Choice(["bmv2", "native"]),
            help="What runs the P4 switches that do not name theirs.",
        ),
    ):
        function = option(function)
    return function


def options_from(**given: str | None) -> PlanOptions:
    """The plan's options, defaults where nothing was given."""
    from pytest_kinda.plan.values import PlanOptions

    chosen: dict[str, Any] = given
    return PlanOptions(**{name: value for name, value in chosen.items() if value is not None})


@click.command()
@click.argument("topology", metavar="FILE_OR_OBJECT")
@plan_options
@json_option
def plan(topology: str, as_json: bool, **options: str | None) -> None:
    """Print what would be built, without Docker.

    FILE_OR_OBJECT is FILE.py, FILE.py:OBJECT, MODULE:OBJECT, FILE.yaml or FILE.json.
    """
    planned = plan_of(topology, **options)
    if as_json:
        print_json(planned)
    else:
        print_plan(planned)


def plan_of(topology: str, **options: str | None) -> Plan:
    """The plan of what a command line names. Raises KindaError."""
    from pytest_kinda.cli.loading import load
    from pytest_kinda.host.facts import has_openvswitch
    from pytest_kinda.plan import plan as make_plan
    from pytest_kinda.plan.values import USUAL

    # of what takes no right to find out, what changes how a device is carried out
    facts = replace(USUAL, openvswitch=has_openvswitch())
    return make_plan(load(topology), options_from(**options), facts)


def print_plan(planned: Plan) -> None:
    """Tables of the nodes, the interfaces and the routes."""
    click.echo(f"topology {planned.topology}, signature {planned.signature[:12]}")
    click.echo(f"engine {planned.options.engine}")
    if planned.tunnel is not None:
        click.echo(f"pods' traffic: {planned.tunnel.driver}, MTU {planned.tunnel.mtu}")
    if planned.uplink is not None:
        servers = ", ".join(planned.uplink.nameservers) or "Docker's"
        click.echo(f"outside: by {planned.uplink.device}, name servers {servers}")
    for warning in planned.warnings:
        click.echo(f"note: {warning}")
    for node in planned.devices:
        for note in node.device.notes if node.device else ():
            click.echo(f"note: {node.name}: {note}")
    print_table(
        "nodes",
        ["name", "kind", "endpoint", "pods"],
        [
            (
                node.name,
                node.kind,
                " ".join(filter(None, (node.endpoint, node.endpoint6))),
                " ".join(node.pod_cidrs),
            )
            for node in planned.nodes
        ],
    )
    numbers = {
        (node.name, interface): number
        for node in planned.devices
        for interface, number in node.port_numbers.items()
    }
    print_table(
        "interfaces",
        ["node", "interface", "addresses", "MAC", "MTU", "segment", "peers"]
        + ["port"] * bool(numbers),
        [
            (
                node.name,
                one.name,
                " ".join(one.addresses),
                one.mac,
                one.mtu,
                one.segment,
                " ".join(one.peers),
                *([numbers.get((node.name, one.name), "")] if numbers else []),
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


@click.command()
@click.argument("topology", metavar="FILE_OR_OBJECT")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["svg", "png", "mermaid", "dot"]),
    help="Left out, the output file's suffix says it (.svg, .png, .mmd, .dot); else mermaid.",
)
@click.option("--addresses", is_flag=True, help="Show the plan's interfaces and addresses.")
@plan_options
@json_option
def graph(
    topology: str,
    output: Path | None,
    form: str | None,
    addresses: bool,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Draw a topology with its link settings, without Docker.

    Prints text forms where no output file is given. PNG needs Graphviz. With --json it is the
    topology that is printed, as a file that all commands take.
    """
    from pytest_kinda.cli.loading import load
    from pytest_kinda.drawing import SUFFIXES, draw
    from pytest_kinda.plan import plan as make_plan
    from pytest_kinda.plan.values import USUAL

    if as_json:
        from pytest_kinda.readers import to_data

        if output is not None or form is not None:
            raise click.UsageError("--json prints the topology: no -o and no -f with it")
        print_json(to_data(load(topology)))
        return
    if form is None and output is not None:
        if output.suffix not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise click.UsageError(f"found the suffix {output.suffix!r}; expected {known}, or -f")
        form = SUFFIXES[output.suffix]
    form = form or "mermaid"
    if form == "png" and output is None:
        raise click.UsageError("a PNG goes to a file: give -o FILE.png")
    declared = load(topology)
    options = options_from(**chosen)
    drawing = draw(make_plan(declared, options, USUAL) if addresses else declared, form)
    if output is None:
        click.echo(drawing.decode(), nl=False)
    else:
        output.write_bytes(drawing)


@click.command()
@click.argument("what", type=click.Choice(["topology", "rows", "description"]), default="topology")
@json_option
def schema(what: str, as_json: bool) -> None:
    """Print the JSON Schema of topology files, of an experiment's rows, or of `kinda describe`.

    It is JSON in any case.
    """
    if what == "rows":
        from pytest_kinda.experiment.schema import schema as make_schema
    elif what == "description":
        from pytest_kinda.description import schema as make_schema
    else:
        from pytest_kinda.readers import schema as make_schema
    print_json(make_schema())


COMMANDS = (plan, graph, schema)
