"""One switch as controllers see it: its pipeline, its controllers, what they write and read.

The switch itself is what is true: its program and the number of its resets are asked before each
request, so that one that was put back, has another program or has started again is noticed. What
this server knew of it is forgotten then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from finsy.proto import U128, p4r

from pytest_kinda.errors import KindaError, P4ControlError
from pytest_kinda.p4.control import Channel
from pytest_kinda.p4.control_objects import sample_of
from pytest_kinda.p4runtime.arbitration import Arbitration, Notice
from pytest_kinda.p4runtime.cells import READERS, write_cells
from pytest_kinda.p4runtime.digests import Digests
from pytest_kinda.p4runtime.exchange import Exchange
from pytest_kinda.p4runtime.packets import packet_bytes, packet_message
from pytest_kinda.p4runtime.pipeline import Pipeline, declared_pipeline
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid, unimplemented
from pytest_kinda.p4runtime.replication import Replication
from pytest_kinda.p4runtime.tables import Notes, TableWriter, read_entries

POLL = 0.01
"""Seconds between looks for packets and digests, while a primary is connected."""

ACTION = p4r.SetForwardingPipelineConfigRequest


class Switch(Protocol):
    """What runs the program: ``program`` (BMv2's JSON) and ``p4info`` are as it was declared."""

    name: str
    program: str
    p4info: str
    cpu_port: int | None

    @property
    def channel(self) -> Channel:
        """Its control channel."""

    def load(self, text: str) -> None:
        """Run another program, with no entries but the program's own. Raises KindaError."""


class Stream(Protocol):
    """A controller's stream, as far as messages go to it."""

    def send(self, message: Any, *, urgent: bool = True) -> None:
        """Send a message; one that is not ``urgent`` may be dropped where many wait."""


class Device:
    """A device of the server. Its methods may be called by several threads."""

    def __init__(self, number: int, switch: Switch) -> None:
        self.number = number
        self.switch = switch
        self._lock = threading.RLock()
        self._arbitration: Arbitration[Stream] = Arbitration()
        self._generation: tuple[str, ...] = ()
        self._pipeline: Pipeline | None = None
        self._notes: Notes = {}
        self._replication = Replication()
        self._digests: Digests | None = None
        self._streams: set[Stream] = set()
        self._changed = threading.Event()

    # Controllers

    def arbitrate(self, stream: Stream, update: Any) -> None:
        """A controller says who it is. Raises Refusal, with which its stream ends."""
        if update.device_id != self.number:
            raise Refusal(
                Code.FAILED_PRECONDITION,
                f"found device {update.device_id}; expected {self.number}, which this stream has",
            )
        if update.role.HasField("config"):
            raise invalid("role.config: this server knows none; each role may do everything")
        with self._lock:
            self._refresh()
            notices = self._arbitration.update(stream, update.role.name, _election_id(update))
            if stream not in self._streams:
                self._streams.add(stream)
                if len(self._streams) == 1:
                    threading.Thread(
                        target=self._listen, name=f"{self.switch.name} listens", daemon=True
                    ).start()
            self._notify(notices)

    def leave(self, stream: Stream) -> None:
        """A controller's stream has ended."""
        with self._lock:
            self._streams.discard(stream)
            self._notify(self._arbitration.leave(stream))
        self._changed.set()

    def hear(self, stream: Stream, message: Any) -> None:
        """A packet or an acknowledgement from a controller; an error of it goes back by the stream.

        Raises P4ControlError where the switch is gone.
        """
        what = message.WhichOneof("update")
        error = p4r.StreamError()
        try:
            with self._lock:
                if not self._arbitration.is_primary(stream):
                    raise Refusal(Code.PERMISSION_DENIED, "only a primary may do that")
                pipeline = self._need_pipeline()
                if what == "packet":
                    data = packet_bytes(pipeline, message.packet)
                    Exchange(self.switch.channel).now(f"packet-send {data.hex()}")
                elif what == "digest_ack":
                    assert self._digests is not None
                    self._digests.acknowledge(message.digest_ack)
                else:
                    raise unimplemented(f"stream messages of kind {what}")
            return
        except Refusal as refusal:
            error.canonical_code, error.message = int(refusal.code), refusal.message
        if what == "packet":
            error.packet_out.packet_out.CopyFrom(message.packet)
        elif what == "digest_ack":
            error.digest_list_ack.digest_list_ack.CopyFrom(message.digest_ack)
        else:
            error.other.SetInParent()
        stream.send(p4r.StreamMessageResponse(error=error), urgent=False)

    # Pipeline

    def set_pipeline(self, request: Any) -> None:
        """Verify a pipeline config, and make it that of the switch. Raises Refusal."""
        with self._lock:
            self._refresh()
            self._arbitration.check(request.role, _election_id(request))
            action = request.action
            if action in (ACTION.VERIFY_AND_SAVE, ACTION.COMMIT):
                raise unimplemented(
                    "VERIFY_AND_SAVE and COMMIT: VERIFY_AND_COMMIT does both at once"
                )
            if action not in (ACTION.VERIFY, ACTION.VERIFY_AND_COMMIT, ACTION.RECONCILE_AND_COMMIT):
                raise invalid(f"found action {action}; expected VERIFY or VERIFY_AND_COMMIT")
            if not request.HasField("config"):
                raise invalid("the request has no config")
            config = p4r.ForwardingPipelineConfig()
            config.CopyFrom(request.config)
            pipeline = Pipeline(config)
            if action == ACTION.VERIFY:
                return
            before = self._pipeline
            if action == ACTION.RECONCILE_AND_COMMIT and before is not None:
                if before.program.digest != pipeline.program.digest:
                    raise invalid(
                        "RECONCILE_AND_COMMIT: the forwarding state can be preserved for the "
                        "program that runs, not for another"
                    )
                self._pipeline = pipeline
                return
            self._load(pipeline)

    def get_pipeline(self) -> Any:
        """The config of the pipeline. Raises Refusal (FAILED_PRECONDITION) without one."""
        with self._lock:
            return self._need_pipeline().config

    def _load(self, pipeline: Pipeline) -> None:
        try:
            self.switch.load(pipeline.text)
        except P4ControlError:
            raise
        except KindaError as error:
            raise invalid(f"p4_device_config: {error}") from error
        self._generation = self._running()
        self._begin(pipeline)

    def _need_pipeline(self) -> Pipeline:
        self._refresh()
        if self._pipeline is None:
            raise Refusal(
                Code.FAILED_PRECONDITION,
                f"no forwarding pipeline config is set for device {self.number} "
                f"({self.switch.name}): it was declared without p4info=",
            )
        return self._pipeline

    def _refresh(self) -> None:
        """Notice where the switch is not what it was at the last request."""
        found = self._running()
        if found != self._generation:
            self._generation = found
            self._arbitration.forget()
            declared = declared_pipeline(self.switch.program, self.switch.p4info)
            runs = declared is not None and declared.program.digest == found[0]
            self._begin(declared if runs else None)

    def _running(self) -> tuple[str, ...]:
        """The program's digest, how often it was reset, since when it runs."""
        program, clock = self.switch.channel.ask(["program", "clock"])
        return (*program[-1].split()[1:], clock[-1])

    def _begin(self, pipeline: Pipeline | None) -> None:
        self._pipeline = pipeline
        self._notes.clear()
        self._replication = Replication()
        self._digests = Digests(pipeline) if pipeline is not None else None

    # Entities

    def write(self, request: Any) -> list[Refusal | None]:
        """Carry out a batch; what became of each update. Raises Refusal for the whole."""
        with self._lock:
            pipeline = self._need_pipeline_of_primary(request)
            if request.atomicity != p4r.WriteRequest.CONTINUE_ON_ERROR:
                raise unimplemented("atomic batches; expected CONTINUE_ON_ERROR")
            exchange = Exchange(self.switch.channel)
            tables = TableWriter(pipeline, exchange, self._notes)
            errors: list[Refusal | None] = [None] * len(request.updates)
            for at, update in enumerate(request.updates):
                try:
                    self._write(pipeline, exchange, tables, update, partial(errors.__setitem__, at))
                except Refusal as refusal:
                    errors[at] = refusal
            exchange.flush()
            return errors

    def _need_pipeline_of_primary(self, request: Any) -> Pipeline:
        self._refresh()
        self._arbitration.check(request.role, _election_id(request))
        return self._need_pipeline()

    def _write(
        self, pipeline: Pipeline, exchange: Exchange, tables: TableWriter, update: Any, fail: Any
    ) -> None:
        kind, entity = update.type, update.entity
        what = entity.WhichOneof("entity")
        if kind not in (p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE):
            raise invalid(f"found an update of type {kind}; expected INSERT, MODIFY or DELETE")
        if what == "table_entry":
            tables.write(kind, entity.table_entry, fail)
        elif what == "direct_meter_entry":
            direct = entity.direct_meter_entry
            config = direct.config if direct.HasField("config") else None
            tables.modify_direct(kind, direct.table_entry, config)
        elif what in READERS:
            write_cells(pipeline, exchange, kind, entity)
        elif what == "packet_replication_engine_entry":
            self._replication.write(exchange, kind, entity.packet_replication_engine_entry)
        elif what == "digest_entry":
            assert self._digests is not None
            self._digests.write(kind, entity.digest_entry)
        else:
            raise _without(what)

    def read(self, requests: Sequence[Any]) -> tuple[list[Any], list[Refusal | None]]:
        """The entities that are asked for, and what became of each request. Raises Refusal."""
        found: list[Any] = []
        errors: list[Refusal | None] = []
        with self._lock:
            pipeline = self._need_pipeline()
            exchange = Exchange(self.switch.channel)
            for one in requests:
                try:
                    found += list(self._read(pipeline, exchange, one))
                    errors.append(None)
                except Refusal as refusal:
                    errors.append(refusal)
        return found, errors

    def _read(self, pipeline: Pipeline, exchange: Exchange, asked: Any) -> Iterator[Any]:
        what = asked.WhichOneof("entity")
        entry = getattr(asked, what) if what else None
        if what == "table_entry":
            for one in read_entries(pipeline, exchange, self._notes, entry):
                yield p4r.Entity(table_entry=one)
        elif what in ("direct_counter_entry", "direct_meter_entry"):
            yield from self._read_direct(pipeline, exchange, what, entry)
        elif what in READERS:
            for one in READERS[what](pipeline, exchange, entry):
                yield p4r.Entity(**{what: one})
        elif what == "packet_replication_engine_entry":
            for one in self._replication.read(exchange, entry):
                yield p4r.Entity(packet_replication_engine_entry=one)
        elif what == "digest_entry":
            assert self._digests is not None
            for one in self._digests.read(asked.digest_entry.digest_id):
                yield p4r.Entity(digest_entry=one)
        else:
            raise _without(what)

    def _read_direct(
        self, pipeline: Pipeline, exchange: Exchange, what: str, asked: Any
    ) -> Iterator[Any]:
        counts = what == "direct_counter_entry"
        having = pipeline.direct_counters if counts else pipeline.direct_meters
        wanted = p4r.TableEntry()
        wanted.CopyFrom(asked.table_entry)
        wanted.counter_data.SetInParent()
        wanted.meter_config.SetInParent()
        if wanted.table_id and wanted.table_id not in having:
            name = pipeline.table(wanted.table_id).name
            raise invalid(f"table {name} has no direct {'counter' if counts else 'meter'}")
        for one in read_entries(pipeline, exchange, self._notes, wanted):
            if one.table_id not in having:
                continue
            found = p4r.Entity()
            direct = getattr(found, what)
            key = p4r.TableEntry(table_id=one.table_id, match=one.match, priority=one.priority)
            direct.table_entry.CopyFrom(key)
            if counts:
                direct.data.CopyFrom(one.counter_data)
            elif one.HasField("meter_config"):
                direct.config.CopyFrom(one.meter_config)
            yield found

    # What the switch says by itself

    def _listen(self) -> None:
        """Until no controller is connected: bring packets and digests to the primary."""
        while True:
            with self._lock:
                if not self._streams:
                    return
                try:
                    self._tell()
                except P4ControlError:
                    pass  # it may start again: requests say that it is gone
            self._changed.wait(POLL)
            self._changed.clear()

    def _tell(self) -> None:
        primaries = [one for one in self._arbitration.primaries() if one in self._streams]
        learning = self._digests is not None and self._digests.places()
        if not primaries or not (learning or self.switch.cpu_port is not None):
            return
        # first what the switch is: packets of another program have another form
        self._refresh()
        if self._pipeline is None or self._digests is None:
            return
        places = self._digests.places()
        lines = ["packets-take"] if self.switch.cpu_port is not None else []
        lines += [f"digest-take {place}" for place in places]
        messages = []
        answers = self.switch.channel.ask(lines)
        if self.switch.cpu_port is not None:
            for line in answers.pop(0)[:-1]:
                packet = packet_message(self._pipeline, bytes.fromhex(line[2:].strip("-")))
                messages.append(p4r.StreamMessageResponse(packet=packet))
        for (place, number), answer in zip(places.items(), answers, strict=True):
            digest = self._pipeline.program.digests[place]
            samples = [sample_of(self._pipeline.program, digest, one[2:]) for one in answer[:-1]]
            for one in self._digests.take(number, samples, time.time_ns()):
                messages.append(p4r.StreamMessageResponse(digest=one))
        for message in messages:
            for stream in primaries:
                stream.send(message, urgent=False)

    def _notify(self, notices: Sequence[Notice[Stream]]) -> None:
        for one in notices:
            update = p4r.MasterArbitrationUpdate(device_id=self.number)
            if one.role:
                update.role.name = one.role
            if one.election_id is not None:
                update.election_id.CopyFrom(U128.encode(one.election_id))
            update.status.code = int(one.status)
            update.status.message = _STATUS[one.status]
            one.session.send(p4r.StreamMessageResponse(arbitration=update))


_STATUS = {
    Code.OK: "primary",
    Code.ALREADY_EXISTS: "backup: another controller is primary",
    Code.NOT_FOUND: "backup: there is no primary",
}


def _election_id(message: Any) -> int | None:
    if not message.HasField("election_id"):
        return None
    found: int = U128.decode(message.election_id)
    return found


def _without(what: str | None) -> Refusal:
    if what is None:
        return invalid("the entity is not set")
    return unimplemented(f"entities of kind {what}")
