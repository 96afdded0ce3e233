"""BMv2 as an engine: Thrift on the wire, and what commands become, against a server of our own."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4 import Control, read_program
from pytest_kinda.p4.bmv2 import Bmv2Channel, Client, controller, notifications, told_again
from pytest_kinda.p4.bmv2.calls import data_of, match_of, table_call
from pytest_kinda.p4.bmv2.packet_end import _with_tag
from pytest_kinda.p4.bmv2.thrift import (
    CALL,
    EXCEPTION,
    REPLY,
    Kind,
    Message,
    Reader,
    Value,
    double,
    flag,
    i32,
    i64,
    items,
    message,
    record,
    text,
)
from pytest_kinda.p4.control_objects import DigestControl
from tests.support.p4_record import ROUTER

PROGRAM = read_program(ROUTER)
OBJECTS = read_program(Path(__file__).parents[2] / "data/p4/objects.json")
# as Apache Thrift's Python library (0.25) writes them
ADD_ENTRY = (
    "80010001000000187374616e646172643a626d5f6d745f6164645f656e74727900000007080001000000000b0002"
    "00000004496e2e740f00030c00000001080001000000010c00030b0001000000040a000200080002000000180000"
    "0b000400000007496e2e64726f700f00050b000000000c00060000"
)
SHOW_PORTS = (
    "8001000200000015626d5f6465765f6d67725f73686f775f706f727473000000030f00000c000000010800010000"
    "00020b00020000000465746831020003010d00040b0b00000001000000016b00000001760a0005ffffffffffffff"
    "fe0400063fd00000000000000000"
)


def test_calls_and_answers_are_those_of_thrift() -> None:
    table = PROGRAM.tables[1]
    match = match_of(table.keys, bytes([10, 0, 2, 0]), bytes([255, 255, 255, 0]))
    arguments = table_call("add_entry", table, match, text("In.drop"), data_of([]), record({}))
    fields = dict(enumerate(arguments.arguments, 1)) | {2: text("In.t")}
    assert message(CALL, "standard:bm_mt_add_entry", 7, record(fields)).hex() == ADD_ENTRY
    reader = Reader()
    data = bytes.fromhex(SHOW_PORTS)
    for at in range(len(data)):  # piece by piece
        assert reader.message() is None
        reader.feed(data[at : at + 1])
    port = {1: 2, 2: b"eth1", 3: True, 4: {b"k": b"v"}, 5: -2, 6: 0.25}
    assert reader.message() == Message(REPLY, "bm_dev_mgr_show_ports", 3, {0: [port]})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400", "found 48545450; expected a message of Thrift"),
        (bytes.fromhex("8001000200000001780000000163"), "found type 99"),
        (bytes.fromhex("80010002ffffffff"), "found a length of -1"),
        (bytes.fromhex("80010002000000017800000001" + "0f0000" + "0b" + "7fffffff"), "items"),
    ],
)
def test_what_is_no_answer_is_told(data: bytes, why: str) -> None:
    reader = Reader()
    reader.feed(data)
    with pytest.raises(P4ControlError, match=why):
        reader.message()


class Server:
    """Answers calls as it is told to, by name; what it was asked is in ``asked``."""

    def __init__(self, stream: socket.socket) -> None:
        self.answers: dict[str, Callable[[Any], Value | dict[int, Value]]] = {}
        self.asked: list[tuple[str, dict[int, Any]]] = []
        self._stream = stream
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        reader = Reader()
        while data := self._stream.recv(65536):
            reader.feed(data)
            while (found := reader.message()) is not None:
                self._stream.sendall(self._answer(found))

    def _answer(self, call: Message) -> bytes:
        service, _, name = call.name.partition(":")
        self.asked.append((name, dict(call.fields)))
        if service not in ("standard", "simple_switch", "simple_pre_lag"):
            return message(EXCEPTION, name, call.number, record({1: text("no such service")}))
        said = self.answers.get(name, lambda fields: {})(call.fields)
        fields = said if isinstance(said, dict) else {0: said}
        return message(REPLY, name, call.number, record(fields))


class Ends:
    """The client's end of the connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def send(self, data: bytes) -> None:
        self._stream.sendall(data)

    def receive(self) -> bytes:
        if not (data := self._stream.recv(65536)):
            raise P4ControlError("gone")
        return data

    def close(self) -> None:
        self._stream.close()


