"""Printing: rich tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from pytest_kinda.jsonvalues import to_json

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Add ``--json``."""
    added: Function = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document."
    )(function)
    return added


def print_json(value: Any) -> None:
    """Print a value of ours, or plain data, as JSON."""
    click.echo(json.dumps(to_json(value), indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; in a pipe it is as wide as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 240
    # plain text: rich would take the ":cd:" of a MAC address for a picture
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)
