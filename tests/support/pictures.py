"""The pictures of docs/topologies.md: ``python -m tests.support.pictures`` draws them anew."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.drawing import draw
from pytest_kinda.errors import LabWarning
from tests.support.documents import ROOT, examples, execute
from tests.support.labs import public_labs

PAGE = ROOT / "docs" / "topologies.md"
PICTURES = PAGE.parent / "pictures"


def shown() -> list[str]:
    """The names of the pictures that the page shows, in its order."""
    return re.findall(r"\]\(pictures/([^)]+)\.svg\)", PAGE.read_text())


def declared() -> Iterator[Topology]:
    """The topologies of the page's Python that it shows."""
    wanted = set(shown())
    for place, text in examples().items():
        if place.startswith(PAGE.name):
            for value in execute(place, text).values():
                if isinstance(value, Topology) and value.name in wanted:
                    yield value


def labs(directory: Path) -> Iterator[Topology]:
    """The labs of others that the page shows, as the page says."""
    for name in ("static-routing", "ospf_frr-singlearea", "data-center-bgp"):
        yield Topology.from_kathara(directory / "kathara" / name)
    files = directory / "containerlab"
    yield Topology.from_containerlab(files / "frr01" / "frr01.clab.yml")
    yield Topology.from_containerlab(
        files / "br01" / "br01.clab.yml",
        nodes=[Host("srl1"), Host("srl2"), Host("srl3"), Host("h4")],
        attach=[Link("h4", "br-clab")],
    )
    yield Topology.from_containerlab(
        files / "k8s_kind01" / "k8s_kind01.clab.yml",
        nodes=[Router("srl01")],
        without=["k02", "k02-control-plane"],
    )


def main() -> None:
    """Draw every picture whose topology can be had here."""
    PICTURES.mkdir(exist_ok=True)
    directory = public_labs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        topologies = [*declared(), *(labs(directory) if directory else ())]
    for one in topologies:
        (PICTURES / f"{one.name}.svg").write_bytes(draw(one))
        print(f"{one.name}.svg")


if __name__ == "__main__":
    main()