@pytest.fixture
def server() -> Iterator[Server]:
    here, there = socket.socketpair()
    here.settimeout(10)
    found = Server(there)
    found.control = Control(  # type: ignore[attr-defined]
        PROGRAM,
        Bmv2Channel(PROGRAM, Client(Ends(here)), ROUTER.read_text(), ["# first", "mirror 5 2 0"]),
    )
    yield found
    here.close()
    found.thread.join(10)
    there.close()


@pytest.fixture
def control(server: Server) -> Control:
    found: Control = server.control  # type: ignore[attr-defined]
    return found


def refusal(code: int) -> dict[int, Value]:
    return {1: record({1: i32(code)})}


def test_entries_go_there_and_back(server: Server, control: Control) -> None:
    entries: list[Value] = []

    def add(fields: Any) -> Value:
        lpm = record({1: text(fields[3][0][3][1]), 2: i32(fields[3][0][3][2])})
        data = items(Kind.STRING, [text(one) for one in fields[5]])
        action = record({1: i32(1), 2: text(fields[4]), 3: data})
        key = items(Kind.STRUCT, [record({1: i32(1), 3: lpm})])
        entry = {1: key, 2: record({}), 3: i32(len(entries)), 4: action}
        entries.append(record(entry))
        return i32(len(entries) - 1)

    default = record({1: i32(1), 2: text("RouterIngress.drop"), 3: items(Kind.STRING, [])})
    server.answers = {
        "bm_mt_add_entry": add,
        "bm_mt_get_entries": lambda fields: items(Kind.STRUCT, entries),
        "bm_mt_get_default_entry": lambda fields: default,
        "bm_mt_read_counter": lambda fields: record({1: i64(640), 2: i64(10)}),
    }
    table = control.table("ipv4_lpm")
    params = {"port": 2, "source": "02:00:00:00:00:01", "target": "02:00:00:00:00:02"}
    assert table.add({"dst": "10.0.2.0/24"}, "forward", params) == 0
    dump = table.dump()
    (entry,) = dump.entries
    (match,) = entry.match.values()
    assert (match.value, match.other) == (0x0A000200, 24)
    assert entry.action == "RouterIngress.forward"
    assert entry.params["target"] == 0x020000000002
    assert (entry.packets, entry.bytes) == ((10, 640) if table.table.counts else (0, 0))
    assert dump.default == ("RouterIngress.drop", {})


def test_many_calls_are_one_exchange_and_each_error_is_its_own(
    server: Server, control: Control
) -> None:
    server.answers["bm_counter_read"] = lambda fields: (
        refusal(2) if fields[3] == 7 else record({1: i64(fields[3]), 2: i64(1)})
    )
    found = control.counter("received")
    assert found.read(5).bytes == 5
    with pytest.raises(P4ControlError, match="error no such index"):
        found.read_all()
    assert len(server.asked) == 1 + found.cells.size
    assert found.read(6).bytes == 6


def test_a_reset_loads_the_program_again_and_what_was_declared(
    server: Server, control: Control
) -> None:
    groups = (
        '{"mgrps": [{"id": 3, "l1_handles": [0, 4]}], "l2_handles": [{"handle": 0, "ports": [1]}],'
        ' "l1_handles": [{"handle": 0, "rid": 0, "l2_handle": 0},'
        ' {"handle": 4, "rid": 1, "l2_handle": 0}]}'
    )
    server.answers["bm_mc_get_entries"] = lambda fields: text(groups)
    server.answers["bm_mt_get_entries"] = lambda fields: items(Kind.STRUCT, [])
    server.answers["bm_mt_get_default_entry"] = lambda fields: record({1: i32(0)})
    server.answers["mirroring_session_get"] = lambda fields: refusal(1)
    control.mirror(9, port=1)
    server.asked.clear()
    control.reset()
    names = [name for name, _ in server.asked]
    assert names[0] == "bm_mc_get_entries"
    for before, after in (
        ("bm_load_new_config", "bm_swap_configs"),
        ("bm_swap_configs", "bm_mc_node_destroy"),
        ("bm_mc_mgrp_destroy", "mirroring_session_delete"),
        ("mirroring_session_delete", "set_all_egress_queue_depths"),
        ("set_all_egress_queue_depths", "mirroring_session_add"),
    ):
        assert names.index(before) < names.index(after)
    assert ("mirroring_session_add", {1: 5, 2: {1: 2}}) in server.asked
    # what it holds is read again
    assert names.index("mirroring_session_add") < names.index("bm_mt_get_default_entry")
    assert names[-2:] == ["mirroring_session_get", "bm_mc_get_entries"]


