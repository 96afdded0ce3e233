"""Commands inside a testbed: a shell on a node, kubectl, and whether everything reaches."""

from __future__ import annotations

import os
import shutil
import sys

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.output import json_option, print_json
from pytest_kinda.errors import KindaError

_DAY = 86400.0  # seconds; whoever waits for less ends the command
FOREIGN = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def docker_client() -> str:
    """Docker's command line client. Raises KindaError where there is none."""
    client = shutil.which("docker")
    if client is None:
        raise KindaError(
            "there is no docker command on PATH", remedy="install Docker's command line client"
        )
    return client


@click.command(name="exec", context_settings=FOREIGN)
@click.option(
    "-t", "--testbed", metavar="ID", help="Which testbed.", shell_complete=offers.complete_testbed
)
@json_option
@click.argument("node", shell_complete=offers.complete_node)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def execute(
    ctx: click.Context, testbed: str | None, as_json: bool, node: str, command: tuple[str, ...]
) -> None:
    """Run COMMAND on NODE, a shell if none is given.

    On a terminal it gets a terminal. Everything behind NODE belongs to the command; with --json
    before it, it is run to its end and its status and output are told.
    """
    from pytest_kinda.build.catalogue import open_standing

    standing = open_standing(offers.chosen(testbed or ctx.obj).directory)
    execution = standing.execution(node)
    argv = list(command[1:] if command[:1] == ("--",) else command) or ["sh"]
    if as_json:
        done = execution.run(argv, timeout=_DAY)
        said = {"stdout": done.stdout, "stderr": done.stderr}
        texts = {name: data.decode(errors="replace") for name, data in said.items()}
        print_json({"node": node, "argv": argv, "rc": done.rc, **texts})
        raise SystemExit(done.rc)
    client = docker_client()
    streams = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    os.execv(client, [client, "exec", *streams, standing.containers[node], *argv])


@click.command(context_settings=FOREIGN, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def kubectl(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run kubectl on the testbed's cluster; all arguments are kubectl's."""
    from pytest_kinda.build.catalogue import open_standing
    from pytest_kinda.setup import program
    from pytest_kinda.testbed.kubectl import surroundings

    standing = open_standing(offers.chosen(ctx.obj).directory)
    if standing.kubeconfig is None:
        raise KindaError(f"testbed {standing.id} has no cluster")
    path = str(program("kubectl"))
    environment = {**os.environ, **surroundings(standing.kubeconfig)}
    os.execve(path, [path, *arguments], environment)


@click.command()
@click.argument("testbed", required=False, shell_complete=offers.complete_testbed)
@click.option("--measure", is_flag=True, help="Measure rate, delay, loss, MTU and path as well.")
@json_option
@click.pass_context
def verify(ctx: click.Context, testbed: str | None, measure: bool, as_json: bool) -> None:
    """Measure whether all nodes and pods reach each other, and whether anything leaks.

    With --measure also what every link does to packets, beside what was declared: some seconds
    for each declared rate. Ends with status 1 if something is wrong.
    """
    from pytest_kinda.testbed import Testbed

    known = offers.chosen(testbed or ctx.obj)
    opened = Testbed.open(known.directory)
    answer = opened.verify(measure=measure)
    if as_json:
        print_json(answer)
    else:
        click.echo(str(answer))
    if not answer:
        raise SystemExit(1)


COMMANDS = (execute, kubectl, verify)
