"""What a controller writes and reads, against programs that really run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kinda.p4 import Frame
from pytest_kinda.p4runtime.refusal import Code, Refusal
from tests.support.p4runtime import DATA, Told, device_of, matching

pytest.importorskip("finsy", reason="finsy is an extra")

from finsy.proto import U128, p4i, p4r

# programs are compiled for it
pytestmark = [pytest.mark.slow, pytest.mark.beside]

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE
PUNT = (DATA / "punt.json").read_text()
PUNT_INFO = (DATA / "punt.p4info.txt").read_text()
KNOWN, FORWARD, DROP = 49630438, 28306264, 21653452
RECEIVED, RATES, LAST_SOURCE = 305696586, 344008001, 385066076
OBJECTS_INFO = """
    tables { preamble { id: 1 name: "In.by_meter" } action_refs { id: 2 } size: 1024
        match_fields { id: 1 name: "hdr.start.cell" bitwidth: 8 match_type: EXACT } }
    tables { preamble { id: 5 name: "In.learning" } action_refs { id: 6 } size: 1024
        match_fields { id: 1 name: "hdr.start.kind" bitwidth: 8 match_type: EXACT } }
    actions { preamble { id: 2 name: "In.metered" } params { id: 1 name: "value" bitwidth: 8 } }
    actions { preamble { id: 6 name: "In.learn" } }
    direct_meters { preamble { id: 3 name: "In.entry_rate" } direct_table_id: 1 }
    digests { preamble { id: 4 name: "seen_t" } type_spec { struct { name: "seen_t" } } }
    type_info { structs { key: "seen_t" value {
        members { name: "flow" type_spec { bitstring { bit { bitwidth: 17 } } } }
        members { name: "high" type_spec { bitstring { bit { bitwidth: 6 } } } }
        members { name: "port" type_spec { bitstring { bit { bitwidth: 9 } } } } } } }
