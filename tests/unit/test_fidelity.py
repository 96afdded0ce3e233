"""What is said of measurements: intervals, tolerances, ways, and how busy the machine was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dpkt
import pytest

from pytest_kinda import Host, Link, Router, Topology
from pytest_kinda.host.probe import Seen, Tip, Wire
from pytest_kinda.operations import Shape
from pytest_kinda.plan import plan
from pytest_kinda.plan.paths import Ways
from pytest_kinda.testbed import fidelity
from pytest_kinda.testbed.crossing import sort_ways
from pytest_kinda.testbed.fidelity import Fidelity, binomial_interval, frames_for, path_rows
from pytest_kinda.testbed.layers import Packet
from pytest_kinda.testbed.load import Load, Sample, load_of, sample

WIRE = Wire(Tip(1, 1, "eth0", ""), Tip(2, 2, "eth0", ""), mtu=1500, frames=100, longest=0.3)
WELL = {"sent": 100, "received": 100, "delays": [20_000] * 100}
MTU = {"mtu": 1500, "fits": True, "refused": True}


class Named:
    """A direction, as far as rows need one."""

    def __init__(self, **shape: float) -> None:
        self.shape = Shape(**shape)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return "a--b a->b"


def verdicts(seen: Seen, **shape: float) -> dict[str, bool | None]:
    rows = fidelity.rows_of(Named(**shape), WIRE, seen)  # type: ignore[arg-type]
    return {row.what: row.well for row in rows}


def rate(bits: float, full: int = 100) -> Seen:
    return Seen(received_bytes=round(bits / 8 * 2), seconds=2.0, full=full, **WELL, **MTU)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        # exact, summed in fractions
        (100, 0.5, (37, 63)),
        (2000, 0.01, (10, 32)),
        (1000, 0.001, (0, 4)),
        (50, 0.0, (0, 0)),
        (50, 1.0, (50, 50)),
    ],
)
def test_the_binomial_interval(count: int, share: float, expected: tuple[int, int]) -> None:
    assert binomial_interval(count, share) == expected


def test_a_loss_is_shown_by_enough_frames() -> None:
    assert frames_for(0) == 100
    assert frames_for(0.01) == 2000
    assert frames_for(0.5) == 1000
    assert frames_for(0.0001) == 5000


def test_rates_may_differ_by_three_per_cent() -> None:
    for bits, well in ((100e6, True), (97.1e6, True), (102.9e6, True), (96.9e6, False)):
        assert verdicts(rate(bits), rate=100_000_000)["rate"] is well
    assert verdicts(rate(103.1e6), rate=100_000_000)["rate"] is False
    # A sender that never found the queue full has measured itself.
    assert verdicts(rate(50e6, full=0), rate=100_000_000)["rate"] is None


def test_delays_may_differ_by_a_fifth_of_a_millisecond_and_two_per_cent() -> None:
    for measured, well in ((20_000_000, True), (20_590_000, True), (20_610_000, False)):
        seen = Seen(sent=100, received=100, delays=[measured] * 100, **MTU)  # type: ignore[arg-type]
        assert verdicts(seen, delay=20_000_000)["delay"] is well
    late = Seen(sent=100, received=100, delays=[250_000] * 100, **MTU)  # type: ignore[arg-type]
    assert verdicts(late)["delay"] is False
    assert verdicts(Seen(sent=100, **MTU))["delay"] is False  # type: ignore[arg-type]


def test_loss_and_mtu() -> None:
    lost = Seen(sent=100, received=99, delays=[20_000] * 99, **MTU)  # type: ignore[arg-type]
    assert verdicts(lost) == {"delay": True, "loss": False, "mtu": True}
    assert verdicts(lost, loss=0.01)["loss"] is True
    for wrong in ({"mtu": 1400}, {"fits": False}, {"refused": False}):
        assert verdicts(Seen(**{**WELL, **MTU, **wrong}))["mtu"] is False  # type: ignore[arg-type]
    assert verdicts(Seen(problem="gone")) == {"frames": None}


def diamond() -> Topology:
    """Two equally long ways between two hosts."""
    return Topology(
        name="diamond",
        nodes=[Host("h1"), Host("h2"), *(Router(name) for name in ("a", "b", "c", "d"))],
        links=[
            Link("h1", "a"),
            Link("a", "b"),
            Link("a", "c"),
            Link("b", "d"),
            Link("c", "d"),
            Link("d", "h2"),
        ],
    )


def test_the_ways_of_a_plan() -> None:
    ways = Ways(plan(diamond()))
    assert ways.between("h1", "h2") == {
        ("h1", "a", "b", "d", "h2"),
        ("h1", "a", "c", "d", "h2"),
    }
    assert ways.between("h1", "a") == {("h1", "a")}
    routed = Topology(
        name="routed",
        nodes=[Host("h1"), Router("a", routing="ospf"), Router("b", routing="ospf"), Host("h2")],
        links=[Link("h1", "a"), Link("a", "b"), Link("b", "h2")],
    )
    assert Ways(plan(routed)).between("h1", "h2") == frozenset()


def test_a_way_that_is_not_planned_is_a_row_of_its_own() -> None:
    planned = {("h1", "h2"): frozenset({("h1", "r1", "h2")}), ("h2", "h1"): frozenset()}
    well = path_rows({("h1", "h2"): ("h1", "r1", "h2"), ("h2", "h1"): ()}, planned)
    assert [(row.measured, row.well) for row in well] == [("1 of 1 pairs", True)]
    wrong = Fidelity(tuple(path_rows({("h1", "h2"): ("h1", "r9", "h2")}, planned)))
    assert not wrong
    assert wrong.problems[1] == "path of h1->h2: expected h1 r1 h2, measured h1 r9 h2"


def test_a_lost_packet_shows_the_beginning_of_its_way() -> None:
    planned = frozenset({("a", "b", "d"), ("a", "c", "d")})
    assert fidelity.cut_short(("a", "c"), planned)
    assert fidelity.cut_short((), planned)
    assert not fidelity.cut_short(("a", "c", "d"), planned)
    assert not fidelity.cut_short(("a", "d"), planned)


def echo(time: int, interface: str, direction: str, ttl: int, identifier: int = 1) -> Packet:
    """An echo request from 10.0.0.1 to 10.0.0.2, as it is seen at an interface."""
    ip = dpkt.ip.IP(src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2", p=1, ttl=ttl)
    ip.data = dpkt.icmp.ICMP(type=8, data=dpkt.icmp.ICMP.Echo(id=identifier, seq=1))
    ip.len = len(ip)
    frame = bytes(dpkt.ethernet.Ethernet(src=b"\2" * 6, dst=b"\2" * 6, data=ip))
    return Packet(time, interface, direction, len(frame), frame)


def test_a_duplicate_is_no_other_way_and_a_circle_is() -> None:
    addresses = {"a": "10.0.0.1", "b": "10.0.0.2", "r": "10.0.0.3"}
    once = [
        echo(1, "a:eth0", "out", 64),
        echo(2, "r:eth0", "in", 64),
        echo(3, "r:eth1", "out", 63),
        echo(4, "b:eth0", "in", 63),
    ]
    again = [replace(one, time=one.time + 10) for one in once]
    other = [echo(20, "a:eth0", "out", 64, identifier=2)]
    found = sort_ways([*once, *again, *other], ["a"], addresses, {})
    assert found == {("a", "b"): ("a", "r", "b"), ("a", "r"): ()}
    circle = [*once[:3], echo(4, "a:eth0", "in", 63), echo(5, "a:eth0", "out", 62)]
    assert sort_ways(circle, ["a"], addresses, {})["a", "b"] == ("a", "r", "a")


def test_the_table_shows_what_was_declared_and_what_is_wrong() -> None:
    rows = fidelity.rows_of(Named(rate=100_000_000), WIRE, rate(90e6))  # type: ignore[arg-type]
    text = str(Fidelity(tuple(rows), Load(3.0, saturated_seconds=2.0)))
    assert text.splitlines() == [
        "      where      expected  measured",
        "rate  a--b a->b  100mbit   90 Mbit/s  NO",
        "as expected where nothing was declared: delay of 1, loss of 1, mtu of 1 directions",
        "the machine was too busy to be faithful: no processor was free for 2.0 of 3.0 s",
    ]


def test_a_busy_machine() -> None:
    calm = [Sample(0, 0, 0), Sample(2, 400, 300)]
    assert load_of(calm) == Load(2, busy=0.25)
    assert load_of(calm)
    busy = load_of([Sample(0, 0, 0), Sample(2, 400, 4, 80, 1.5, 7)])
    assert busy.problems == (
        "no processor was free for 2.0 of 2.0 s",
        "processes waited for a processor in 1.5 of 2.0 s",
        "the hypervisor took 20% of the processors' time",
        "the kernel's receive queues dropped 7 packets",
    )
    # Half a second of work within a test is no reason to doubt it.
    assert load_of([Sample(0, 0, 0), Sample(0.5, 100, 0), Sample(2, 400, 300)])


def test_the_kernels_counters(tmp_path: Path) -> None:
    assert sample().total > 0
    (tmp_path / "net").mkdir()
    (tmp_path / "pressure").mkdir()
    (tmp_path / "stat").write_text("cpu  10 1 2 100 5 0 2 8 0 0\ncpu0 1\n")
    (tmp_path / "pressure/cpu").write_text("some avg10=1.00 avg60=0 avg300=0 total=2500000\n")
    (tmp_path / "net/softnet_stat").write_text("00ff 0000000a 0 0\n0001 00000001 0 0\n")
    found = sample(tmp_path)
    assert (found.total, found.idle, found.stolen) == (128, 105, 8)
    assert (found.waited, found.dropped) == (2.5, 11)
    assert sample(tmp_path / "none").total == 0
