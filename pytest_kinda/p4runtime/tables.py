"""Writing and reading the entries of tables, and what belongs to each: counters and meters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finsy.proto import p4r

from pytest_kinda.p4runtime.entries import (
    MOST,
    action_message,
    action_words,
    key_words,
    match_messages,
)
from pytest_kinda.p4runtime.exchange import Exchange, refused
from pytest_kinda.p4runtime.pipeline import Pipeline, TableInfo
from pytest_kinda.p4runtime.rates import meter_message, meter_words
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid, missing, unimplemented

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE

Notes = dict[tuple[int, str], tuple[bytes, int]]
"""What controllers have noted of entries (``metadata``, ``controller_metadata``), by the table's
id and the entry's key: the switch does not keep it."""

Fail = Callable[[Refusal], None]


@dataclass(frozen=True)
class _Told:
    """An entry as the switch tells it."""

    handle: int
    key: str
    priority: int
    match: tuple[str, str]
    packets: int
    size: int
    words: list[str]


class TableWriter:
    """Carries out the updates of one batch on table entries.

    What fails when it is sent is told to the ``fail`` of its update.
    """

    def __init__(self, pipeline: Pipeline, exchange: Exchange, notes: Notes) -> None:
        self._pipeline = pipeline
        self._exchange = exchange
        self._notes = notes
        self._handles: dict[int, dict[str, int]] = {}

    def write(self, kind: int, entry: Any, fail: Fail) -> None:
        """Insert, modify or delete an entry, or modify a default entry. Raises Refusal."""
        table = self._pipeline.table(entry.table_id)
        if entry.is_const:
            raise invalid(f"table {table.name}: found is_const in a write; expected false")
        if entry.idle_timeout_ns:
            raise unimplemented("idle timeouts: this server sends no notifications of them")
        if entry.is_default_action:
            self._default(kind, table, entry)
        else:
            self._entry(kind, table, entry, fail)

    def modify_direct(self, kind: int, entry: Any, config: Any) -> None:
        """Set the rates of an entry's meter. Raises Refusal."""
        if kind != MODIFY:
            raise invalid("a direct resource is modified only: it is there as its entry is")
        table = self._pipeline.table(entry.table_id)
        self._set_meter(table, self._handle(table, key_words(table, entry)), config)

    def _default(self, kind: int, table: TableInfo, entry: Any) -> None:
        if kind != MODIFY or entry.match or entry.priority:
            raise invalid(
                f"table {table.name}: a default entry is modified only, without match and priority"
            )
        if table.info.const_default_action_id:
            raise Refusal(
                Code.PERMISSION_DENIED, f"table {table.name}: its default action is constant"
            )
        if entry.HasField("action"):
            words = action_words(self._pipeline, table, entry.action, default=True)
            self._exchange.now(f"default {table.index} {words}")
        else:
            self._exchange.now(f"default-reset {table.index}")
        self._note(table, "default", entry)

    def _entry(self, kind: int, table: TableInfo, entry: Any, fail: Fail) -> None:
        key = key_words(table, entry)
        if table.info.is_const_table and (kind != MODIFY or entry.HasField("action")):
            raise Refusal(Code.PERMISSION_DENIED, f"table {table.name}: its entries are constant")
        if kind == DELETE:
            handle = self._handle(table, key)
            self._exchange.later(f"delete {table.index} {handle}", _telling(fail))
            del self._handles[table.index][key]
            self._notes.pop((table.id, key), None)
            return
        direct = _direct(table, entry)
        if kind == INSERT:
            if not entry.HasField("action"):
                raise invalid(f"table {table.name}: an entry needs an action")
            words = action_words(self._pipeline, table, entry.action, default=False)
            if not table.table.keys:
                raise invalid(f"table {table.name} has no key, only a default entry")
            line = f"add {table.index} {key} {words}"
            if direct:
                handle = self._exchange.added(line)
                self._known(table, key, handle)
                self._set_meter(table, handle, entry.meter_config)
                self._note(table, key, entry)
                return

            def hear(answer: str) -> None:
                if refusal := refused(answer):
                    fail(refusal)
                else:
                    self._known(table, key, int(answer.split()[1]))
                    self._note(table, key, entry)

            self._exchange.later(line, hear)
            return
        handle = self._handle(table, key)
        if entry.HasField("action"):
            words = action_words(self._pipeline, table, entry.action, default=False)
            self._exchange.later(f"modify {table.index} {handle} {words}", _telling(fail))
        if direct:
            self._set_meter(table, handle, entry.meter_config)
        self._note(table, key, entry)

    def _known(self, table: TableInfo, key: str, handle: int) -> None:
        if table.index in self._handles:
            self._handles[table.index][key] = handle

    def _handle(self, table: TableInfo, key: str) -> int:
        self._exchange.flush()
        if table.index not in self._handles:
            told, _ = _dump(self._exchange, table)
            self._handles[table.index] = {one.key: one.handle for one in told}
        found = self._handles[table.index].get(key)
        if found is None:
            raise missing(f"table {table.name} has no such entry")
        return found

    def _set_meter(self, table: TableInfo, handle: int, config: Any) -> None:
        number = direct_meter(self._pipeline, table)
        if number is None:
            raise invalid(f"table {table.name} has no direct meter")
        self._exchange.now(f"meter-write {number} {handle} {meter_words(config)}".strip())

    def _note(self, table: TableInfo, key: str, entry: Any) -> None:
        self._notes.pop((table.id, key), None)
        if entry.metadata or entry.controller_metadata:
            self._notes[table.id, key] = (entry.metadata, entry.controller_metadata)


