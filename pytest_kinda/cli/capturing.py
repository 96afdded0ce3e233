"""``kinda capture``: packets of a testbed into a file, or live into Wireshark."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import click

from pytest_kinda.cli import offers
from pytest_kinda.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pytest_kinda.testbed.capture import Capture


@click.command()
@click.argument("where", nargs=-1, metavar="[WHERE]...", shell_complete=offers.complete_place)
@click.option(
    "-t", "--testbed", metavar="ID", help="Which testbed.", shell_complete=offers.complete_testbed
)
@click.option("-w", "--write", "target", metavar="FILE", required=True, help="A file; - is stdout.")
@click.option("-f", "--filter", "expression", default="", help="In tcpdump's language.")
@click.option(
    "--ends", type=click.Choice(["a", "b", "both"]), default="a", help="Which ends of a link (a)."
)
@json_option
@click.pass_context
def capture(
    ctx: click.Context,
    where: tuple[str, ...],
    testbed: str | None,
    target: str,
    expression: str,
    ends: Literal["a", "b", "both"],
    as_json: bool,
) -> None:
    """Capture packets as pcapng until Ctrl-C or until nobody reads them.

    WHERE is NODE:INTERFACE, a link's name, or a node's; nothing is everywhere. Live, from the
    host's side: kinda capture w1:eth1 -w - | wireshark -k -i -
    """
    from pytest_kinda.testbed import Testbed
    from pytest_kinda.testbed.live import stream

    if target == "-" and sys.stdout.isatty():
        raise click.UsageError("-w - writes binary data, and stdout is a terminal; pipe it", ctx)
    if target == "-" and as_json:
        raise click.UsageError("-w - writes packets to stdout, where --json would write too", ctx)
    opened = Testbed.open(offers.chosen(testbed or ctx.obj).directory)
    over = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        if over.is_set():  # the second time nothing is waited for
            raise KeyboardInterrupt
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

    def at(path: Path) -> Capture:
        made = opened.capture(
            list(where) or None, filter=expression, ends=ends, path=path, allow_drops=True
        )
        click.echo(f"capturing {made.where}; Ctrl-C ends it", err=True)
        return made

    if target == "-":
        taken = stream(at, 1, over)
    else:
        with at(Path(target)) as taken:
            over.wait()
    if as_json:
        gaps = [asdict(one) for one in taken.gaps]
        print_json({"path": target, "packets": taken.taken, "drops": taken.drops, "gaps": gaps})
    else:
        click.echo(f"{taken.taken} packets taken, {taken.drops} lost", err=True)
        for gap in taken.gaps:
            click.echo(str(gap), err=True)


COMMANDS = (capture,)
