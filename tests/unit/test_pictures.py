"""The pictures of the documentation are what is drawn of the code beside them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from pytest_kinda import Topology
from pytest_kinda.drawing import draw
from pytest_kinda.errors import LabWarning
from tests.support.labs import public_labs
from tests.support.p4_experiments import EXPERIMENTS, topology_of
from tests.support.pictures import PICTURES, declared, labs, shown

LABS = public_labs()
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def same_picture(topology: Topology, folder: Path = PICTURES) -> None:
    """The drawing is the file's: equal but for a hair's breadth in its numbers."""
    path = folder / f"{topology.name}.svg"
    found, drawn = path.read_text(), draw(topology).decode()
    hint = f"{path.name} is not what is drawn now: python -m tests.support.pictures"
    assert _NUMBER.sub("#", found) == _NUMBER.sub("#", drawn), hint
    # springs are made of floating point, which is not the same to the last digit everywhere
    for here, there in zip(_NUMBER.findall(found), _NUMBER.findall(drawn), strict=True):
        assert abs(float(here) - float(there)) < 1, hint


def test_every_generator_and_every_topology_of_the_page_is_drawn() -> None:
    topologies = {one.name: one for one in declared()}
    for one in topologies.values():
        same_picture(one)
    # the others are the labs, in the same order as the page has them
    assert [one for one in shown() if one not in topologies] == [
        "static-routing", "ospf_frr-singlearea", "data-center-bgp", "frr01", "br01", "kind01"
    ]  # fmt: skip
    assert sorted(one.stem for one in PICTURES.iterdir()) == sorted(shown())


def test_every_generator_is_on_the_page() -> None:
    from pytest_kinda import generators
    from tests.support.pictures import PAGE

    text = PAGE.read_text()
    for name in generators.__all__:
        if name != "Leaves":
            assert re.search(rf"\b{name}\(", text), name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_p4_experiments_are_drawn(name: str) -> None:
    folder = PICTURES.parent / "p4-pictures"
    same_picture(topology_of(name), folder)
    assert sorted(one.stem for one in folder.iterdir()) == sorted(EXPERIMENTS)


@pytest.mark.skipif(LABS is None, reason="no public labs here (KINDA_PUBLIC_LABS)")
def test_labs_of_others_are_drawn() -> None:
    assert LABS is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        for one in labs(LABS):
            same_picture(one)
