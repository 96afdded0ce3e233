"""A native P4 program on real interfaces: packets, its control socket, hostile frames."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4 import Control, NewEntry, read_program
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.p4info import controller_headers
from pytest_kinda.p4.packets import PacketControl
from pytest_kinda.p4.sockets import SocketChannel
from pytest_kinda.p4.state import declared_state, differences
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
        binary = p4.binary(ROUTER)
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


class Background:
    """The router as a device runs it: in the background, from a folder."""

    def __init__(self, folder: Path, program: Path = ROUTER) -> None:
        self.folder = folder
        self.program = read_program(program)
        self.binary = Path(shutil.copy(p4.binary(program), folder / "program"))
        self.place = FakeContainer("p4-background")
        self.add_link()

    def add_link(self) -> None:
        self.place.run("ip", "link", "add", "p1", "type", "veth", "peer", "e1")
        for name in ("p1", "e1"):
            self.place.run("ip", "link", "set", name, "up", "addrgenmode", "none")

    def call(
        self, mode: str, *words: str, binary: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        argv = [str(binary or self.binary), mode, str(self.folder), *words]
        options = {"capture_output": True, "text": True, "timeout": 30, "check": False}
        done: subprocess.CompletedProcess[str] = self.place.call(
            partial(subprocess.run, argv, **options)
        )
        return done

    def pid(self) -> int:
        """Of the process that runs there: it holds the log."""
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and (one / "fd/1").readlink() == self.folder / "log":
                    return int(one.name)
            except OSError:
                continue
        return 0

    def close(self) -> None:
        if pid := self.pid():
            os.kill(pid, signal.SIGKILL)
        self.place.end()


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Background]:
    found = Background(tmp_path)
    yield found
    found.close()


ENTRY = "add 1 0 0a000100 ffffff00 3 2 1 2"
"""10.0.1.0/24 in ipv4_lpm, as the protocol has it."""


def test_a_switch_in_the_background_is_ready_when_its_caller_goes_on(
    background: Background,
) -> None:
    (background.folder / "declared").write_text(f"# entries[0]\n{ENTRY}\n")
    digest = background.program.digest
    assert background.call("--switch", "1=p1", "2=p2").returncode == 0
    assert background.call("--ready", digest, "1=p1").returncode == 0
    assert background.call("--ready", digest, "1=p1", "2=p2").stderr == "ports not up: 2=p2\n"
    assert background.call("--ready", digest[::-1], "1=p1").returncode == 1
    again = background.call("--switch", "1=p1")
    assert (again.returncode, again.stderr) == (1, "a switch runs there already\n")


def test_a_reset_brings_back_what_was_declared(background: Background) -> None:
    (background.folder / "declared").write_text(f"# entries[0]\n{ENTRY}\n")
    background.call("--switch", "1=p1")
    assert background.call("--ask", "clear 1", "dump 1").stdout.splitlines()[-1] == "ok 0"
    lines = background.call("--ask", "reset", "dump 1").stdout.splitlines()
    assert "- entry 1 0 0a000100 ffffff00 3 2 1 2" in lines
    assert lines[-3] == "- 0 0 0a000100 ffffff00 0 0 3 2 1 2"


def test_a_declared_entry_that_is_refused_ends_the_start_with_its_name(
    background: Background,
) -> None:
    (background.folder / "declared").write_text(f"# entries[0]\n{ENTRY}\n# entries[1]\n{ENTRY}\n")
    done = background.call("--switch", "1=p1")
    assert done.returncode == 1
    assert done.stderr.startswith("entries[1]: error ")


def test_a_port_whose_interface_is_a_new_one_is_attached_again(background: Background) -> None:
    background.call("--switch", "1=p1")
    background.place.run("ip", "link", "del", "p1")
    assert "- 1 p1 gone" in background.call("--ask", "ports").stdout
    assert (
        background.call("--ask", "attach 1 p1").stderr == "error port 1: there is no interface p1\n"
    )
    background.add_link()
    assert "- 1 p1 gone" in background.call("--ask", "ports").stdout
    assert background.call("--ask", "attach 1 p1").stdout == "ok\n"
    assert "- 1 p1 up" in background.call("--ask", "ports").stdout
    with background.place.call(_opened, "e1") as end:
        end.send(ipv4("10.0.1.5", "10.0.2.5"))

        def seen() -> str:
            words = background.call("--ask", "statistics").stdout.split()
            return "" if int(words[1]) else "no packet"

        wait_until(seen, "a packet at the new interface", limit=10)


def test_a_switch_that_is_gone_is_told_with_the_end_of_its_log(background: Background) -> None:
    background.call("--switch", "1=p1")
    (background.folder / "log").write_text("poll: it went wrong\n")
    os.kill(background.pid(), signal.SIGKILL)

    def gone() -> str:
        return "" if background.call("--ask", "ports").returncode else "it answers"

    wait_until(gone, "the end of the switch", limit=10)
    said = background.call("--ready", background.program.digest, "1=p1").stderr
    assert "no P4 switch answers in" in said
    assert "its log ends with: poll: it went wrong" in said


# a controller


PUNT = Path(__file__).parents[1] / "data" / "p4" / "punt.json"
CPU = 510


def punting(folder: Path, *words: str) -> Background:
    found = Background(folder, PUNT)
    done = found.call("--switch", "1=p1", *words)
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
def punt(tmp_path: Path) -> Iterator[Background]:
    found = punting(tmp_path, f"{CPU}=@controller")
    yield found
    found.close()


def controller(punt: Background) -> tuple[SocketChannel, PacketControl]:
    channel = SocketChannel(punt.folder / "control")
    headers = controller_headers(PUNT.with_suffix(".p4info.txt").read_text())
    return channel, PacketControl(Control(punt.program, channel), headers)


def soon(look: Callable[[], str]) -> None:
    wait_until(look, "a packet", limit=10, interval=0.01)


def test_packets_go_to_the_controller_and_back(punt: Background) -> None:
    assert punt.call("--ready", punt.program.digest, "1=p1", f"{CPU}=@controller").returncode == 0
    channel, packets = controller(punt)
    frame_of_ours = ipv4("10.0.1.5", "10.0.2.5")
    with channel, punt.place.call(_opened, "e1") as end:
        end.send(frame_of_ours)
        found = packets.next(soon)
        assert (found.fields, found.payload) == (
            {"ingress_port": 1, "reason": 1},
            frame_of_ours,
        )
        packets.send(found.payload, {"egress_port": 1, "priority": 0})
        assert end.recv(65535) == frame_of_ours
        assert packets.take() == []


def test_packets_that_nobody_takes_are_counted(punt: Background) -> None:
    channel, packets = controller(punt)
    with channel:
        lines = [f"packet-send {'ff00' + '00' * 60}"] * 1030  # to the CPU port itself
        assert {one[-1] for one in channel.ask(lines)} == {"ok"}

        def seen() -> str:
            found = Control(punt.program, channel).statistics()
            return "" if found.controller_full == 6 else f"{found}"

        wait_until(seen, "packets that are lost", limit=10)
        with pytest.raises(P4ControlError, match="6 were lost, since 1024 had not been taken"):
            packets.take()
        assert len(packets.take()) == 1024


def test_without_a_cpu_port_a_controller_is_told_so(tmp_path: Path) -> None:
    found = punting(tmp_path)
    channel, packets = controller(found)
    with channel, pytest.raises(P4ControlError, match="the switch has no CPU port"):
        packets.take()
    found.close()


def test_each_priority_has_its_queue_and_the_higher_one_goes_first(punt: Background) -> None:
    channel, _ = controller(punt)
    control = Control(punt.program, channel)

    def sent(priority: int) -> str:
        header = 1 << 7 | priority << 4  # to port 1
        frame = bytes(12) + b"\x12\x34" + bytes([priority]) + bytes(45)
        return f"packet-send {header:04x}{frame.hex()}"

    with channel, punt.place.call(_opened, "e1") as end:
        channel.ask(["queue-priorities 4"])
        control.queue_rate(5, 1, 0)
        control.queue_rate(1000, 1, 3)
        channel.ask([sent(one) for one in (0, 0, 0, 3, 3, 3)])
        found = [end.recv(65535)[14] for _ in range(6)]
        assert (found[0], found[4:], sum(found)) == (3, [0, 0], 9)
        channel.ask([sent(4)])

        def lost() -> str:
            found = control.statistics().priority_without_queue
            return "" if found == 1 else f"{found} packets"

        wait_until(lost, "a packet of a priority that has no queue", limit=10)


def test_another_program_takes_the_place_of_the_one_that_runs(
    background: Background,
) -> None:
    (background.folder / "declared").write_text(f"# entries[0]\n{ENTRY}\n")
    background.call("--switch", "1=p1")
    before = background.pid()
    made = p4.binary(PUNT)
    swapped = background.call("--swap", "-", "1=p1", "510=@controller", binary=made)
    assert (swapped.returncode, swapped.stderr) == (0, "")
    assert background.call("--ready", read_program(PUNT).digest, "1=p1").returncode == 0
    assert background.pid() not in (0, before)
    # what it would be told is wrong: the one that runs goes on
    (background.folder / "wrong").write_text("# entries[9]\nadd 99 0 0a ff 0\n")
    refused = background.call("--swap", "wrong", "1=p1")
    assert (refused.returncode, refused.stderr[:19]) == (1, "entries[9]: error t")
    assert background.call("--ready", read_program(PUNT).digest, "1=p1").returncode == 0
    assert background.call("--swap", "declared", "1=p1").returncode == 0
    assert "- 0 0 0a000100" in background.call("--ask", "dump 1").stdout


def test_what_is_read_after_a_reset_was_read_before_the_next_packet(
    background: Background,
) -> None:
    """Packets come all the time: the counters that are read are zero nevertheless."""
    background.call("--switch", "1=p1")
    wanted = declared_state(background.program, [])
    with (
        SocketChannel(background.folder / "control") as channel,
        background.place.call(_opened, "e1") as end,
    ):
        control = Control(background.program, channel)
        for _ in range(50):
            for _ in range(20):
                end.send(ipv4("10.0.1.5", "10.0.2.5"))
            assert differences(background.program, wanted, control.reset()) == []
