"""``kinda link``: cut, mend and impair a link of a testbed that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pytest_kinda.testbed import Testbed
    from pytest_kinda.testbed.links import LinkHandle

IMPAIRMENTS = {
    "rate": ("RATE", "Bits a second, such as 10mbit."),
    "delay": ("TIME", "Such as 20ms."),
    "jitter": ("TIME", "Of the delay."),
    "loss": ("SHARE", "Such as 1%."),
    "corrupt": ("SHARE", "Of the packets."),
    "duplicate": ("SHARE", "Of the packets."),
    "reorder": ("SHARE", "Of the packets; needs a delay."),
    "burst": ("SIZE", "Of the rate, such as 32kb."),
    "latency": ("TIME", "The longest wait in the queue of the rate."),
}


@click.group()
def link() -> None:
    """Cut, mend or impair a link, until `kinda link up` or the end of the testbed."""


def _opened(ctx: click.Context, testbed: str | None, name: str) -> tuple[Testbed, LinkHandle]:
    """The testbed that is meant and its link, told by name or by two nodes ``a--b``, ``b--a``."""
    from pytest_kinda.testbed import Testbed

    opened = Testbed.open(offers.chosen(testbed or ctx.find_root().obj).directory)
    names = [one.name for one in opened.links]
    ends = name.split("--")
    nodes = [one.name for one in opened.nodes]
    turned = name not in names and len(ends) == 2 and all(one in nodes for one in ends)
    return opened, opened.link(*ends) if turned else opened.link(name)


def _told(as_json: bool, opened: Testbed, found: LinkHandle, state: str) -> None:
    if as_json:
        print_json({"testbed": opened.id, "link": found.name, "state": state})
    else:
        click.echo(f"{found.name}: {state}")


_testbed = click.option(
    "-t", "--testbed", metavar="ID", help="Which testbed.", shell_complete=offers.complete_testbed
)
_name = click.argument("name", metavar="LINK", shell_complete=offers.complete_link)


@link.command()
@_testbed
@_name
@json_option
@click.pass_context
def down(ctx: click.Context, testbed: str | None, name: str, as_json: bool) -> None:
    """Cut LINK: both ends lose their carrier."""
    from pytest_kinda.testbed.left import leave

    opened, found = _opened(ctx, testbed, name)
    leave(opened, found, lambda one: one.down())
    _told(as_json, opened, found, "down")


@link.command()
@_testbed
@_name
@json_option
@click.pass_context
def up(ctx: click.Context, testbed: str | None, name: str, as_json: bool) -> None:
    """Mend LINK: it is as declared again, whatever `kinda link` did to it."""
    from pytest_kinda.testbed.left import heal

    opened, found = _opened(ctx, testbed, name)
    healed = heal(opened, found)
    _told(as_json, opened, found, "up" if healed else "up (nothing was done to it by kinda link)")


@link.command()
@_testbed
@_name
@click.option("--direction", metavar="A->B", help="One way only, such as 'r1->r2'.")
@json_option
@click.pass_context
def impair(
    ctx: click.Context,
    /,
    testbed: str | None,
    name: str,
    direction: str | None,
    as_json: bool,
    **given: str | None,
) -> None:
    """Change what LINK does to packets; takes the place of what was done to it before."""
    from pytest_kinda.testbed.left import heal, leave

    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("name what to change: --" + ", --".join(IMPAIRMENTS), ctx)
    opened, found = _opened(ctx, testbed, name)
    heal(opened, found)
    leave(opened, found, lambda one: one.impair(direction=direction, **changes))
    words = ", ".join(f"{key} {value}" for key, value in changes.items())
    _told(as_json, opened, found, f"impaired ({words})")


for _key, (_metavar, _help) in reversed(IMPAIRMENTS.items()):
    impair.params.insert(1, click.Option([f"--{_key}"], metavar=_metavar, help=_help))

COMMANDS = (link,)
