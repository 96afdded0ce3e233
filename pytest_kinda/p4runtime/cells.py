"""Counters, registers and meters that are arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from finsy.proto import p4r

from pytest_kinda.p4runtime.bytestrings import decode, encode
from pytest_kinda.p4runtime.exchange import Exchange
from pytest_kinda.p4runtime.pipeline import Pipeline
from pytest_kinda.p4runtime.rates import meter_message, meter_words
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid

MODIFY = p4r.Update.MODIFY


def write_cells(pipeline: Pipeline, exchange: Exchange, kind: int, entity: Any) -> None:
    """Set a counter, a register's cell or a meter, or without an index all. Raises Refusal."""
    what = entity.WhichOneof("entity")
    if kind != MODIFY:
        raise invalid(f"{what}: its cells are there always, and modified only")
    if what == "counter_entry":
        entry = entity.counter_entry
        number, cells = pipeline.counter(entry.counter_id)
        first, count = _range(entry, cells.name, cells.size)
        if not entry.HasField("data"):
            return
        packets, size = entry.data.packet_count, entry.data.byte_count
        if min(packets, size) < 0:
            raise invalid(f"{cells.name}: found a count below 0")
        exchange.now(f"counter-write {number} {first} {count} {packets:x} {size:x}")
    elif what == "register_entry":
        entry = entity.register_entry
        number, cells = pipeline.register(entry.register_id)
        first, count = _range(entry, cells.name, cells.size)
        if entry.data.WhichOneof("data") != "bitstring":
            raise invalid(f"{cells.name}: expected a bitstring of {cells.width} bits")
        value = decode(entry.data.bitstring, cells.width, cells.name)
        exchange.now(f"register-write {number} {first} {count} {value:x}")
    else:
        entry = entity.meter_entry
        number, meters = pipeline.meter(entry.meter_id)
        first, count = _range(entry, meters.name, meters.size)
        words = meter_words(entry.config if entry.HasField("config") else None)
        for index in range(first, first + count):
            exchange.now(f"meter-write {number} {index} {words}".strip())


def read_counters(pipeline: Pipeline, exchange: Exchange, asked: Any) -> Iterator[Any]:
    """The counters that a request means. Raises Refusal."""
    for number in _ids(asked.counter_id, pipeline.counters):
        place, cells = pipeline.counter(number)
        first, count = _range(asked, cells.name, cells.size)
        for at, line in enumerate(exchange.now(f"counter-read {place} {first} {count}"), first):
            packets, size = (int(word, 16) for word in line.split())
            found = p4r.CounterEntry(counter_id=number)
            found.index.index = at
            found.data.packet_count, found.data.byte_count = packets, size
            yield found


def read_registers(pipeline: Pipeline, exchange: Exchange, asked: Any) -> Iterator[Any]:
    """The registers' cells that a request means. Raises Refusal."""
    for number in _ids(asked.register_id, pipeline.registers):
        place, cells = pipeline.register(number)
        first, count = _range(asked, cells.name, cells.size)
        for at, line in enumerate(exchange.now(f"register-read {place} {first} {count}"), first):
            found = p4r.RegisterEntry(register_id=number)
            found.index.index = at
            found.data.bitstring = encode(int(line, 16))
            yield found


def read_meters(pipeline: Pipeline, exchange: Exchange, asked: Any) -> Iterator[Any]:
    """The meters that a request means; one without rates has no ``config``. Raises Refusal."""
    for number in _ids(asked.meter_id, pipeline.meters):
        place, meters = pipeline.meter(number)
        first, count = _range(asked, meters.name, meters.size)
        for at in range(first, first + count):
            found = p4r.MeterEntry(meter_id=number)
            found.index.index = at
            if lines := exchange.now(f"meter-read {place} {at}"):
                found.config.CopyFrom(meter_message(lines[0]))
            yield found


READERS: Mapping[str, Callable[[Pipeline, Exchange, Any], Iterator[Any]]] = {
    "counter_entry": read_counters,
    "register_entry": read_registers,
    "meter_entry": read_meters,
}


def _ids(asked: int, known: Mapping[int, Any]) -> list[int]:
    return [asked] if asked else list(known)


def _range(entry: Any, name: str, size: int) -> tuple[int, int]:
    """The first cell and how many: one, or all where no index is given."""
    if not entry.HasField("index"):
        return 0, size
    index: int = entry.index.index
    if not 0 <= index < size:
        raise Refusal(Code.OUT_OF_RANGE, f"{name}: found index {index}; expected 0 to {size - 1}")
    return index, 1
