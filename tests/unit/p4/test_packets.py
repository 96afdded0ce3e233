"""The headers of packets to and from a controller: read from p4info, put before packets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_kinda.errors import P4ControlError, ProgramError
from pytest_kinda.p4 import Control, read_program
from pytest_kinda.p4.p4info import ControllerField, controller_headers, parse_text
from pytest_kinda.p4.packets import PacketControl, PacketIn

DATA = Path(__file__).parents[2] / "data" / "p4"
HEADERS = controller_headers((DATA / "punt.p4info.txt").read_text())


class Said:
    """A channel that answers what it is given, and keeps what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked: list[str] = []
        self.answers = list(answers)

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        self.asked += lines
        return [self.answers.pop(0) if self.answers else ["ok"] for _ in lines]


def packets(channel: Said, *, declared: bool = True) -> PacketControl:
    control = Control(read_program(DATA / "punt.json"), channel)
    return PacketControl(control, HEADERS if declared else {})


def test_headers_come_from_the_p4info() -> None:
    assert set(HEADERS) == {"packet_in", "packet_out"}
    assert HEADERS["packet_out"].fields == (
        ControllerField("egress_port", 9),
        ControllerField("priority", 3),
        ControllerField("fill", 4, fills=True),
    )


def test_fields_go_before_the_packet_and_come_out_of_it() -> None:
    channel = Said()
    packets(channel).send(b"\xaa", {"egress_port": 2, "priority": 5})
    assert channel.asked == ["packet-send 0150aa"]
    found = packets(Said(["- 018001aabb", "ok 0"])).take()
    assert found == [
        PacketIn(bytes.fromhex("018001aabb"), {"ingress_port": 3, "reason": 1}, b"\xaa\xbb")
    ]


def test_without_a_p4info_packets_are_bytes() -> None:
    channel = Said(["- aabb", "ok 0"])
    found = packets(channel, declared=False)
    assert found.take() == [PacketIn(b"\xaa\xbb", {}, b"\xaa\xbb")]
    found.send(b"\x01")
    assert channel.asked == ["packets-take", "packet-send 01"]
    with pytest.raises(P4ControlError, match="the p4info has no header packet_out"):
        found.send(b"\x01", {"egress_port": 1})


def test_wrong_fields_are_told_with_those_there_are() -> None:
    one = packets(Said())
    has = r"it has egress_port \(9 bits\), priority \(3 bits\)"
    with pytest.raises(P4ControlError, match=f"no value for priority; {has}"):
        one.send(b"", {"egress_port": 1})
    with pytest.raises(P4ControlError, match=f"no field port; {has}"):
        one.send(b"", {"egress_port": 1, "priority": 0, "port": 3})
    with pytest.raises(P4ControlError, match=r"egress_port: found 512; expected a value of 9 bits"):
        one.send(b"", {"egress_port": 512, "priority": 0})


def test_lost_packets_are_told_and_the_kept_ones_come_next() -> None:
    one = packets(Said(["- aa", "ok 3"], ["ok 0"]))
    with pytest.raises(P4ControlError, match="3 were lost, since 1 had not been taken"):
        one.take()
    assert [each.data for each in one.take()] == [b"\xaa"]


@pytest.mark.parametrize("text", ["a {", "a } b", "a: {", "= 3", '"a": 3'])
def test_what_is_no_p4info_is_refused(text: str) -> None:
    with pytest.raises(ProgramError, match="expected a p4info in protobuf's text format"):
        parse_text(text)


def test_a_header_of_odd_bits_is_refused() -> None:
    text = 'controller_packet_metadata { preamble { name: "packet_in" } metadata { bitwidth: 9 } }'
    with pytest.raises(ProgramError, match="the header packet_in has 9 bits; expected whole bytes"):
        controller_headers(text)
