"""P4 switches with the test as their controller: packets, copies, queues, another program."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology
from pytest_kinda.errors import P4ControlError, WaitTimeoutError
from pytest_kinda.p4 import NewEntry
from pytest_kinda.p4.bmv2 import told_again
from pytest_kinda.p4.state import declared_state, differences
from tests.support.documents import examples, execute

pytestmark = [pytest.mark.slow, pytest.mark.beside]

PROGRAM = "../data/p4/punt.json"
ROUTER = "../../examples/p4/router.json"
TO_H2 = {"port": "{port:h2}", "priority": 0}
GIVEN: dict[str, Any] = {
    "program": PROGRAM,
    "forwarding": "switch",
    "cpu_port": 510,
    "queue_depth": 500,
    "priority_queues": 4,
    "grows_by": "52B+36B/hop",
}
PAIR = Topology(
    name="p4-controlled",
    nodes=[
        Host("h1"),
        Host("h2"),
        P4Switch("s1", **GIVEN),
        P4Switch(
            "s2",
            entries=[
                P4Entry(
                    "known", {"target": target}, "forward", {"port": "{port:h2}", "priority": 0}
                )
                for target in ("{peer_mac:h2}", "ff:ff:ff:ff:ff:ff")
            ],
            commands="table_set_default known forward {port:s1} 0\n",
            **GIVEN,
        ),
    ],
    links=[Link("h1", "s1"), Link("s1", "s2"), Link("h2", "s2")],
)
CONTROLLED = pytest.mark.topology(PAIR, engine="direct")


def documented() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, text in examples().items():
        if place.startswith("p4.md") and "packets_in(wait" in text:
            found |= execute(place, text)
    return found


@CONTROLLED
def test_the_documented_controller_learns(kinda: Any) -> None:
    documented()["test_a_controller_learns"](kinda)
    assert kinda.ping("h1", "h2", count=1)  # the entries are enough


@CONTROLLED
def test_after_a_test_all_of_it_is_as_declared(kinda: Any) -> None:
    s1 = kinda.device("s1")
    s1.register("last_source").write(5, 0xABC)
    s1.meter("rates").set_all(*documented()["RATES"])
    s1.mirror(4, port=1)
    s1.multicast(3, [1, 2])
    s1.queue(1, rate=100, depth=5, priority=2)
    s1.table("known").default("drop")
    assert len(s1.control.state()) > (20 if s1.engine == "native" else 8)
    kinda.put_back()
    lines = s1.read_text("/var/lib/kinda-p4/declared").splitlines()
    assert lines == ["queue-priorities 4", "queue-depth -1 500"]
    found = s1.control.reset()
    wanted = declared_state(s1.program, lines)
    if s1.engine == "bmv2":  # it does not tell what its queues are
        wanted, found = (told_again(s1.program, one) for one in (wanted, found))
    else:
        assert found["queue", 1, 0] == "0 500"
    assert differences(s1.program, wanted, found) == []


@CONTROLLED
def test_a_state_that_is_otherwise_breaks_the_testbed(kinda: Any) -> None:
    s1 = kinda.device("s1")
    if s1.engine == "bmv2":
        pytest.skip("BMv2 is told from outside what was declared: see test_p4_bmv2.py")
    declared = "/var/lib/kinda-p4/declared"
    before = s1.read_text(declared)
    s1.write_file(declared, before + "register-write 0 1 1 7\n")
    s1.restart()
    wrong = r"s1: not as declared .*register of PuntIngress.last_source 1: found '7', expected noth"
    with pytest.raises(P4ControlError, match=wrong):
        s1.reset()
    s1.write_file(declared, before)
    s1.restart()
    s1.reset()


@CONTROLLED
def test_500_entries_and_their_packets(kinda: Any) -> None:
    table = kinda.device("s2").table("known")
    table.dump()  # opens the connection
    some = [NewEntry({"target": i}, "forward", {"port": 1, "priority": 0}) for i in range(500)]
    begun = perf_counter()
    table.add_all(some)
    seconds = perf_counter() - begun
    print(f"500 entries in {seconds * 1000:.1f} ms")
    assert seconds < 1  # 0.1 s where the machine has time
    assert len(table.dump().entries) == 502


@CONTROLLED
def test_packets_may_grow_between_switches(kinda: Any) -> None:
    s1, s2, h1 = kinda.device("s1"), kinda.device("s2"), kinda.node("h1")
    room = 52 + 2 * 36
    assert s1.interface("eth1").planned.mtu == 1500 + room
    assert h1.interfaces[0].planned.mtu == 1500
    s2.table("known").default("punt")
    grown = bytes.fromhex("0200000000aa0200000000bb88b5") + bytes(1500 + room)
    s1.packet_out(grown, {"egress_port": s1.port("s2"), "priority": 1})
    found = next(
        each for each in (s2.packet_in() for _ in range(100)) if each.payload[12:14] == b"\x88\xb5"
    )
    assert found.payload == grown
    assert found.fields == {"ingress_port": s2.port("s1"), "reason": 1}


@CONTROLLED
def test_a_packet_that_does_not_come_is_told_with_what_did(kinda: Any) -> None:
    s1 = kinda.device("s1")
    s1.table("known").default("drop")
    s1.packets_in()
    with pytest.raises(WaitTimeoutError, match=r"a packet at the CPU port of s1; last seen: none"):
        s1.packet_in(timeout=0.1)


@CONTROLLED
def test_another_program_until_the_end_of_the_test(kinda: Any) -> None:
    s1 = kinda.device("s1")
    s1.swap(ROUTER)
    s1.table("ipv4_lpm").add({"dst": "10.0.0.0/8"}, "drop")
    with pytest.raises(P4ControlError, match=r"no table 'known'; the program has .*Router"):
        s1.table("known")
    s1.reset()
    assert s1.table("ipv4_lpm").dump().entries == ()
    kinda.put_back()
    assert s1.table("known").dump().entries == ()
    kinda.device("s2").table("known").default("punt")
    s1.packet_out(bytes(60), {"egress_port": s1.port("s2"), "priority": 0})
    received = (kinda.device("s2").packet_in() for _ in range(100))
    assert any(one.payload[:14] == bytes(14) for one in received)
