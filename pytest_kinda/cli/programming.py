"""P4 programs without a network: is one covered, and what does it do with packets from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_kinda.cli.output import json_option, print_json
from pytest_kinda.errors import KindaError

if TYPE_CHECKING:
    from pytest_kinda.p4.program import Program

_LIMIT = 511


@click.group()
def p4() -> None:
    """P4 programs (BMv2's JSON) on the native engine, without a network."""


@p4.command("compile")
@click.argument("program", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Copy what was compiled.")
@json_option
def compile_(program: Path, output: Path | None, as_json: bool) -> None:
    """Translate and compile PROGRAM; says what it cannot, by construct and line."""
    found, made = _compiled(program)
    if output is not None:
        output.write_bytes(made.read_bytes())
        output.chmod(0o755)
    shown = output or made
    if as_json:
        tables = {one.name: one.match for one in found.tables}
        print_json({"program": str(shown), "sha256": found.digest, "tables": tables})
        return
    click.echo(f"{shown}\nprogram {found.digest}")
    for table in found.tables:
        if table.keys:
            keys = ", ".join(f"{key.name} ({key.match})" for key in table.keys)
            click.echo(f"table {table.name}: {keys}")


@p4.command("run")
@click.argument("program", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-i", "--in", "inputs", metavar="PORT=FILE", multiple=True, help="Packets that come in (pcap)."
)
@click.option(
    "-c",
    "--commands",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Runtime commands as simple_switch_CLI takes them, carried out before.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for a pcap file of each port that packets leave by.",
)
@json_option
def run(
    program: Path, inputs: Sequence[str], commands: Path | None, output: Path, as_json: bool
) -> None:
    """Run PROGRAM on packets from files, in the order of their times over all ports."""
    from pytest_kinda.p4 import FileSwitch
    from pytest_kinda.p4.commands import run_commands
    from pytest_kinda.p4.pcapfiles import merged, write_by_port

    sources = dict(_source(one) for one in inputs)
    found, made = _compiled(program)
    with FileSwitch(found, made) as switch:
        if commands is not None:
            run_commands(commands.read_text(), switch.control, name=commands.name)
        sent = switch.send(merged(sources))
        statistics = switch.control.statistics()
    files = list(write_by_port(output, sent))
    if as_json:
        print_json({"files": {str(path): count for path, count in files}, "packets": statistics})
        return
    for path, count in files:
        click.echo(f"{path}: {count} packets")
    click.echo(f"{statistics.received} in, {statistics.sent} out")


def _compiled(path: Path) -> tuple[Program, Path]:
    """What a file holds, and where it is compiled."""
    from pytest_kinda.p4 import compile_program, read_program, translate

    program = read_program(path)
    return program, compile_program(translate(program))


def _source(text: str) -> tuple[int, Path]:
    port, sign, file = text.partition("=")
    if not sign or not port.isdigit() or int(port) > _LIMIT:
        raise KindaError(f"found {text!r}; expected PORT=FILE, with a port from 0 to {_LIMIT}")
    return int(port), Path(file)


COMMANDS = (p4,)
