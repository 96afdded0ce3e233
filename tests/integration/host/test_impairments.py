"""Delay, jitter, loss and the like, measured, by netem and by what we have in its place."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.host.bpf import loaded_programs
from pytest_kinda.host.client import Keeper
from pytest_kinda.host.facts import has_netem, holding_refusal
from pytest_kinda.operations import AddAddress, AddVeth, End, SetShape, Shape
from tests.support.places import table, wired

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PAIR = (
    AddVeth(End("a", "eth0"), End("b", "eth0")),
    AddAddress("a", "eth0", "10.9.0.1/30"),
    AddAddress("b", "eth0", "10.9.0.2/30"),
)
MS = 1_000_000


class Lab:
    """Two places with a cable, and a real keeper that does things to it."""

    def __init__(self, keeper, found, by):
        self.keeper, self.places, self.by = keeper, table(found), by
        self.a, self.b = found["a"], found["b"]
        self.shaped = []

    def shape(self, place="a", before=None, **what):
        operation = SetShape(place, "eth0", Shape(**what), before or Shape(), by=self.by)
        numbers = self.keeper.apply([operation], self.places)
        self.shaped += numbers
        return numbers

    def pair(self):
        """Sockets of a and b, connected to each other."""
        one = self.a.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        two = self.b.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("10.9.0.1", 0))
        two.bind(("10.9.0.2", 0))
        one.connect(two.getsockname())
        two.connect(one.getsockname())
        for each in (one, two):
            each.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
            each.settimeout(5)
        return one, two

    def one_way(self, count=60, gap=0.003):
        """Milliseconds that each of some datagrams took from a to b."""
        one, two = self.pair()
        took = []

        def read():
            with contextlib.suppress(TimeoutError):
                for _ in range(count):
                    sent = int(two.recv(100))
                    took.append((time.monotonic_ns() - sent) / MS)

        reader = threading.Thread(target=read)
        with one, two:
            one.send(str(time.monotonic_ns()).encode())  # the neighbour is asked for first
            two.recv(100)
            reader.start()
            for _ in range(count):
                one.send(str(time.monotonic_ns()).encode())
                time.sleep(gap)
            reader.join()
        return took

    def arrivals(self, count):
        """The numbers of the datagrams that arrive, in their order."""
        one, two = self.pair()
        found = []
        with one, two:
            two.send(b"the neighbour is asked for first")
            one.recv(100)
            for begin in range(0, count, 500):
                for number in range(begin, begin + 500):
                    one.send(str(number).encode())
                two.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    while True:
                        found.append(int(two.recv(100)))
        return found

    def qdiscs(self):
        return [
            one["kind"]
            for one in json.loads(self.a.run("tc", "-j", "qdisc", "show", "dev", "eth0"))
        ]

    def holders(self):
        return [
            int(one.name)
            for one in Path("/proc").iterdir()
            if one.name.isdigit()
            and b"pytest_kinda.host.hold\0" in _read(one / "cmdline")
            and _parent(one) == self.keeper.hello()["pid"]
        ]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _parent(folder):
    return int(_read(folder / "stat").rpartition(b")")[2].split()[1] or 0)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """One for all tests: under an emulated kernel it takes seconds to start."""
    directory = tmp_path_factory.mktemp("keeper") / "t1"
    found = Keeper.start(directory, "t1", undo_program=(sys.executable, "-c", ""))
    pid = found.hello()["pid"]
    try:
        yield found
        found.undo()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["hold", "netem"])
def lab(request, keeper):
    if request.param == "netem" and not has_netem():
        pytest.skip("kernel without netem")
    if request.param == "hold" and (why := holding_refusal()):
        pytest.skip(f"kernel without what takes netem's place: {why}")
    with wired(keeper, PAIR) as found:
        made = Lab(keeper, found, request.param)
        yield made
        keeper.revert(made.shaped)


@pytest.mark.parametrize("delay", [1, 10, 50])
def test_a_delay_is_what_each_packet_waits(lab, delay):
    plain = statistics.median(lab.one_way(20))
    lab.shape(delay=delay * MS)
    took = lab.one_way()
    assert len(took) == 60
    # (The bar of 0.2 ms is measured by benchmarks/delay.py: this machine may be busy, or emulated.)
    assert delay <= statistics.median(took) < delay + 5 * plain + 1.5
    assert min(took) >= delay


def test_the_other_direction_is_not_delayed(lab):
    lab.shape("b", delay=50 * MS)
    assert statistics.median(lab.one_way(20)) < 20


def test_jitter_spreads_and_reorder_overtakes(lab):
    lab.shape(delay=20 * MS, jitter=10 * MS)
    took = lab.one_way(100)
    assert 10 <= min(took) < 15
    assert max(took) > 25
    assert 16 < statistics.fmean(took) < 26
    lab.shape(delay=20 * MS, reorder=0.25)
    took = lab.one_way(200)
    quick = sum(one < 15 for one in took)
    assert 20 <= quick <= 85  # of 200, 50 are expected
    assert statistics.median(took) >= 20


@pytest.mark.parametrize("delay", [0, 5])
def test_a_share_is_lost_and_a_share_comes_twice(lab, delay):
    lab.shape(loss=0.1, delay=delay * MS)
    found = lab.arrivals(4000)
    assert 3480 <= len(found) <= 3720  # 3600 expected, six standard deviations
    assert len(set(found)) == len(found)
    lab.shape(duplicate=0.1, delay=delay * MS)
    found = lab.arrivals(4000)
    assert set(found) == set(range(4000))
    assert 4280 <= len(found) <= 4520


def test_all_is_lost_and_the_sender_hears_of_no_error(lab):
    lab.shape(loss=1.0)
    one, two = lab.pair()
    with one, two:
        one.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: a local drop would be an error
        for _ in range(20):
            one.send(b"lost")
        two.settimeout(0.2)
        with pytest.raises(TimeoutError):
            two.recv(100)


def test_a_wrong_bit_is_found_by_the_checksum(lab):
    lab.one_way(1)  # now they know each other: a wrong bit in an answer of ARP's would stay
    lab.shape(corrupt=0.2)
    found = lab.arrivals(1000)
    assert 500 < len(found) < 980  # a bit of Ethernet's or IP's addresses is lost all the same


def test_delay_and_rate_together(lab):
    lab.shape(delay=20 * MS, rate=20_000_000)
    assert "tbf" in lab.qdiscs()
    assert statistics.median(lab.one_way(20)) >= 20
    size = 5_000_000
    server = lab.b.call(socket.create_server, ("10.9.0.2", 0))
    marks = []

    def read():
        stream, _ = server.accept()
        with stream:
            while data := stream.recv(1 << 16):
                marks.append((time.monotonic(), len(data)))

    reader = threading.Thread(target=read)
    reader.start()
    with lab.a.call(socket.create_connection, server.getsockname()) as client:
        client.sendall(b"x" * size)
    reader.join(30)
    server.close()
    rate = sum(some for _, some in marks) * 8 / (marks[-1][0] - marks[0][0])
    assert 10e6 < rate < 24e6


def test_every_kind_of_frame_and_a_long_burst_comes_through(lab):
    """ARP is delayed as well; TCP's segmentation offload passes in one piece or in many."""
    lab.shape(delay=5 * MS)
    lab.a.run("ip", "neigh", "flush", "dev", "eth0")
    server = lab.b.call(socket.create_server, ("10.9.0.2", 0))
    data = os.urandom(3_000_000)
    with lab.a.call(socket.create_connection, server.getsockname()) as client:
        stream, _ = server.accept()
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        got = b""
        stream.settimeout(10)
        while len(got) < len(data):
            got += stream.recv(1 << 20)
        sender.join()
        stream.close()
    server.close()
    assert got == data


