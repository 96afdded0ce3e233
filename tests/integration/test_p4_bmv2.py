"""P4 switches that BMv2 runs: found faults, and the whole of ``test_p4_switch`` by its option.

Where there is no image of BMv2: that a build says so, and names the engine that needs none.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from pytest_kinda import Host, Link, P4Switch, Topology
from pytest_kinda.build.engine_api import EngineError, docker_request
from pytest_kinda.errors import BuildError
from pytest_kinda.plan import Plan, PlanOptions, plan
from pytest_kinda.setup import pins
from pytest_kinda.testbed import Testbed

pytestmark = [pytest.mark.slow, pytest.mark.beside]

PROGRAM = "../../examples/p4/router.json"
ONE = Topology(
    name="bmv2",
    nodes=[P4Switch("s1", program=PROGRAM, engine="bmv2", log="debug"), Host("h1")],
    links=[Link("h1", "s1")],
)
OPTIONS = PlanOptions(engine="direct")


def has_image() -> bool:
    try:
        docker_request("GET", f"/images/{quote(pins.BMV2, safe='')}/json")
    except (EngineError, OSError):
        return False
    return True


with_image = pytest.mark.skipif(not has_image(), reason="no image of BMv2 here")


def test_without_an_image_the_build_names_the_engine_that_needs_none() -> None:
    with socket.socket() as silent:
        # bound and not listening: connecting is refused, and nobody else gets the port
        silent.bind(("127.0.0.1", 0))
        image = f"127.0.0.1:{silent.getsockname()[1]}/bmv2:1"
        with pytest.raises(BuildError, match=f"could not pull {image}.*") as caught:
            Testbed.build(plan(ONE, replace(OPTIONS, bmv2_image=image)))
    assert "engine='native' or --kinda-p4-engine=native needs no image" in str(caught.value)


def changed(made: Plan, **changes: Any) -> Plan:
    """A plan of which the switch is another device than ``plan`` would make."""
    nodes = [
        replace(one, device=replace(one.device, **changes)) if one.device.driver else one
        for one in made.nodes
        if one.device is not None
    ]
    return replace(made, nodes=tuple(nodes))


@with_image
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1@eth0", "1@eth7", r"s1: BMv2 has not taken 1 eth0: found .*; port 1 \(eth0, link"),
        ("/program.json", "/none.json", "s1: no P4 switch answers .* its log ends with: .*none"),
        ("--device-id", "--device-id 1", "s1: found device 1 at its control port; expected"),
        ("/program.json", "/other.json", "s1: found ok md5:.*, which is another program than"),
    ],
)
def test_what_is_wrong_is_told_at_once(old: str, new: str, said: str) -> None:
    made = plan(ONE, OPTIONS)
    device = made.node("s1").device
    assert device is not None
    words = list(device.startup[0].argv)
    at = next(number for number, word in enumerate(words) if word.endswith(old))
    replaced = words[at].replace(old, new).split()
    words[at : at + len(replaced)] = replaced
    program = next(one for one in device.files if one.path.endswith("program.json"))
    other = replace(program, path="/var/lib/kinda-p4/other.json", text=program.text + " ")
    start = replace(device.startup[0], argv=tuple(words))
    with pytest.raises(BuildError, match=said):
        Testbed.build(changed(made, startup=(start,), files=(*device.files, other)))


@with_image
@pytest.mark.topology(ONE, engine="direct")
def test_it_writes_a_log_of_packets_when_asked_to(kinda: Any) -> None:
    s1 = kinda.device("s1")
    assert s1.engine == "bmv2"
    kinda.node("h1").exec("ping", "-c", "1", "-W", "1", s1.ports[0].address, check=False)
    assert "Adding interface eth0 as port 1" in s1.log()
    assert s1.exec("test", "-e", "/var/lib/kinda-p4/messages.txt").ok
    s1.table("ipv4_lpm").default("drop")
    s1.mirror(3, port=1)
    kinda.put_back()
    assert s1.control.loaded() == s1.program.digest