"""


@pytest.fixture(scope="module")
def punt() -> Iterator[Any]:
    with device_of(PUNT, PUNT_INFO) as found:
        yield primary(found)


@pytest.fixture(autouse=True)
def _as_declared(request: pytest.FixtureRequest) -> None:
    if "punt" in request.fixturenames:
        device = request.getfixturevalue("punt")
        device.switch.file.control.reset()


def primary(device: Any) -> Any:
    update = p4r.MasterArbitrationUpdate(device_id=1, election_id=U128.encode(1))
    device.arbitrate(Told(), update)
    return device


def write(device: Any, *updates: tuple[int, Any]) -> list[str]:
    """What became of each update, by the names of the codes."""
    request = p4r.WriteRequest(device_id=1, election_id=U128.encode(1))
    for kind, entity in updates:
        request.updates.add(type=kind, entity=entity)
    return ["OK" if one is None else one.code.name for one in device.write(request)]


def read(device: Any, **asked: Any) -> list[Any]:
    found, errors = device.read([p4r.Entity(**asked)])
    assert errors == [None]
    return [getattr(one, one.WhichOneof("entity")) for one in found]


def known(target: int, port: int | None = 1, **more: Any) -> Any:
    entry = p4r.TableEntry(table_id=KNOWN, **more)
    entry.match.add(field_id=1).exact.value = target.to_bytes(6, "big")
    if port is not None:
        entry.action.action.action_id = FORWARD
        for number, value in ((1, port), (2, 0)):
            entry.action.action.params.add(param_id=number, value=bytes([value]))
    return p4r.Entity(table_entry=entry)


def entry_of(table: int, action: int, priority: int = 0, *params: bytes, **matches: Any) -> Any:
    entry = p4r.TableEntry(table_id=table, priority=priority)
    for name, match in matches.items():
        found = entry.match.add(field_id=int(name[1:]))
        for kind, fields in match.items():
            for field, value in fields.items():
                setattr(getattr(found, kind), field, value)
    entry.action.action.action_id = action
    for number, value in enumerate(params, 1):
        entry.action.action.params.add(param_id=number, value=value)
    return p4r.Entity(table_entry=entry)


def test_entries_are_inserted_modified_and_deleted(punt: Any) -> None:
    assert write(punt, *((INSERT, known(one)) for one in (1, 2, 2))) == [
        "OK",
        "OK",
        "ALREADY_EXISTS",
    ]
    changed = known(2, port=9, metadata=b"mine")
    assert write(punt, (MODIFY, changed), (MODIFY, known(3)), (DELETE, known(4))) == [
        "OK",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    (found,) = read(punt, table_entry=known(2, None).table_entry)
    assert found.metadata == b"mine"
    assert found.match[0].exact.value == b"\2"  # canonical
    assert [one.value for one in found.action.action.params] == [b"\x09", b"\0"]
    assert punt.switch.file.control.table("known").dump().entries[1].params["port"] == 9
    # in one batch, in this order
    again = [(DELETE, known(1)), (INSERT, known(1, port=5)), (MODIFY, known(1, port=6))]
    assert write(punt, *again, (DELETE, known(2))) == ["OK"] * 4
    (found,) = read(punt, table_entry=p4r.TableEntry())
    assert found.action.action.params[0].value == b"\x06"


def test_what_is_wrong_with_an_update_is_said_of_that_update(punt: Any) -> None:
    no_table, no_match, wide, no_action = (known(1) for _ in range(4))
    no_table.table_entry.table_id = 7
    del no_match.table_entry.match[:]
    wide.table_entry.action.action.params[0].value = b"\2\0"
    no_action.table_entry.action.action.action_id = RECEIVED
    lacks, prior = known(1), known(1, priority=3)
    del lacks.table_entry.action.action.params[:]
    profile = p4r.Entity(action_profile_member=p4r.ActionProfileMember(action_profile_id=1))
    given = (no_table, no_match, wide, no_action, lacks, prior, profile, p4r.Entity(), known(1))
    assert write(punt, *((INSERT, one) for one in given)) == [
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "OUT_OF_RANGE",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "UNIMPLEMENTED",
        "INVALID_ARGUMENT",
        "OK",
    ]
    request = p4r.WriteRequest(device_id=1, election_id=U128.encode(2))
    with pytest.raises(Refusal, match="found election id 2; expected the primary's, 1"):
        punt.write(request)


def test_the_default_entry_is_modified_and_put_back(punt: Any) -> None:
    asked = p4r.TableEntry(table_id=KNOWN, is_default_action=True)
    (before,) = read(punt, table_entry=asked)
    changed = p4r.TableEntry(table_id=KNOWN, is_default_action=True)
    changed.action.action.action_id = DROP
    assert write(punt, (INSERT, p4r.Entity(table_entry=changed))) == ["INVALID_ARGUMENT"]
    assert write(punt, (MODIFY, p4r.Entity(table_entry=changed))) == ["OK"]
    assert read(punt, table_entry=asked)[0].action.action.action_id == DROP
    assert write(punt, (MODIFY, p4r.Entity(table_entry=asked))) == ["OK"]
    assert read(punt, table_entry=asked) == [before]


def test_counters_registers_and_meters(punt: Any) -> None:
    index = p4r.Index(index=3)
    punt.switch.file.send([Frame(3, bytes(6) + bytes.fromhex("0200000000aa") + bytes(50))] * 2)
    (count,) = read(punt, counter_entry=p4r.CounterEntry(counter_id=RECEIVED, index=index))
    assert (count.data.packet_count, count.data.byte_count) == (2, 124)
    assert len(read(punt, counter_entry=p4r.CounterEntry())) == 16
    (cell,) = read(punt, register_entry=p4r.RegisterEntry(register_id=LAST_SOURCE, index=index))
    assert cell.data.bitstring == bytes.fromhex("0200000000aa")
    cell.data.bitstring = b"\7"
    zero = p4r.CounterEntry(counter_id=RECEIVED, data=p4r.CounterData())
    meter = p4r.MeterEntry(meter_id=RATES, index=index)
    meter.config.CopyFrom(p4r.MeterConfig(cir=1000, cburst=5, pir=3333, pburst=6))
    high = p4r.MeterEntry(meter_id=RATES, config=p4r.MeterConfig(cir=2, pir=1))
    beyond = p4r.MeterEntry(meter_id=RATES, index=p4r.Index(index=16))
    assert write(
        punt,
        (MODIFY, p4r.Entity(register_entry=cell)),
        (MODIFY, p4r.Entity(counter_entry=zero)),
        (MODIFY, p4r.Entity(meter_entry=meter)),
        (MODIFY, p4r.Entity(meter_entry=high)),
        (MODIFY, p4r.Entity(meter_entry=beyond)),
        (INSERT, p4r.Entity(meter_entry=meter)),
    ) == ["OK", "OK", "OK", "INVALID_ARGUMENT", "OUT_OF_RANGE", "INVALID_ARGUMENT"]
    assert punt.switch.file.control.register("last_source").read(3) == 7
    (count,) = read(punt, counter_entry=p4r.CounterEntry(counter_id=RECEIVED, index=index))
    assert count.data.packet_count == 0
    assert read(punt, meter_entry=p4r.MeterEntry(meter_id=RATES, index=index)) == [meter]


def test_multicast_groups_and_clone_sessions(punt: Any) -> None:
    def engine(**entry: Any) -> Any:
        made = p4r.PacketReplicationEngineEntry(**entry)
        return p4r.Entity(packet_replication_engine_entry=made)

    def group(number: int, *ports: int) -> Any:
        replicas = [p4r.Replica(port=bytes([one]), instance=1) for one in ports]
        made = p4r.MulticastGroupEntry(multicast_group_id=number, replicas=replicas, metadata=b"m")
        return engine(multicast_group_entry=made)

    def session(number: int, *ports: int, instance: int = 0) -> Any:
        replicas = [p4r.Replica(egress_port=one, instance=instance) for one in ports]
        made = p4r.CloneSessionEntry(session_id=number, replicas=replicas)
        return engine(clone_session_entry=made)

    given = [group(1, 2, 3), group(2), session(4, 1), session(5, 1, 2), session(6)]
    assert write(punt, *((INSERT, one) for one in given)) == ["OK"] * 5
    assert write(punt, *((INSERT, one) for one in given)) == ["ALREADY_EXISTS"] * 5
    wrong = [(INSERT, group(1 << 15)), (MODIFY, group(7)), (DELETE, session(7))]
    assert write(punt, *wrong) == ["OUT_OF_RANGE", "NOT_FOUND", "NOT_FOUND"]
    assert write(punt, (INSERT, group(8, 2, 2))) == ["INVALID_ARGUMENT"]
    asked = p4r.PacketReplicationEngineEntry()
    assert [
        p4r.Entity(packet_replication_engine_entry=one)
        for one in read(punt, packet_replication_engine_entry=asked)
    ] == given
    state = punt.switch.file.control.state()
    assert state["group", 1] == "2 1 3 1"
    assert (state["mirror", 4], state["mirror", 5]) == ("1 0", f"-1 {(1 << 15) + 5}")
    everything = [(DELETE, one) for one in given]
    assert write(punt, (MODIFY, session(5, 3, instance=2)), *everything) == ["OK"] * 6
    assert read(punt, packet_replication_engine_entry=asked) == []
    assert not any(one[0] in ("group", "mirror") for one in punt.switch.file.control.state())


def test_a_reset_makes_a_controller_begin_anew(punt: Any) -> None:
    assert write(punt, (INSERT, known(1, metadata=b"x"))) == ["OK"]
    punt.switch.file.control.reset()
    assert read(punt, table_entry=p4r.TableEntry()) == []
    assert write(punt, (INSERT, known(1))) == ["OK"]
    assert read(punt, table_entry=p4r.TableEntry())[0].metadata == b""


def test_every_match_kind_there_and_back() -> None:
    program, info = matching({"a": "exact", "b": "ternary", "c": "range", "d": "optional"}, "range")
    with device_of(program, info) as found:
        device = primary(found)
        first = entry_of(
            11,
            21,
            5,
            b"\2",
            m1={"exact": {"value": b"\1"}},
            m2={"ternary": {"value": b"\x10", "mask": b"\xf0"}},
            m3={"range": {"low": b"\5", "high": b"\x09"}},
            m4={"optional": {"value": b"\7"}},
        )
        lower = entry_of(11, 21, 4, b"\3", m1={"exact": {"value": b"\1"}})
        outside = entry_of(
            11,
            21,
            4,
            b"\3",
            m1={"exact": {"value": b"\1"}},
            m2={"ternary": {"value": b"\1", "mask": b"\xf0"}},
        )
        nothing = entry_of(
            11,
            21,
            4,
            b"\3",
            m1={"exact": {"value": b"\1"}},
            m2={"ternary": {"value": b"\0", "mask": b"\0"}},
        )
        assert write(
            device, (INSERT, first), (INSERT, lower), (INSERT, outside), (INSERT, nothing)
        ) == ["OK", "OK", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
        asked = p4r.TableEntry(table_id=11)
        assert read(device, table_entry=asked) == [first.table_entry, lower.table_entry]
        packet = bytes.fromhex("0001001700090007")
        sent = device.switch.file.send([Frame(1, packet), Frame(1, packet[:4] + bytes(4))])
        assert [one.port for one in sent] == [2, 3]  # the highest priority wins
        asked.counter_data.SetInParent()
        counts = [one.counter_data.packet_count for one in read(device, table_entry=asked)]
        assert counts == [1, 1]
        direct = p4r.DirectCounterEntry(table_entry=lower.table_entry)
        assert read(device, direct_counter_entry=direct)[0].data.byte_count == 8


def test_prefixes_there_and_back() -> None:
    with device_of(*matching({"a": "lpm"}, "lpm")) as found:
        device = primary(found)
        eight = entry_of(11, 21, 0, b"\1", m1={"lpm": {"value": b"\x0a\0", "prefix_len": 8}})
        every = entry_of(11, 22)
        wrong = entry_of(11, 21, 0, b"\1", m1={"lpm": {"value": b"\x0a\1", "prefix_len": 8}})
        assert write(device, (INSERT, eight), (INSERT, every), (INSERT, wrong)) == [
            "OK",
            "OK",
            "INVALID_ARGUMENT",
        ]
        assert read(device, table_entry=p4r.TableEntry()) == [eight.table_entry, every.table_entry]


def test_direct_meters_and_digests() -> None:
    with device_of((DATA / "objects.json").read_text(), OBJECTS_INFO) as found:
        stream = Told()
        update = p4r.MasterArbitrationUpdate(device_id=1, election_id=U128.encode(1))
        found.arbitrate(stream, update)
        rates = p4r.MeterConfig(cir=1, cburst=2, pir=3, pburst=4)
        metered = entry_of(1, 2, 0, b"\1", m1={"exact": {"value": b"\5"}})
        metered.table_entry.meter_config.CopyFrom(rates)
        learn = entry_of(5, 6, m1={"exact": {"value": b"\1"}})
        config = p4r.DigestEntry.Config(max_list_size=2, ack_timeout_ns=10**12)
        digest = p4r.Entity(digest_entry=p4r.DigestEntry(digest_id=4, config=config))
        given = [(INSERT, one) for one in (metered, learn, digest)]
        assert write(found, *given) == ["OK"] * 3
        asked = p4r.TableEntry(table_id=1)
        asked.meter_config.SetInParent()
        assert read(found, table_entry=asked) == [metered.table_entry]
        direct = p4r.DirectMeterEntry(table_entry=p4r.TableEntry(table_id=1))
        assert read(found, direct_meter_entry=direct)[0].config == rates

        def lists() -> list[list[bytes]]:
            with found._lock:
                found._tell()
            some = [one.digest for one in stream.messages if one.WhichOneof("update") == "digest"]
            return [[one.struct.members[0].bitstring for one in each.data] for each in some]

        def send(*flows: int) -> None:
            data = [(1 << 40 | flow << 23 | 9 << 17).to_bytes(6, "big") for flow in flows]
            with found._lock:  # the device listens to the same process
                found.switch.file.send([Frame(3, one) for one in data])

        send(5, 6, 5, 7)
        assert lists() == [[b"\5", b"\6"], [b"\7"]]
        send(5, 8)
        assert lists()[2:] == [[b"\x08"]]  # 5 was not acknowledged
        first = next(one.digest for one in stream.messages if one.HasField("digest"))
        ack = p4r.DigestListAck(digest_id=4, list_id=first.list_id)
        found.hear(stream, p4r.StreamMessageRequest(digest_ack=ack))
        send(5)
        assert lists()[3:] == [[b"\5"]]
        assert first.data[0].struct.members[2].bitstring == b"\3"
        found.leave(stream)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pipeline_is_verified_and_committed(wrapped: bool) -> None:
    from google.protobuf import text_format

    program, info = matching({"a": "lpm"}, "lpm")
    data = program.encode()
    if wrapped:  # p4.tmp.P4DeviceConfig, as the tutorials' controllers write it
        size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14])
        data = b"\x08\x01\x1a" + size + data
    config = p4r.ForwardingPipelineConfig(p4_device_config=data)
    text_format.Parse(info, config.p4info)
    config.cookie.cookie = 7
    kinds = p4r.SetForwardingPipelineConfigRequest

    def set_to(action: int, given: Any = config) -> str:
        request = kinds(device_id=1, election_id=U128.encode(1), action=action, config=given)
        try:
            device.set_pipeline(request)
        except Refusal as refusal:
            return refusal.code.name
        return "OK"

    with device_of(PUNT) as found:
        device = primary(found)
        with pytest.raises(Refusal, match="no forwarding pipeline config") as refused:
            device.get_pipeline()
        assert refused.value.code == Code.FAILED_PRECONDITION
        assert (set_to(kinds.VERIFY), found.switch.loads) == ("OK", 0)
        assert (set_to(kinds.VERIFY_AND_COMMIT), found.switch.loads) == ("OK", 1)
        assert device.get_pipeline() == config
        eight = entry_of(11, 21, 0, b"\1", m1={"lpm": {"value": b"\x0a\0", "prefix_len": 8}})
        assert write(device, (INSERT, eight)) == ["OK"]
        config.cookie.cookie = 8
        assert (set_to(kinds.RECONCILE_AND_COMMIT), found.switch.loads) == ("OK", 1)
        assert read(device, table_entry=p4r.TableEntry()) == [eight.table_entry]
        assert device.get_pipeline().cookie.cookie == 8
        other = p4r.ForwardingPipelineConfig(p4_device_config=PUNT.encode())
        text_format.Parse(PUNT_INFO, other.p4info)
        assert set_to(kinds.RECONCILE_AND_COMMIT, other) == "INVALID_ARGUMENT"
        mixed = p4r.ForwardingPipelineConfig(p4info=other.p4info, p4_device_config=data)
        assert set_to(kinds.VERIFY, mixed) == "INVALID_ARGUMENT"
        none = p4r.ForwardingPipelineConfig(p4info=config.p4info, p4_device_config=b"\x7fELF")
        assert set_to(kinds.VERIFY, none) == "INVALID_ARGUMENT"
        assert set_to(kinds.COMMIT, None) == "UNIMPLEMENTED"
        assert set_to(kinds.VERIFY_AND_COMMIT) == "OK"
        assert read(device, table_entry=p4r.TableEntry()) == []


def test_packets_have_their_metadata(punt: Any) -> None:
    from pytest_kinda.p4runtime.packets import packet_bytes, packet_message

    punt.get_pipeline()
    pipeline = punt._pipeline
    packet = p4r.PacketOut(payload=b"data")
    packet.metadata.add(metadata_id=1, value=b"\1\2")
    with pytest.raises(Refusal, match=r"no metadata 2 \(priority\)"):
        packet_bytes(pipeline, packet)
    packet.metadata.add(metadata_id=2, value=b"\5")
    assert packet_bytes(pipeline, packet) == bytes([0x81, 0x50]) + b"data"
    found = packet_message(pipeline, bytes([0x81, 0x00, 0x09]) + b"data")
    assert found.payload == b"data"
    assert [(one.metadata_id, one.value) for one in found.metadata] == [(1, b"\1\2"), (3, b"\x09")]
    assert isinstance(pipeline.config.p4info, p4i.P4Info)