def test_nothing_is_left_when_it_is_taken_back(lab):
    programs = sum(name == "kinda_shape" for name in loaded_programs().values())
    links, qdiscs = lab.a.run("ip", "-br", "link"), lab.qdiscs()
    first = {"loss": 0.01, "duplicate": 0.01}
    numbers = lab.shape(**first)
    lab.shape(before=Shape(**first), delay=5 * MS, loss=0.5)
    lab.keeper.revert(lab.shape(before=Shape(**first), rate=1_000_000, jitter=1, delay=5 * MS))
    assert lab.arrivals(200)
    lab.keeper.revert(numbers)
    assert lab.qdiscs() == qdiscs
    assert lab.a.run("ip", "-br", "link") == links
    assert lab.holders() == []
    assert lab.keeper.holders() == ()
    deadline = time.monotonic() + 5  # the kernel frees programs a little later
    while sum(name == "kinda_shape" for name in loaded_programs().values()) > programs:
        assert time.monotonic() < deadline
        time.sleep(0.05)


# netem is no process of which anything could be told
ours_only = pytest.mark.parametrize("lab", ["hold"], indirect=True)


@ours_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_dead_or_stalled_is_told(lab, number):
    lab.shape(delay=5 * MS)
    (state,) = lab.keeper.holders()
    assert (state["place"], state["interface"], state["broken"]) == ("a", "eth0", "")
    (pid,) = lab.holders()
    os.kill(pid, number)
    (state,) = lab.keeper.holders()
    words = "ended with status -9" if number == signal.SIGKILL else "does not answer"
    assert f"eth0 of a: the process that delays its packets {words}" in state["broken"]
    with pytest.raises(HostError, match=r"(?s)since then nothing has left it.*void"):
        lab.shape(before=Shape(delay=5 * MS))
    assert len(lab.one_way(5)) == 5  # and the link works again
    assert lab.keeper.holders() == ()


@ours_only
def test_a_process_ends_with_the_container_whose_namespace_it_holds(lab):
    lab.shape(delay=5 * MS)
    lab.shape("b", delay=5 * MS)
    assert len(lab.holders()) == 2
    lab.a.end()
    deadline = time.monotonic() + 10
    while len(lab.holders()) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (state,) = lab.keeper.holders()
    assert state["place"] == "b"
    assert state["broken"] == ""


@ours_only
def test_what_happened_to_packets_is_counted(lab):
    lab.shape(delay=5 * MS)
    assert len(lab.one_way(30)) == 30
    (state,) = lab.keeper.holders()
    assert state["taken"] == state["released"] >= 31
    assert state["lost"] == state["held"] == 0


@ours_only
def test_what_a_device_sends_into_the_tap_itself_goes_nowhere(lab):
    """A daemon that talks on every interface (LLDP and the like) is not heard on the link."""
    lab.shape(delay=1 * MS)
    lines = lab.a.run("ip", "-br", "link").splitlines()
    (tap,) = (line.split()[0] for line in lines if line.startswith("khold"))
    kind = socket.htons(0x88CC)
    listener = lab.b.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, kind)
    talker = lab.a.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
    with talker, listener:
        listener.settimeout(0.5)
        frame = bytes(12) + b"\x88\xcc" + bytes(60)
        for where, heard in (("eth0", True), (tap, False)):
            talker.bind((where, 0))
            talker.send(frame)
            if heard:
                assert listener.recv(100)[:14] == frame[:14]
            else:
                with pytest.raises(TimeoutError):
                    listener.recv(100)
