"""Commands that look: whose a container is, where a node is, what was logged, which images."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.entering import docker_client
from pytest_kinda.cli.output import json_option, print_json, print_table
from pytest_kinda.errors import KindaError

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing

_testbed = click.option(
    "-t", "--testbed", metavar="ID", help="Which testbed.", shell_complete=offers.complete_testbed
)


@click.command()
@click.argument("container")
@json_option
def who(container: str, as_json: bool) -> None:
    """Say which node of which testbed CONTAINER (a name, an id or its beginning) is."""
    from pytest_kinda.build.owners import owner_of

    owner = owner_of(container)
    if as_json:
        print_json(asdict(owner))
    else:
        node = owner.node or "a node that is still being built"
        click.echo(f"{node} of testbed {owner.testbed} ({owner.topology})")
        click.echo(f"container {owner.name} {owner.container[:12]}")


@click.command()
@_testbed
@click.argument("node", shell_complete=offers.complete_node)
@json_option
@click.pass_context
def reverse(ctx: click.Context, testbed: str | None, node: str, as_json: bool) -> None:
    """Say which container NODE is, and how to enter its network from this machine."""
    from pytest_kinda.build.catalogue import open_standing
    from pytest_kinda.build.owners import whereabouts

    standing = open_standing(offers.chosen(testbed or ctx.obj).directory)
    found = whereabouts(standing, node)
    if as_json:
        print_json(asdict(found))
        return
    click.echo(f"container  {found.name} {found.container[:12]}, {found.state}")
    click.echo(f"image      {found.image}")
    if found.pid:
        click.echo(f"process    {found.pid}")
        click.echo(f"network    sudo nsenter --net={found.network_namespace} ip addr")


@click.command()
@_testbed
@click.argument("node", required=False, shell_complete=offers.complete_node)
@click.option("-n", "--lines", type=click.IntRange(1), default=100, help="How many (100).")
@click.option("-f", "--follow", is_flag=True, help="Go on as they come; takes a NODE.")
@json_option
@click.pass_context
def logs(
    ctx: click.Context,
    testbed: str | None,
    node: str | None,
    lines: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the last log lines of NODE; without NODE those of the testbed's keeper and of kind.

    With several control planes, also those of the balancer before them.

    A Kubernetes node's are its kubelet's and containerd's, a device's what its container printed.
    """
    from pytest_kinda.build.catalogue import open_standing

    known = offers.chosen(testbed or ctx.obj, states=("complete", "building", "abandoned"))
    if follow and (node is None or as_json):
        raise click.UsageError("-f takes a NODE, and no --json", ctx)
    if node is None:
        texts = {one.name: _tail(one, lines) for one in sorted(known.directory.glob("*.log"))}
        texts |= _balancer_lines(known.directory, lines)
    else:
        standing = open_standing(known.directory)
        standing.execution(node)  # an unknown name is refused here
        if follow:
            _follow(standing, node, lines)
        texts = {node: _node_lines(standing, node, lines)}
    if as_json:
        print_json(texts)
        return
    for name, found in texts.items():
        if len(texts) > 1:
            click.echo(f"== {name}")
        for line in found:
            click.echo(line)


def _balancer_lines(directory: Path, lines: int) -> dict[str, list[str]]:
    """What the balancer before several control planes has printed, where there is one."""
    from pytest_kinda.build import balancer
    from pytest_kinda.build.catalogue import read_plan
    from pytest_kinda.build.kind import cluster_name

    try:
        if not balancer.is_needed(read_plan(directory)):
            return {}
    except KindaError:
        return {}  # its build has only begun, or another version's
    try:
        said = balancer.logs(cluster_name(directory.name), lines=lines)
    except KindaError as error:
        said = error.message
    return {balancer.NAME: said.splitlines()}


def _tail(path: Path, lines: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-lines:]


def _journal_of(lines: int) -> list[str]:
    return ["journalctl", "--no-pager", "-n", str(lines), "-u", "kubelet", "-u", "containerd"]


def _node_lines(standing: Standing, node: str, lines: int) -> list[str]:
    from pytest_kinda.build.engine_api import container_logs

    if standing.plan.node(node).is_kubernetes:
        done = standing.execution(node).run(_journal_of(lines), timeout=30)
        return done.stdout.decode(errors="replace").splitlines()
    return container_logs(standing.containers[node], lines=lines).splitlines()


def _follow(standing: Standing, node: str, lines: int) -> None:
    """Become the client that follows."""
    client = docker_client()
    container = standing.containers[node]
    if standing.plan.node(node).is_kubernetes:
        argv = [client, "exec", container, *_journal_of(lines), "-f"]
    else:
        argv = [client, "logs", "-f", "-n", str(lines), container]
    os.execv(client, argv)


@click.command()
@json_option
def images(as_json: bool) -> None:
    """List the images that testbeds are made from, and where the local ones came from.

    The node image holds `tools` for pods. Ends with status 1 if one is missing.
    """
    from pytest_kinda.setup.images import inventory

    try:
        found = inventory()
    except OSError as error:
        raise KindaError(f"Docker Engine does not answer: {error}", remedy="kinda doctor") from None
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        print_table(
            "",
            ["name", "image", "state", "id", "MB"],
            [
                (
                    one.name,
                    one.reference,
                    one.origin or "missing: kinda setup",
                    one.id.removeprefix("sha256:")[:12],
                    round(one.size / 1e6) if one.size else "",
                )
                for one in found
            ],
        )
    if any(not one.id for one in found):
        raise SystemExit(1)


COMMANDS = (who, reverse, logs, images)
