"""The group of all commands, and the short form ``kinda NODE COMMAND …``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from pytest_kinda.cli import (
    capturing,
    declaring,
    describing,
    entering,
    experimenting,
    life,
    linking,
    looking,
    machine,
    offers,
    programming,
    telling,
)
from pytest_kinda.errors import KindaError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Kinda(click.Group):
    """A group that takes a node's name for a command, and shows our errors as they are."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A known command; else ``exec`` on the node of that name; else the nearest names."""
        name = args[0]
        if self.get_command(ctx, name) is not None or name.startswith("-"):
            return super().resolve_command(ctx, args)
        nodes = offers.node_names(ctx.obj)
        if name in nodes:
            # With no command behind the name: a shell.
            return "exec", self.get_command(ctx, "exec"), args
        known = [*self.list_commands(ctx), *nodes]
        near = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        where = f"nodes: {', '.join(nodes)}" if nodes else "no testbed stands"
        raise click.UsageError(f"{name!r} is neither a command nor a node ({where}){hint}", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options as ever, and the names of nodes for the short form."""
        from click.shell_completion import CompletionItem

        nodes = [one for one in offers.node_names(ctx.params.get("testbed")) if one[:1] != "-"]
        return [
            *super().shell_complete(ctx, incomplete),
            *(CompletionItem(name) for name in nodes if name.startswith(incomplete)),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; one of our errors becomes its text and status 1."""
        try:
            return super().invoke(ctx)
        except KindaError as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=Kinda,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="kinda NODE COMMAND … is short for kinda exec NODE -- COMMAND …",
)
@click.option(
    "-t",
    "--testbed",
    metavar="ID",
    envvar="KINDA_TESTBED",
    help="Which testbed is meant, if several stand.",
    shell_complete=offers.complete_testbed,
)
@click.version_option(package_name="pytest-kinda", prog_name="kinda")
@click.pass_context
def kinda(ctx: click.Context, testbed: str | None) -> None:
    """Networks of Kathara devices and kind clusters, as pytest builds them."""
    ctx.obj = testbed


for _command in (
    *declaring.COMMANDS,
    *describing.COMMANDS,
    *telling.COMMANDS,
    *experimenting.COMMANDS,
    *life.COMMANDS,
    *entering.COMMANDS,
    *capturing.COMMANDS,
    *linking.COMMANDS,
    *looking.COMMANDS,
    *machine.COMMANDS,
    *programming.COMMANDS,
):
    kinda.add_command(_command)
