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
@click.option("--markdown", is_flag=True, help="Tables as GitHub and GitLab show them.")
@json_option
def compare(
    first: Path,
    second: Path | None,
    across: str,
    gate: str | None,
    perfdata: Path | None,
    markdown: bool,
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
        say = telling.markdown if markdown else telling.text
        for results, some in told:
            click.echo("\n".join(say(results, some)))
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
@click.option(
    "--map",
    "topology",
    metavar="TOPOLOGY",
    default="",
    help="Draw where pods were, and what links carried, on this topology's picture (SVG).",
)
@json_option
def plot(
    rows: Path, output: Path, names: tuple[str, ...], form: str, topology: str, as_json: bool
) -> None:
    """Draw box plots of a run A: a picture for each metric, a box for each arm.

    Needs matplotlib: pip install 'pytest-kinda[plot]'. With --map it needs nothing, and it is a
    picture for each arm, of what `trial.watch` has written.
    """
    output.mkdir(parents=True, exist_ok=True)
    made = _draw_maps(rows, output, topology) if topology else _boxes(rows, output, names, form)
    if as_json:
        print_json({"pictures": made})
    else:
        click.echo("\n".join(made))


def _boxes(rows: Path, output: Path, names: tuple[str, ...], form: str) -> list[str]:
    from pytest_kinda.experiment.plotting import plot as draw
    from pytest_kinda.experiment.results import results_of
    from pytest_kinda.experiment.rows import read_rows

    made = []
    for results in results_of(read_rows(rows)):
        for metric in results.metrics:
            if names and metric.name not in names:
                continue
            path = _path(output, results.name, metric.name, form)
            draw(results, metric, path)
            made.append(str(path))
    if names and not made:
        raise click.UsageError(f"no metric {', '.join(names)} in {rows}")
    return made


def _draw_maps(rows: Path, output: Path, topology: str) -> list[str]:
    from pytest_kinda.cli.loading import load
    from pytest_kinda.drawing.svg import svg
    from pytest_kinda.errors import ExperimentError
    from pytest_kinda.experiment import maps
    from pytest_kinda.experiment.rows import read_rows
    from pytest_kinda.plan import signature
    from pytest_kinda.plan.values import PlanOptions

    read, declared = read_rows(rows), load(topology)
    maps.check_topology(read, declared, signature(declared, PlanOptions()))
    made = []
    for one in maps.maps_of(read):
        path = _path(output, one.experiment, f"{one.arm}-map", "svg")
        path.write_text(svg(maps.drawn(declared, one)))
        made.append(str(path))
    if not made:
        raise ExperimentError(
            f"{rows}: found no place and no load of a trial that passed",
            remedy="measure within `with trial.watch(kinda):`",
        )
    return made


def _path(output: Path, experiment: str, what: str, form: str) -> Path:
    words = f"{experiment.rpartition('::')[2]}-{what}"
    return output / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', words).strip('-')}.{form}"


COMMANDS = (compare, plot)