def test_copies_and_meters_are_read_again(server: Server, control: Control) -> None:
    server.answers["bm_mc_get_entries"] = lambda fields: text(
        '{"mgrps": [{"id": 7, "l1_handles": [0, 1]}],'
        ' "l1_handles": [{"handle": 0, "rid": 0, "l2_handle": 4},'
        ' {"handle": 1, "rid": 5, "l2_handle": 3}],'
        ' "l2_handles": [{"handle": 4, "ports": [2, 1]}, {"handle": 3, "ports": [2]}]}'
    )
    sessions = {5: record({1: i32(2)}), 40: record({1: i32(1), 2: i32(7)})}
    server.answers["mirroring_session_get"] = lambda fields: sessions.get(fields[1]) or refusal(1)
    server.answers["bm_mt_get_entries"] = lambda fields: items(Kind.STRUCT, [])
    server.answers["bm_mt_get_default_entry"] = lambda fields: record({1: i32(0)})
    found = control.state()
    assert found["mirror", 5] == "2 0"
    assert found["mirror", 40] == "1 7"
    assert found["group", 7] == "1 0 2 0 2 5"
    wanted = {("group", 7): "2 5 2 0 1 0", ("queue", 1, 0): "0 9", ("counter", 0, 1): "1 1"}
    assert told_again(PROGRAM, wanted) == {("group", 7): "1 0 2 0 2 5"}


@pytest.fixture
def objects() -> Iterator[tuple[Server, Bmv2Channel, controller.Ends]]:
    """A server, a channel to it for a program with meters and a digest, and its other ends."""
    here, there = socket.socketpair()
    here.settimeout(10)
    server = Server(there)
    ends = controller.Ends(socket.socket)
    yield server, Bmv2Channel(OBJECTS, Client(Ends(here)), ends=ends), ends
    ends.close()
    here.close()
    server.thread.join(10)
    there.close()


def test_meters_are_read_again(objects: tuple[Server, Bmv2Channel, controller.Ends]) -> None:
    server, channel, _ = objects
    some = [record({1: double(0.5), 2: i32(3)}), record({1: double(1.0), 2: i32(4)})]
    server.answers["bm_meter_get_rates"] = lambda fields: items(
        Kind.STRUCT, some if fields[3] == 2 else []
    )
    server.answers["bm_mt_get_entries"] = lambda fields: items(
        Kind.STRUCT, [record({3: i32(handle)}) for handle in (0, 6)]
    )
    server.answers["bm_mt_get_meter_rates"] = lambda fields: items(
        Kind.STRUCT, some if fields[3] == 6 else []
    )
    arrays = {one.name.rpartition(".")[2]: n for n, one in enumerate(OBJECTS.meters)}
    assert set(channel.meters_told()) == {
        f"- meter {arrays['rates']} 2 0.5 3 1.0 4",
        f"- meter {arrays['byte_rates']} 2 0.5 3 1.0 4",
        f"- meter {arrays['entry_rate']} 6 0.5 3 1.0 4",
    }


def wait_for_end(control: DigestControl) -> bool:
    """Whether a publisher that has ended is told, at once or by the next call."""
    for _ in range(1000):
        try:
            control.take()
        except P4ControlError as error:
            return "notifications are gone" in error.message
    return False


