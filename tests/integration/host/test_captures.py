"""Captures by a real keeper: what was sent is what is in the file, and nothing is missing."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import dpkt
import pytest

from pytest_kinda.errors import CaptureError, GoneError, HostError
from pytest_kinda.host.client import Keeper
from pytest_kinda.host.journal import Journal
from pytest_kinda.operations import AddAddress, AddVeth, End, Place
from pytest_kinda.testbed.capture import Capture
from pytest_kinda.testbed.live import stream
from pytest_kinda.testbed.pcapng import read_packets, read_statistics
from tests.support.places import FakeContainer, containers, table, wired

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ADDRESS = ("10.9.0.2", 4000)


WIRING = [
    AddVeth(End("a", "eth0"), End("b", "eth0")),
    AddAddress("a", "eth0", "10.9.0.1/30"),
    AddAddress("b", "eth0", "10.9.0.2/30"),
]


def start_keeper(directory):
    return Keeper.start(directory / "t", "t", undo_program=(sys.executable, "-c", ""))


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """One for most tests: under an emulated kernel it takes seconds to start."""
    found = start_keeper(tmp_path_factory.mktemp("keeper"))
    yield found
    found.undo()


@pytest.fixture
def pair(keeper):
    """A keeper that knows two places with a cable between them."""
    with wired(keeper, WIRING) as found:
        yield keeper, found


@pytest.fixture
def own_pair(tmp_path):
    """The same with a keeper of its own, for tests that end it or places that it knows."""
    keeper = start_keeper(tmp_path)
    with containers("a", "b") as found:
        keeper.apply(WIRING, table(found))
        yield keeper, found
        keeper.undo()


def send(place, count, size=100, first=0):
    with place.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(first, first + count):
            client.sendto(struct.pack("!I", number).ljust(size, b"."), ADDRESS)


def numbers(path, interface=None):
    found = []
    for one in read_packets(path):
        udp = dpkt.ethernet.Ethernet(one.data).data.data
        ours = isinstance(udp, dpkt.udp.UDP) and udp.dport == ADDRESS[1]
        if ours and interface in (None, one.interface):
            found.append(struct.unpack("!I", bytes(udp.data)[:4])[0])
    return found


def test_a_stop_right_after_the_last_packet_loses_none(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    for _ in range(4):
        capture = keeper.capture_start("x", [("a", "eth0"), ("b", "eth0")], "udp", path)
        send(found["a"], 25)
        counters = keeper.capture_stop(capture)
        assert numbers(path, "a:eth0") == numbers(path, "b:eth0") == list(range(25))
        assert counters == {
            "packets": 50,
            "drops": 0,
            "interfaces": {
                "a:eth0": {"packets": 25, "drops": 0},
                "b:eth0": {"packets": 25, "drops": 0},
            },
            "gaps": [],
        }
    directions = {(one.interface, one.direction) for one in read_packets(path)}
    assert directions == {("a:eth0", "out"), ("b:eth0", "in")}


def test_it_can_be_read_while_it_runs_and_a_flush_brings_everything(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0")], "", path)
    for step in range(20):
        send(found["a"], 3, first=step * 3)
        keeper.capture_flush(capture)
        assert numbers(path) == list(range((step + 1) * 3))
    send(found["a"], 1, first=60)
    deadline = time.monotonic() + 20
    while numbers(path)[-1] != 60:  # without a flush too, a little later
        assert time.monotonic() < deadline
        time.sleep(0.01)
    keeper.capture_stop(capture)


def test_stamps_are_the_time_of_day_in_nanoseconds_and_ordered_over_interfaces(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0"), ("a", "eth0")], "udp", path)
    begin = time.time_ns()
    send(found["a"], 200)
    end = time.time_ns()
    keeper.capture_stop(capture)
    times = [one.time for one in read_packets(path)]
    assert len(times) == 400
    assert begin - 1_000_000 < min(times) <= max(times) < end + 1_000_000
    assert times == sorted(times)
    assert any(one % 1000 for one in times)
    sent, got = (
        [o.time for o in read_packets(path) if o.interface == n] for n in ("a:eth0", "b:eth0")
    )
    assert all(x <= y for x, y in zip(sent, got, strict=True))
    assert all(x <= y for x, y in pairwise(sent))


def test_the_filter_works_in_the_kernel_and_a_bad_one_is_an_error(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("a", "eth0")], "udp and dst port 4001", path)
    send(found["a"], 5)
    assert keeper.capture_stop(capture)["packets"] == 0
    with pytest.raises(CaptureError, match=r"(?s)'udp or or'.*syntax error.*remedy"):
        keeper.capture_start("x", [("a", "eth0")], "udp or or", path)
    assert keeper.hello()["children"] == 0


def test_snaplen_cuts_and_the_length_on_the_wire_stays(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("a", "eth0")], "udp", path, 60)
    send(found["a"], 4, size=1000)
    keeper.capture_stop(capture)
    assert [(len(one.data), one.length) for one in read_packets(path)] == [(60, 1042)] * 4


def test_a_large_burst_is_whole_or_its_loss_is_counted(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0")], "udp", path)
    threads = [
        threading.Thread(target=send, args=(found["a"], 20_000, 200, first))
        for first in (0, 20_000)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    counters = keeper.capture_stop(capture)
    got = numbers(path)
    assert len(got) == len(set(got)) == counters["packets"]
    assert counters["packets"] + counters["drops"] == 40_000
    assert read_statistics(path)["b:eth0"] == (40_000, counters["drops"])


def test_a_vlan_tag_is_in_the_file(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0")], "", path)
    frame = bytes.fromhex("ffffffffffff 020000000001 8100 6007 88b5".replace(" ", "")) + b"q" * 50
    raw = found["a"].call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    with raw:
        found["a"].call(lambda: raw.bind(("eth0", 0)))
        raw.send(frame)
    keeper.capture_stop(capture)
    assert [one.data for one in read_packets(path) if b"q" * 50 in one.data] == [frame]


def test_points_that_are_not_there_are_named(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    with pytest.raises(HostError, match=r"eth7: No such device"):
        keeper.capture_start("x", [("a", "eth7")], "", path)
    with pytest.raises(HostError, match=r"no place 'z'; known are: a, b"):
        keeper.capture_start("x", [("z", "eth0")], "", path)
    stale = {"a": Place("c", found["a"].pid, 1)}
    with pytest.raises(GoneError, match="another one has its number"):
        keeper.capture_start("x", [("a", "eth0")], "", path, places=stale)
    with pytest.raises(HostError, match="no capture 77"):
        keeper.capture_stop("77")
    with pytest.raises(HostError, match="No such file"):
        keeper.capture_start(
            "x", [("a", "eth0")], "", tmp_path / "none" / "x.pcapng", places=table(found)
        )
    assert Journal.read(keeper.directory).entries[-1]["undo"] == "operation"


def test_one_that_is_told_to_end_by_the_undo_writes_what_it_has(own_pair, tmp_path):
    keeper, found = own_pair
    path = tmp_path / "x.pcapng"
    keeper.capture_start("x", [("b", "eth0")], "udp", path)
    send(found["a"], 30)
    keeper.undo()
    assert numbers(path) == list(range(30))
    assert read_statistics(path)["b:eth0"] == (30, 0)
    keeper.__class__ = Ended  # for the fixture


class Ended(Keeper):
    def undo(self, on_line=None):
        return ()


def test_one_that_was_killed_leaves_a_readable_file_and_an_error(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0")], "udp", path)
    send(found["a"], 30)
    keeper.capture_flush(capture)
    pid = Journal.read(keeper.directory).notes[f"child-{capture}"]["pid"]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostError, match="has ended"):
        keeper.capture_stop(capture)
    assert numbers(path) == list(range(30))


def test_a_full_disk_ends_it_with_that_error(pair, tmp_path):
    keeper, found = pair
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=True)
    try:
        capture = keeper.capture_start("x", [("b", "eth0")], "udp", disk / "x.pcapng")
        send(found["a"], 400, size=1000)
        with pytest.raises(HostError, match="No space left"):
            keeper.capture_stop(capture)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def interfaces(place):
    return place.run("ip", "-br", "link")


def test_a_node_that_is_captured_dies_with_its_links(own_pair, tmp_path):
    keeper, found = own_pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0"), ("b", "lo")], "", path)
    send(found["a"], 30)
    since = time.time_ns()
    found["b"].end()
    deadline = time.monotonic() + 20
    while "eth0" in interfaces(found["a"]):  # the cable goes with the namespace
        assert time.monotonic() < deadline
        time.sleep(0.01)
    counters = keeper.capture_stop(capture)
    assert numbers(path) == list(range(30))
    assert {one["interface"]: one["until"] for one in counters["gaps"]} == {"b:eth0": 0, "b:lo": 0}
    assert all(since < one["since"] < time.time_ns() for one in counters["gaps"])
    assert b"and it did not come back: nothing was taken" in path.read_bytes()


def test_a_capture_goes_on_where_its_nodes_are_wired_anew(own_pair, tmp_path):
    keeper, found = own_pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("a", "eth0"), ("b", "eth0")], "udp", path)
    send(found["a"], 10)
    found["b"].end()
    found["b"] = FakeContainer("b")
    keeper.rewire("b", WIRING, table(found))
    keeper.capture_flush(capture)  # its turn comes after what it was told
    send(found["a"], 10, first=10)
    counters = keeper.capture_stop(capture)
    assert numbers(path, "a:eth0") == numbers(path, "b:eth0") == list(range(20))
    assert counters["packets"] == 40
    assert read_statistics(path) == {"a:eth0": (20, 0), "b:eth0": (20, 0)}
    gaps = {one["interface"]: one for one in counters["gaps"]}
    assert set(gaps) == {"a:eth0", "b:eth0"}
    for one in gaps.values():
        assert 0 < one["until"] - one["since"] < 20e9
        assert not [
            each
            for each in read_packets(path)
            if each.interface == one["interface"] and one["since"] < each.time < one["until"]
        ]
    assert b"b:eth0: the interface was gone from 20" in path.read_bytes()


def test_an_interface_that_is_down_for_a_while_is_no_gap_and_costs_nothing(pair, tmp_path):
    keeper, found = pair
    path = tmp_path / "x.pcapng"
    capture = keeper.capture_start("x", [("b", "eth0")], "udp", path)
    found["b"].run("ip", "link", "set", "eth0", "down")
    pid = Journal.read(keeper.directory).notes[f"child-{capture}"]["pid"]

    def ticks():
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))

    before = ticks()
    time.sleep(0.5)
    assert ticks() - before < 10
    found["b"].run("ip", "link", "set", "eth0", "up")
    send(found["a"], 5)
    deadline = time.monotonic() + 20
    while not numbers(path):  # the first may wait for its neighbour's address
        assert time.monotonic() < deadline
        keeper.capture_flush(capture)
    assert keeper.capture_stop(capture)["gaps"] == []


def test_no_memory_stays_locked_after_it(pair, tmp_path):
    keeper, _ = pair
    before = Path("/proc/net/packet").read_text().count("\n")
    for _ in range(3):
        keeper.capture_stop(keeper.capture_start("x", [("a", "eth0")], "", tmp_path / "x.pcapng"))
    assert Path("/proc/net/packet").read_text().count("\n") == before
    assert keeper.hello()["children"] == 0


def test_a_live_capture_streams_all_that_was_sent(pair, tmp_path):
    keeper, found = pair
    source, out = os.pipe()
    over, data = threading.Event(), bytearray()

    def read():
        first = later = False
        while piece := os.read(source, 65536):
            data.extend(piece)
            if not first:  # the head of the file: it listens
                send(found["a"], 25)
                first = True
            elif not later and len(data) > 25 * 100:  # packets come while it goes on
                send(found["a"], 500, first=25)
                later = True
                over.set()

    reader = threading.Thread(target=read, daemon=True)
    limit = threading.Timer(120, over.set)
    reader.start()
    limit.start()
    points = [("a", "eth0")]
    taken = stream(lambda path: Capture(keeper, points, path, expression="udp"), out, over)
    limit.cancel()
    os.close(out)
    reader.join(30)
    os.close(source)
    (tmp_path / "live.pcapng").write_bytes(data)
    assert numbers(tmp_path / "live.pcapng") == list(range(525))
    assert (taken.taken, taken.drops) == (525, 0)


def test_a_live_capture_ends_with_its_reader(pair):
    keeper, _ = pair
    source, out = os.pipe()

    def leave():
        os.read(source, 65536)  # the head of the file: it listens
        os.close(source)

    reader = threading.Thread(target=leave, daemon=True)
    over = threading.Event()
    limit = threading.Timer(120, over.set)
    reader.start()
    limit.start()
    taken = stream(lambda path: Capture(keeper, [("a", "eth0")], path), out, over)
    limit.cancel()
    os.close(out)
    assert not taken.running
    assert not over.is_set()
