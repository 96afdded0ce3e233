"""What experiments have measured: compared, and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from pytest_kinda.cli.output import json_option, print_json


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="[B]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--across",
    metavar="NAMES",
    default="",
    help="What may differ between A and B, with commas: scheduler, kubernetes, host_class, ...",
)
@click.option(
    "--gate",
    type=click.Choice(["worse", "inconclusive"]),
    help="Status 1 if a primary metric is worse, or not shown not to be.",
)
@click.option(
    "--perfdata",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the newer run as ClusterLoader2's PerfData, too.",
)
@json_option
def compare(
    first: Path,
    second: Path | None,
    across: str,
    gate: str | None,
    perfdata: Path | None,
    as_json: bool,
) -> None:
    """Compare the arms of a run A, or a run B with an earlier run A.

    A and B are files of rows, folders of a run, or folders of runs, of which the newest counts.
    """
    from pytest_kinda.experiment import comparison, telling
    from pytest_kinda.experiment.results import results_of
    from pytest_kinda.experiment.rows import read_rows

    found = results_of(read_rows(first))
    if second is not None:
        names = [name for name in across.split(",") if name]
        new = results_of(read_rows(second))
        made = comparison.compare_runs(found, new, names)
        told = [(one, [each for each in made if each.experiment == one.name]) for one in new]
    else:
        told = [(one, comparison.compare_arms(one)) for one in found]
    made = [one for _, some in told for one in some]
    if perfdata is not None:
        from pytest_kinda.experiment.perfdata import perf_data

        perfdata.write_text(json.dumps(perf_data(one for one, _ in told), indent=2) + "\n")
    if as_json:
        print_json({"comparisons": made})
    else:
        for results, some in told:
            click.echo("\n".join(telling.text(results, some)))
    if gate and (comparison.refused(made, gate) or any(one.undecided for one, _ in told)):
        raise SystemExit(1)


@click.command()
@click.argument("rows", metavar="A", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the pictures go (.).",
)
@click.option("-m", "--metric", "names", metavar="NAME", multiple=True, help="Only this one.")
@click.option("-f", "--format", "form", type=click.Choice(["png", "svg", "pdf"]), default="png")
@json_option
def plot(rows: Path, output: Path, names: tuple[str, ...], form: str, as_json: bool) -> None:
    """Draw box plots of a run A: a picture for each metric, a box for each arm.

    Needs matplotlib: pip install 'pytest-kinda[plot]'.
    """
    from pytest_kinda.experiment.plotting import plot as draw
    from pytest_kinda.experiment.results import results_of
    from pytest_kinda.experiment.rows import read_rows

    output.mkdir(parents=True, exist_ok=True)
    made = []
    for results in results_of(read_rows(rows)):
        for metric in results.metrics:
            if names and metric.name not in names:
                continue
            words = f"{results.name.rpartition('::')[2]}-{metric.name}"
            path = output / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', words).strip('-')}.{form}"
            draw(results, metric, path)
            made.append(str(path))
    if names and not made:
        raise click.UsageError(f"no metric {', '.join(names)} in {rows}")
    if as_json:
        print_json({"pictures": made})
    else:
        click.echo("\n".join(made))


COMMANDS = (compare, plot)
