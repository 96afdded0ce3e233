"""A native P4 program on real interfaces: packets, its control socket, hostile frames."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4 import Control, NewEntry, compile_program, read_program, translate
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.sockets import SocketChannel
from tests.support import p4_programs as p4
from tests.support.p4_record import ROUTER
from tests.support.p4_router import COMMANDS, frame, ipv4
from tests.support.places import FakeContainer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PORTS = (1, 2, 3)


class Running:
    """The router in a network namespace; ``ends[n]`` is the far end of its port ``n``."""

    def __init__(self, folder: Path) -> None:
        self.program = read_program(ROUTER)
        binary = compile_program(translate(self.program), folder, flags=p4.QUICK)
        self.place = FakeContainer("p4-ports")
        self.ends: dict[int, socket.socket] = {}
        for port in PORTS:
            self.place.run("ip", "link", "add", f"p{port}", "type", "veth", "peer", f"e{port}")
            for name in (f"p{port}", f"e{port}"):
                self.place.run("ip", "link", "set", name, "up", "addrgenmode", "none")
            self.ends[port] = self.place.call(_opened, f"e{port}")
        self.path = folder / "control.sock"
        words = [str(binary), "--socket", str(self.path), *(f"{n}=p{n}" for n in PORTS)]
        self.process = self.place.call(subprocess.Popen, words)
        wait_until(lambda: "" if self.path.exists() else "no socket", "the switch", limit=10)
        self.channel = SocketChannel(self.path)
        self.control = Control(self.program, self.channel)

    def received(self, port: int) -> bytes:
        return self.ends[port].recv(65535)

    def close(self) -> None:
        self.channel.close()
        for end in self.ends.values():
            end.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self.place.end()


def _opened(name: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
    end.bind((name, 0))
    end.settimeout(10)
    return end


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = Running(tmp_path_factory.mktemp("p4"))
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _back_to_the_start(running: Running) -> None:
    running.control.reset()
    run_commands(COMMANDS, running.control)


def test_a_packet_crosses_from_interface_to_interface(running: Running) -> None:
    running.ends[1].send(ipv4("10.0.1.5", "10.0.2.5"))
    found = running.received(2)
    assert found[:12].hex() == "020000000200020000000002"
    assert found[22] == 63
    running.ends[2].send(ipv4("10.0.2.5", "10.0.1.5", body=bytes(1400)))
    assert len(running.received(1)) == 34 + 1400
    assert running.control.statistics().sent == 2


def test_a_vlan_tag_is_still_there_when_the_program_sees_the_frame(running: Running) -> None:
    """The kernel takes it out of what it receives: the program would see an IPv4 packet."""
    plain = ipv4("10.0.1.5", "10.0.2.5")
    running.ends[1].send(plain[:12] + b"\x81\x00\x00\x05" + plain[12:])
    running.ends[1].send(plain)
    running.received(2)
    seen = running.control.statistics()
    assert (seen.received, seen.sent, seen.dropped_by_program) == (2, 1, 1)


def test_the_program_that_runs_says_which_it_is(running: Running) -> None:
    assert running.control.loaded() == running.program.digest


def test_many_entries_and_their_dump_go_through_the_socket(running: Running) -> None:
    ports = {"port": 3, "source": "02:00:00:00:00:01", "target": "02:00:00:00:00:02"}
    table = running.control.table("ipv4_lpm")
    table.add_all(
        NewEntry({"dst": f"11.{i // 256}.{i % 256}.0/24"}, "forward", ports) for i in range(3000)
    )
    assert len(table.dump().entries) == 3005
    running.ends[1].send(ipv4("10.0.1.5", "11.11.183.9"))
    assert running.received(3)[:6].hex() == "020000000002"


def test_a_port_with_a_rate_keeps_packets_and_loses_what_its_queue_cannot_hold(
    running: Running,
) -> None:
    run_commands("set_queue_rate 100 2\nset_queue_depth 4 2", running.control)
    start = time.monotonic()
    for _ in range(60):
        running.ends[1].send(ipv4("10.0.1.5", "10.0.2.5"))

    def seen() -> str:
        found = running.control.statistics()
        return "" if found.sent + found.queue_full == 60 else f"{found}"

    wait_until(seen, "60 packets sent or lost", limit=10)
    found = running.control.statistics()
    assert 5 <= found.sent <= 30, found
    for _ in range(found.sent):
        running.received(2)
    assert time.monotonic() - start >= (found.sent - 1) / 100
    running.ends[2].send(ipv4("10.0.2.5", "10.0.1.5"))  # the other way has no rate
    running.received(1)


def test_a_packet_for_a_port_that_is_not_there_is_counted(running: Running) -> None:
    running.ends[1].send(ipv4("10.0.1.5", "192.0.2.1"))  # port 4

    def seen() -> str:
        lost = running.control.statistics().no_such_port
        return "" if lost == 1 else f"{lost} packets"

    wait_until(seen, "a packet for no port", limit=10)


def test_hostile_frames_do_not_end_it(running: Running) -> None:
    dice = random.Random(11)
    for _ in range(300):
        running.ends[1].send(bytes(dice.getrandbits(8) for _ in range(dice.randrange(14, 1400))))
        running.ends[2].send(frame(dice))
    running.ends[1].send(ipv4("10.0.1.5", "10.0.2.128"))
    assert running.received(3)[22] == 63
    assert running.process.poll() is None


def test_where_nothing_listens_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(P4ControlError, match="no switch answers there"):
        SocketChannel(tmp_path / "nothing.sock")


def test_an_interface_that_is_missing_is_an_error_at_once(running: Running, tmp_path: Path) -> None:
    words = [running.process.args[0], "--socket", str(tmp_path / "s"), "7=nope"]  # type: ignore[index]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    assert (done.returncode, done.stderr) == (1, "port 7: there is no interface nope\n")