def test_samples_of_digests_are_taken_and_acknowledged(
    objects: tuple[Server, Bmv2Channel, controller.Ends], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, channel, ends = objects
    (digest,) = OBJECTS.digests
    control = Control(OBJECTS, channel).digest(digest.name)
    found = [OBJECTS.field(one) for one in digest.fields]
    sizes = [(one.width + 7) // 8 for one in found if one is not None]
    with socket.create_server(("127.0.0.1", 0)) as publisher:
        publisher.settimeout(10)
        monkeypatch.setattr(notifications, "PORT", publisher.getsockname()[1])
        listening = threading.Thread(target=ends.renew, kwargs={"digests": True})
        listening.start()
        switch, _ = publisher.accept()
        with switch:
            switch.settimeout(10)
            switch.sendall(b"\0SP\0\0\x20\0\0")
            listening.join(10)
            assert switch.recv(8) == b"\0SP\0\0\x21\0\0"

            def publish(topic: bytes, number: int, *values: int) -> None:
                data = b"".join(
                    one.to_bytes(n, "big") for one, n in zip(values, sizes, strict=True)
                )
                head = struct.pack("=4sQiiQI", topic, 1, 0, digest.id, number, 1)
                switch.sendall(struct.pack("!Q", len(head + data)) + head + data)

            def taken(count: int) -> Any:
                seen, lost = [], 0
                while len(seen) < count:
                    some = control.take()
                    seen += some.samples
                    lost += some.lost
                return seen, lost

            publish(b"PRT|", 7, 0, 0, 0)
            publish(b"LEA|", 4, 1, 2, 3)
            publish(b"LEA|", 5, 4, 5, 6)
            assert taken(2) == ([(1, 2, 3), (4, 5, 6)], 0)
            publish(b"LEA|", 8, 7, 8, 9)  # nobody has seen 6 and 7
            assert taken(1) == ([(7, 8, 9)], 2)
        acknowledged = [one[3] for name, one in server.asked if name == "bm_learning_ack_buffer"]
        assert acknowledged == [4, 5, 8]
    assert wait_for_end(control)
    with pytest.raises(P4ControlError, match="digests need simple_switch with nanomsg"):
        control.take()


def test_what_is_no_publisher_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(notifications, "PORT", other.getsockname()[1])

        def answer() -> None:
            stream, _ = other.accept()
            stream.sendall(b"HTTP/1.1")
            stream.close()

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(P4ControlError, match="something other than BMv2 listens"):
            notifications.Notifications(socket.socket)
        answering.join(10)


def test_a_tag_that_the_kernel_has_taken_out_is_put_back() -> None:
    frame = bytes(range(20))
    auxiliary = struct.pack("=IIIHHHH", 0x10 | 0x40, 20, 20, 0, 14, 0x2005, 0x88A8)
    assert _with_tag(frame, [(263, 8, auxiliary)]) == frame[:12] + b"\x88\xa8\x20\x05" + frame[12:]
    assert _with_tag(frame, [(263, 8, bytes(20))]) == frame


def test_a_switch_without_a_cpu_port_says_so(control: Control) -> None:
    with pytest.raises(P4ControlError, match="no CPU port: declare cpu_port="):
        control.ask(["packets-take"], "packets in")


def test_a_declared_line_that_is_refused_is_told_with_its_name(
    server: Server, control: Control
) -> None:
    server.answers["bm_mc_get_entries"] = lambda fields: text('{"mgrps": []}')
    server.answers["mirroring_session_add"] = lambda fields: refusal(1)
    with pytest.raises(P4ControlError, match="error first: error no such mirror session"):
        control.reset()


def test_the_program_and_the_ports_are_what_bmv2_says(server: Server, control: Control) -> None:
    md5 = hashlib.md5(ROUTER.read_bytes(), usedforsecurity=False).digest()
    server.answers["bm_get_config_md5"] = lambda fields: text(md5)
    ports = [record({1: i32(n), 2: text(f"eth{n}"), 3: flag(n == 1)}) for n in (2, 1)]
    server.answers["bm_dev_mgr_show_ports"] = lambda fields: items(Kind.STRUCT, ports)
    assert control.loaded() == PROGRAM.digest
    assert control.ports() == {1: ("eth1", "up"), 2: ("eth2", "down")}
    server.answers["bm_get_config_md5"] = lambda fields: text(bytes(16))
    assert control.loaded() == "md5:" + 32 * "0"


def test_a_group_has_a_node_for_each_replica(server: Server, control: Control) -> None:
    server.answers["bm_mc_get_entries"] = lambda fields: text('{"mgrps": []}')
    made = iter(range(10))
    server.answers["bm_mc_mgrp_create"] = lambda fields: i32(fields[2])
    server.answers["bm_mc_node_create"] = lambda fields: i32(next(made))
    control.multicast(7, [1, 2, (2, 5), 1])
    nodes = [(one[2], one[3]) for name, one in server.asked if name == "bm_mc_node_create"]
    assert nodes == [(0, b"110"), (5, b"100"), (0, b"10")]
    joined = [(one[2], one[3]) for name, one in server.asked if name == "bm_mc_node_associate"]
    assert joined == [(7, 0), (7, 1), (7, 2)]


def test_what_bmv2_cannot_do_is_refused(control: Control) -> None:
    with pytest.raises(P4ControlError, match="BMv2 does not count what it receives"):
        control.statistics()
    with pytest.raises(P4ControlError, match="BMv2's control channel has no nonsense"):
        control.ask(["nonsense 1"], "x")
