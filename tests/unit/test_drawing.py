from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.drawing import draw
from pytest_kinda.drawing.layout import positions
from pytest_kinda.drawing.picture import picture
from pytest_kinda.errors import KindaError
from pytest_kinda.generators import fat_tree, grid, ring, star, tree
from pytest_kinda.plan import Plan, plan
from tests.support.declared import mixed, triangle

SVG = "{http://www.w3.org/2000/svg}"
TOPOLOGIES = [triangle(), mixed(), ring(6), grid(3, 3), star(9), tree(3, 2), fat_tree(4)]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@pytest.mark.parametrize("planned", [False, True], ids=["declared", "planned"])
def test_svg_shows_every_node_and_link(topology: Topology, planned: bool) -> None:
    subject: Topology | Plan = plan(topology) if planned else topology
    root = ET.fromstring(draw(subject))
    texts = {one.text for one in root.iter(f"{SVG}text")}
    assert {one.name for one in topology.nodes} <= texts
    assert len(list(root.iter(f"{SVG}path"))) == len(topology.links)
    assert draw(subject) == draw(subject)
    if planned:
        addresses = [
            f"{one.name} {' '.join(one.addresses)}".strip()
            for node in plan(topology).nodes
            for one in node.interfaces
        ]
        assert set(addresses) <= texts


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
def test_nodes_do_not_stand_on_each_other(topology: Topology) -> None:
    found = list(positions(picture(topology)).values())
    for index, (x, y) in enumerate(found):
        for other_x, other_y in found[index + 1 :]:
            assert abs(x - other_x) + abs(y - other_y) > 0.4


def test_the_core_of_a_fat_tree_is_on_top() -> None:
    found = positions(picture(fat_tree(4)))
    assert found["core1"][1] < found["a1-1"][1] < found["e1-1"][1] < found["c1"][1]


def test_mermaid_and_dot_name_nodes_and_settings() -> None:
    text = draw(triangle(), "mermaid").decode()
    assert text.startswith("graph TD\n")
    assert 'n3(("r1"))' in text
    assert 'n3 ---|"100mbit"| n4' in text
    text = draw(plan(triangle()), "dot").decode()
    assert '"r1" -- "r2" [label="100mbit" taillabel="eth2 10.9.0.13/30"' in text
    hub = draw(plan(mixed()), "dot").decode()
    assert '"lan" [label="lan" shape=ellipse' in hub


def test_directions_and_given_addresses_are_shown() -> None:
    given = ("10.1.0.1/24", "10.1.0.2/24")
    link = Link("h1", "r1", rate="2mbit", a_to_b={"rate": "1mbit"}, ipv4=given)
    one = Topology("t", [Host("h1"), Router("r1")], [link])
    assert '[label="1mbit / 2mbit" taillabel="10.1.0.1/24"' in draw(one, "dot").decode()


def test_text_is_escaped() -> None:
    one = Topology("a.b", [Host("h1", image="<&>")], [])
    ET.fromstring(draw(one))


def test_png_without_graphviz_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KindaError, match="install Graphviz"):
        draw(triangle(), "png")


def test_png_by_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # a stand-in that answers as Graphviz does: what is tested is how it is called
    program = tmp_path / "dot"
    script = "#!/bin/sh\n[ $1 = -Tpng ] && grep -q 'graph \"triangle\"' && printf PNG\n"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert draw(triangle(), "png") == b"PNG"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(KindaError, match="broken"):
        draw(triangle(), "png")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(KindaError, match="svg, png, mermaid, dot"):
        draw(triangle(), "gif")
