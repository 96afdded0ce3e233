"""Commands about the machine: what it lacks, and preparing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pytest_kinda.cli.output import json_option

if TYPE_CHECKING:
    from pytest_kinda.setup.doctor import Finding


@click.command()
@click.option("--official", is_flag=True, help="Published parts only; replaces stand-ins.")
@click.option("--offline", is_flag=True, help="Build every part here.")
@click.option("--install", is_flag=True, help="System packages may be installed.")
@click.option("--only", metavar="A,B", default="", help="Only these steps.")
@click.option(
    "--with",
    "beside",
    metavar="A,B",
    default="",
    help="These too: bmv2, kueue, lab, load-balancer, ovs, scheduling.",
)
@json_option
def setup(
    official: bool, offline: bool, install: bool, only: str, beside: str, as_json: bool
) -> None:
    """Prepare this machine: engine, limits, kind, kubectl, images."""
    from pytest_kinda.setup import doctor as examination
    from pytest_kinda.setup import prepare, step_names

    status = prepare(
        official=official,
        offline=offline,
        install=install,
        only=step_names(only) or None,
        beside=step_names(beside),
        report=lambda line: click.echo(line, err=as_json),
    )
    if as_json:
        click.echo(examination.as_json(examination.examine()))
    raise SystemExit(status)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say of each requirement what was found and what to do; status 1 if one is missing."""
    from pytest_kinda.setup import doctor as examination

    findings = [*examination.examine(), _delays()]
    click.echo(examination.as_json(findings) if as_json else examination.as_text(findings))
    raise SystemExit(1 if examination.missing(findings) else 0)


def _delays() -> Finding:
    """What delays and loses packets here: a testbed without such links needs none of it."""
    from pytest_kinda.errors import HostError
    from pytest_kinda.host.facts import has_netem, holding_refusal
    from pytest_kinda.setup.doctor import Finding

    name = "delay and loss of links"
    try:
        if has_netem():
            return Finding(name, "ok", "netem")
        refusal = holding_refusal()
    except HostError as error:
        return Finding(name, "warning", error.message, error.remedy)
    if not refusal:
        return Finding(name, "ok", "ours, since this kernel has no netem")
    return Finding(name, "warning", f"no netem, and {refusal}", "modprobe sch_netem")


COMMANDS = (setup, doctor)
