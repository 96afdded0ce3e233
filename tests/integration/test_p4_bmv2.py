"""P4 switches that BMv2 runs: found faults, and the whole of ``test_p4_switch`` by its option.

Where there is no image of BMv2: that a build says so, and names the engine that needs none.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from ctypes import addressof, create_string_buffer
from dataclasses import replace
from typing import Any

import pytest

from pytest_kinda import Host, Link, P4Switch, Topology
from pytest_kinda.errors import BuildError, P4ControlError
from pytest_kinda.p4.bmv2.packet_end import PAIR, PacketEnd
from pytest_kinda.plan import Plan, PlanOptions, plan
from pytest_kinda.testbed import Testbed
from tests.integration.test_p4_switch import CARDED, passes_its_card
from tests.support.bmv2 import has_image

pytestmark = [pytest.mark.slow, pytest.mark.beside]

PROGRAM = "../../examples/p4/router.json"
ONE = Topology(
    name="bmv2",
    nodes=[P4Switch("s1", program=PROGRAM, engine="bmv2", log="debug"), Host("h1")],
    links=[Link("h1", "s1")],
)
OPTIONS = PlanOptions(engine="direct")


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


@with_image
@pytest.mark.topology(ONE, engine="direct")
def test_what_is_otherwise_after_a_reset_is_told(kinda: Any) -> None:
    s1 = kinda.device("s1")
    planned, device = s1.planned, s1.planned.device
    rest = [one for one in device.files if not one.path.endswith("declared")]
    (told,) = (one for one in device.files if one not in rest)
    for line, said in (
        ("mirror 7 1 0", "mirror 7: found nothing, expected '1 0'"),
        ("group 3 1 0", "group 3: found nothing, expected '1 0'"),
    ):
        text = f"{told.text}{line}\n"
        other = replace(device, files=(*rest, replace(told, text=text)))
        s1.planned = replace(planned, device=other)
        with pytest.raises(P4ControlError, match="not as declared after a reset: .*" + said):
            s1.reset()
    s1.planned = planned
    s1.reset()


def segments(device: Any, interface: str) -> bool:
    """Whether the kernel joins or cuts packets at an interface: libpcap looks at that."""
    found = []
    with device.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        for command in (0x23, 0x2B):  # ETHTOOL_GGSO, ETHTOOL_GGRO
            value = create_string_buffer(struct.pack("=II", command, 1))
            fcntl.ioctl(there, 0x8946, struct.pack("16sP16x", interface.encode(), addressof(value)))
            found.append(struct.unpack("=II", value.raw[:8])[1])
    return any(found)


def test_a_controller_has_a_cable_inside_of_the_switch() -> None:
    """The cable and its sockets, without BMv2: what it would do, the test does."""
    switch = P4Switch("s1", program=PROGRAM, engine="bmv2", cpu_port=9)
    made = plan(replace(ONE, nodes=(switch, Host("h1"))), OPTIONS)
    made = changed(made, image="@base", startup=(), driver="", handle="")
    with Testbed(made) as testbed:
        s1 = testbed.device("s1")

        def exchange() -> None:
            controller = PacketEnd(lambda family, kind: s1.socket(family, kind))
            with s1.socket(socket.AF_PACKET, socket.SOCK_RAW) as program:
                program.bind((PAIR[0], 3))
                program.settimeout(10)
                sent = [bytes([one]) * 2012 for one in range(1, 5)]
                sent.append(bytes(12) + b"\x81\x00\x00\x05\x08\x00" + bytes(40))
                for one in sent:
                    program.send(one)
                assert controller.take() == (sent, 0)
                controller.send(bytes(range(60)))
                while (found := program.recvfrom(4096))[1][2] == socket.PACKET_OUTGOING:
                    pass
                assert found[0] == bytes(range(60))
                with pytest.raises(
                    P4ControlError, match="found a packet of 3 bytes; BMv2 takes 14"
                ):
                    controller.send(b"abc")
            controller.close()

        exchange()
        for interface in (*PAIR, "eth0"):
            assert not segments(s1, interface)
        for link in s1.exec("ip", "-j", "addr").json():
            assert link["ifname"] == "lo" or link["addr_info"] == []
        s1.restart()
        exchange()


@with_image
@pytest.mark.topology(CARDED, engine="direct", p4_engine="bmv2")
def test_everything_of_a_node_passes_its_card(kinda: Any) -> None:
    assert kinda.device("w1-nic").engine == kinda.device("s1").engine == "bmv2"
    passes_its_card(kinda)