def read_entries(
    pipeline: Pipeline,
    exchange: Exchange,
    notes: Mapping[tuple[int, str], tuple[bytes, int]],
    asked: Any,
) -> Iterator[Any]:
    """The entries that a request means; see the specification, "Wildcard Reads". Raises Refusal."""
    tables = [pipeline.table(asked.table_id)] if asked.table_id else pipeline.tables.values()
    for table in tables:
        told, default = _dump(exchange, table)
        if asked.is_default_action:
            if default is not None and (action := action_message(pipeline, default)) is not None:
                found = p4r.TableEntry(table_id=table.id, is_default_action=True, action=action)
                _add_notes(found, notes.get((table.id, "default")))
                yield found
            continue
        wanted = key_words(table, asked) if asked.table_id and asked.match else ""
        for one in told:
            action = action_message(pipeline, one.words)
            if action is None or not _is_asked(asked, one, wanted, action):
                continue
            found = p4r.TableEntry(
                table_id=table.id,
                match=match_messages(table, *one.match),
                priority=MOST - one.priority if table.needs_priority else 0,
                action=action,
                is_const=table.info.is_const_table,
            )
            _add_notes(found, notes.get((table.id, one.key)))
            if asked.HasField("counter_data") and table.table.counts:
                found.counter_data.packet_count = one.packets
                found.counter_data.byte_count = one.size
            if asked.HasField("meter_config"):
                number = direct_meter(pipeline, table)
                lines = [] if number is None else exchange.now(f"meter-read {number} {one.handle}")
                if lines:
                    found.meter_config.CopyFrom(meter_message(lines[0]))
            yield found


def direct_meter(pipeline: Pipeline, table: TableInfo) -> int | None:
    """The number of a table's direct meter in the program; None without one."""
    names = [one.name for one in pipeline.program.meters]
    return names.index(table.table.meter) if table.table.meter else None


def _is_asked(asked: Any, one: _Told, wanted: str, action: Any) -> bool:
    other = asked.action.action.action_id != action.action.action_id
    if asked.table_id and asked.HasField("action") and other:
        return False
    if wanted:
        return one.key == wanted
    return not asked.priority or MOST - one.priority == asked.priority


def _add_notes(found: Any, noted: tuple[bytes, int] | None) -> None:
    if noted is not None:
        found.metadata, found.controller_metadata = noted


def _direct(table: TableInfo, entry: Any) -> bool:
    """Whether an entry sets its meter; what it says of its counter can be zero only."""
    data = entry.counter_data
    if entry.HasField("counter_data") and (data.packet_count or data.byte_count):
        raise unimplemented(f"table {table.name}: the counter of an entry cannot be set")
    return bool(entry.HasField("meter_config"))


def _telling(fail: Fail) -> Callable[[str], None]:
    def hear(answer: str) -> None:
        if refusal := refused(answer):
            fail(refusal)

    return hear


def _dump(exchange: Exchange, table: TableInfo) -> tuple[list[_Told], list[str] | None]:
    told: list[_Told] = []
    default = None
    for line in exchange.now(f"dump {table.index}"):
        first, *words = line.split()
        if first == "default":
            default = words
            continue
        priority, key, mask, packets, size = words[:5]
        told.append(
            _Told(
                int(first),
                f"{priority} {key} {mask}",
                int(priority),
                (key, mask),
                int(packets),
                int(size),
                words[5:],
            )
        )
    return told, default
