"""What P4 programs add to packets, in the plan; CPU ports and queues of a declaration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import ControlPlane, Host, Hub, Link, P4Nic, P4Switch, Router, Topology, Worker
from pytest_kinda.devices.p4 import CONTROLLER
from pytest_kinda.errors import PlanError, TopologyError
from pytest_kinda.plan import Plan, PlanOptions, plan
from pytest_kinda.plan.growth import Growth, parse_growth
from pytest_kinda.topology.node import Node

PROGRAM = Path(__file__).parents[1] / "data" / "p4" / "punt.json"
NATIVE = PlanOptions(engine="direct", p4_engine="native")


def switch(name: str, grows_by: str = "52B+36B/hop", **options: Any) -> P4Switch:
    return P4Switch(name, program=PROGRAM, forwarding="switch", grows_by=grows_by, **options)


def planned(links: list[Link], *nodes: Node) -> Plan:
    return plan(Topology(name="grown", nodes=list(nodes), links=links), NATIVE)


def mtus(made: Plan) -> dict[str, int]:
    found = {one.name: one.mtu for one in made.segments}
    for node in made.nodes:
        for one in node.interfaces:
            assert one.mtu == found[one.segment]
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", Growth()), ("8B", Growth(8)), ("36B/hop", Growth(0, 36)), ("4B + 8B/hop", Growth(4, 8))],
)
def test_what_is_added_is_read(text: str, wanted: Growth) -> None:
    assert parse_growth(text) == wanted


def test_links_between_switches_have_room_for_every_hop() -> None:
    links = [Link("h1", "s1"), Link("s1", "s2"), Link("s2", "s3"), Link("h2", "s3")]
    made = planned(
        links, Host("h1"), Host("h2"), switch("s1"), switch("s2", ""), switch("s3", "40B+4B/hop")
    )
    room = 52 + 36 + 4
    assert mtus(made) == {"h1--s1": 1500, "s1--s2": 1500 + room, "s2--s3": 1500 + room,
                          "h2--s3": 1500}  # fmt: skip


def test_switches_behind_an_end_add_nothing() -> None:
    links = [Link("s1", "h1"), Link("h1", "s2"), Link("s2", "r1", mtu=1400)]
    made = planned(links, Host("h1"), switch("s1"), switch("s2", "6B/hop"), Router("r1"))
    assert list(mtus(made).values()) == [1500, 1500, 1406]


def test_pods_keep_their_mtu_behind_cards_that_add_something() -> None:
    card = P4Nic(program=PROGRAM, engine="native", grows_by="12B+8B/hop")
    made = planned(
        [Link("c1", "r1"), Link("w1", "r1")],
        ControlPlane("c1", nic=card),
        Worker("w1", nic=card),
        Router("r1"),
    )
    assert made.tunnel is not None
    assert made.tunnel.mtu == 1476
    assert set(mtus(made).values()) == {1500, 1500 + 12 + 2 * 8}


def test_what_cannot_fit_is_refused() -> None:
    links = [Link("h1", "s1"), Link("s1", "s2", mtu=65000)]
    with pytest.raises(PlanError, match=r"mtu: found 65000, and 592 bytes that s1, s2 "):
        planned(links, Host("h1"), switch("s1", "520B+36B/hop"), switch("s2"))
    hub = [Link("s1", "x"), Link("s2", "x"), Link("h1", "x")]
    with pytest.raises(PlanError, match=r"grows_by: found 124 bytes .* on a segment that h1 is on"):
        planned(hub, Host("h1"), Hub("x"), switch("s1"), switch("s2"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"grows_by": "52"}, r"grows_by: found '52'; expected bytes such as \"52B\""),
        ({"cpu_port": 511}, r"cpu_port: found 511; expected a number from 0 to 510"),
        ({"cpu_port": 4, "ports": {"h1": 4}}, r"cpu_port: found 4; expected a number that no link"),
        ({"priority_queues": 9}, r"priority_queues: found 9; expected a number from 1 to 8"),
        ({"queue_rate": -1}, r"queue_rate: found -1; expected a number from 0"),
        ({"p4info": "none.txt"}, r"p4info: found .*none.txt; expected a file that can be read"),
        ({"p4info": "{\n"}, r"p4info: found p4info: .*; expected p4c writes one with"),
    ],
)
def test_mistakes_of_a_declaration(options: dict[str, Any], told: str) -> None:
    given = {"grows_by": "", **options}
    with pytest.raises(TopologyError, match=told):
        Topology(name="one", nodes=[switch("s1", **given), Host("h1")], links=[Link("h1", "s1")])


def test_the_cpu_port_and_the_queues_are_what_the_switch_starts_with() -> None:
    given = {"cpu_port": 1, "queue_depth": 7, "queue_rate": 100, "priority_queues": 2}
    made = planned([Link("h1", "s1")], Host("h1"), switch("s1", **given))
    device = made.node("s1").device
    assert device is not None
    files = {one.path.rsplit("/", 1)[-1]: one.text for one in device.files}
    assert files["declared"] == "queue-priorities 2\nqueue-depth -1 7\nqueue-rate -1 100\n"
    assert files["p4info.txt"] == PROGRAM.with_suffix(".p4info.txt").read_text()
    pairs = ("2=eth0", f"1={CONTROLLER}")  # a link takes the next free number
    assert device.startup[0].argv[-2:] == device.ready[0].argv[-2:] == pairs
