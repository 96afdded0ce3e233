"""The router of ``examples/p4``: its packets as BMv2 sends them, and programmed from a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_kinda.p4 import FileSwitch, Frame, NewEntry
from pytest_kinda.p4.commands import run_commands
from tests.support import bmv2
from tests.support import p4_programs as p4
from tests.support.p4_record import ROUTER, recorded
from tests.support.p4_router import COMMANDS, ipv4


@pytest.fixture(scope="module")
def switch() -> Iterator[FileSwitch]:
    with p4.started(ROUTER) as found:
        yield found


def test_every_packet_leaves_as_bmv2_sent_it(switch: FileSwitch) -> None:
    frames, wanted = bmv2.load(recorded("router"))
    switch.control.reset()
    run_commands(COMMANDS, switch.control)
    assert bmv2.by_port(switch.send(frames)) == wanted
    assert sum(map(len, wanted.values())) == 78
    dumped = switch.control.table("ipv4_lpm").dump().entries
    arp = sum(data[12:14] == b"\x08\x06" for port in wanted.values() for data in port)
    dropped = sum(entry.packets for entry in dumped if entry.action.endswith("drop"))
    assert sum(entry.packets for entry in dumped) - dropped == 78 - arp


def test_a_packet_with_a_wrong_checksum_goes_nowhere(switch: FileSwitch) -> None:
    switch.control.reset()
    run_commands(COMMANDS, switch.control)
    right, wrong = ipv4("10.0.1.5", "10.0.2.5"), ipv4("10.0.1.5", "10.0.2.5", sum=1)
    (out,) = switch.send([Frame(1, wrong), Frame(1, right)])
    assert (out.port, out.data[:12], out.data[22]) == (
        2,
        bytes.fromhex("020000000200020000000002"),
        63,
    )
    assert switch.control.counter("received").read(1).packets == 2


def test_five_hundred_entries_stand_in_one_exchange(switch: FileSwitch) -> None:
    switch.control.reset()
    ports = {"port": 5, "source": "02:00:00:00:00:01", "target": "02:00:00:00:00:02"}
    table = switch.control.table("ipv4_lpm")
    entries = [NewEntry({"dst": f"10.{i // 256}.{i % 256}.0/24"}, "forward", ports)
               for i in range(500)]  # fmt: skip
    assert table.add_all(entries) == list(range(500))
    (out,) = switch.send([Frame(1, ipv4("10.0.1.5", "10.1.243.9"))])
    assert out.port == 5
    assert switch.send([Frame(1, ipv4("10.0.1.5", "10.1.244.9"))]) == []
