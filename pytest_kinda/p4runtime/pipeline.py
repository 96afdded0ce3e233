"""A forwarding pipeline: p4info and the program that it describes, checked against each other.

The device config is BMv2's JSON, as p4c writes it; also in the ``P4DeviceConfig`` message in which
the P4 tutorials' controllers wrap it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from finsy.proto import p4i, p4r

from pytest_kinda.errors import P4ControlError, ProgramError
from pytest_kinda.p4 import translate
from pytest_kinda.p4.control_values import find
from pytest_kinda.p4.objects import Digest, Meters
from pytest_kinda.p4.program import Action, Cells, Program, Table
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.p4runtime.refusal import invalid, missing

SHOWN = 5
"""Differences of p4info and program that an error lists."""

KINDS = {
    p4i.MatchField.EXACT: "exact",
    p4i.MatchField.LPM: "lpm",
    p4i.MatchField.TERNARY: "ternary",
    p4i.MatchField.RANGE: "range",
    p4i.MatchField.OPTIONAL: "optional",
}
Item = TypeVar("Item")
_Named = TypeVar("_Named", Cells, Meters, Digest)
_ORDERED = ("ternary", "range", "optional")


class TableInfo:
    """A table as p4info has it (``info``), with that of the program and its number there."""

    def __init__(self, info: Any, program: Program) -> None:
        self.info = info
        self.id: int = info.preamble.id
        self.name: str = info.preamble.name
        self.table: Table = find(((one.name, one) for one in program.tables), self.name, "table")
        self.index = program.tables.index(self.table)
        self.fields = {one.id: one for one in info.match_fields}
        self.needs_priority = any(
            KINDS.get(one.match_type) in _ORDERED for one in info.match_fields
        )

    def problems(self) -> Iterable[str]:
        """Where p4info and program differ."""
        keys = self.table.keys
        if len(keys) != len(self.info.match_fields):
            yield f"table {self.name}: {len(self.info.match_fields)} match fields, not {len(keys)}"
            return
        for field, key in zip(self.info.match_fields, keys, strict=True):
            kind = KINDS.get(field.match_type, "another")
            # the validity of a header is 1 bit of P4 and takes a byte of BMv2
            widths = {key.width, 1} if key.target.field == "$valid$" else {key.width}
            if ("ternary" if kind == "optional" else kind) != key.match:
                yield f"{self.name}.{field.name}: {kind}, not {key.match}"
            elif field.bitwidth not in widths:
                yield f"{self.name}.{field.name}: {field.bitwidth} bits, not {key.width}"


class Pipeline:
    """A program that a switch can run, and the p4info by whose ids a controller speaks of it.

    ``text`` is the JSON. Raises Refusal (INVALID_ARGUMENT) for a config without one of both, for a
    program that the native engine does not cover, and where they do not belong together.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.text = device_config(config.p4_device_config)
        if not config.HasField("p4info"):
            raise invalid("the config has no p4info")
        try:
            self.program = parse_program(self.text.encode(), "p4_device_config")
            translate(self.program)
        except ProgramError as error:
            raise invalid(f"p4_device_config: {error.message}") from error
        program, info = self.program, config.p4info
        self._problems: list[str] = []
        self.tables = self._by_id(info.tables, lambda one: TableInfo(one, program))
        for table in self.tables.values():
            self._problems += table.problems()
        self.actions = self._by_id(info.actions, self._action)
        self.action_infos = {one.preamble.id: one for one in info.actions}
        self.action_ids = {one.preamble.name: one.preamble.id for one in info.actions}
        self.counters = self._by_id(info.counters, self._named("counter", program.counters))
        self.registers = self._by_id(info.registers, self._named("register", program.registers))
        self.meters = self._by_id(info.meters, self._named("meter", program.meters))
        self.digests = self._by_id(info.digests, self._named("digest", program.digests))
        self.digest_infos = {one.preamble.id: one for one in info.digests}
        self.packets = {one.preamble.name: one for one in info.controller_packet_metadata}
        self.direct_counters = {one.direct_table_id for one in info.direct_counters}
        self.direct_meters = {one.direct_table_id: one.preamble.name for one in info.direct_meters}
        if self._problems:
            more = (
                f"; and {len(self._problems) - SHOWN} more" if len(self._problems) > SHOWN else ""
            )
            raise invalid(
                f"p4info and p4_device_config differ: {'; '.join(self._problems[:SHOWN])}{more}"
            )

    def table(self, number: int) -> TableInfo:
        """The table of that id. Raises Refusal (NOT_FOUND)."""
        return _of(self.tables, number, "table")

    def action(self, number: int) -> Action:
        """The action of that id. Raises Refusal (NOT_FOUND)."""
        return _of(self.actions, number, "action")

    def counter(self, number: int) -> tuple[int, Cells]:
        """A counter array, with its number in the program. Raises Refusal (NOT_FOUND)."""
        return _of(self.counters, number, "counter")

    def register(self, number: int) -> tuple[int, Cells]:
        """A register array, with its number in the program. Raises Refusal (NOT_FOUND)."""
        return _of(self.registers, number, "register")

    def meter(self, number: int) -> tuple[int, Meters]:
        """A meter array, with its number in the program. Raises Refusal (NOT_FOUND)."""
        return _of(self.meters, number, "meter")

    def digest(self, number: int) -> tuple[int, Digest]:
        """A digest, with its number in the program. Raises Refusal (NOT_FOUND)."""
        return _of(self.digests, number, "digest")

    def _by_id(self, infos: Iterable[Any], make: Callable[[Any], Item]) -> dict[int, Item]:
        found = {}
        for one in infos:
            try:
                found[one.preamble.id] = make(one)
            except P4ControlError as error:
                self._problems.append(error.message)
        return found

    def _action(self, info: Any) -> Action:
        found: Action = find(
            {one.name: one for one in self.program.actions}.items(), info.preamble.name, "action"
        )
        for param, own in zip(info.params, found.parameters, strict=False):
            if param.bitwidth != own.width:
                where = f"{found.name}.{param.name}"
                self._problems.append(f"{where}: {param.bitwidth} bits, not {own.width}")
        if len(info.params) != len(found.parameters):
            count = len(found.parameters)
            self._problems.append(f"{found.name}: {len(info.params)} parameters, not {count}")
        return found

    def _named(self, what: str, items: Sequence[_Named]) -> Callable[[Any], tuple[int, _Named]]:
        def make(info: Any) -> tuple[int, _Named]:
            found = find(((one.name, one) for one in items), info.preamble.name, what)
            return items.index(found), found

        return make


def declared_pipeline(program: str, p4info: str) -> Pipeline | None:
    """The pipeline of a switch that was declared with a p4info (its text), else None.

    Raises Refusal where both do not belong together.
    """
    if not p4info:
        return None
    from google.protobuf import text_format

    info = p4i.P4Info()
    try:
        text_format.Parse(p4info, info)
    except text_format.ParseError as error:
        raise invalid(f"the declared p4info: {error}") from error
    return Pipeline(p4r.ForwardingPipelineConfig(p4info=info, p4_device_config=program.encode()))


def device_config(data: bytes) -> str:
    """The JSON text of a device config. Raises Refusal for what is none.

    >>> device_config(b'{"program": 1}')
    '{"program": 1}'
    """
    if not data.lstrip().startswith(b"{"):
        data = _unwrapped(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.lstrip().startswith("{"):
        raise invalid(
            f"p4_device_config: found {len(data)} bytes that begin with {data[:16]!r}; expected "
            "the JSON file that p4c's bmv2 backend writes"
        )
    return text


def _unwrapped(data: bytes) -> bytes:
    """``device_data`` (field 3) of a ``p4.tmp.P4DeviceConfig``; empty where it is none."""
    at = 0

    def varint() -> int:
        nonlocal at
        found = shift = 0
        while at < len(data):
            byte = data[at]
            at += 1
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found
        raise IndexError

    try:
        while at < len(data):
            tag = varint()
            if tag & 7 == 0:
                varint()
            elif tag & 7 == 2:
                size = varint()
                if tag >> 3 == 3:
                    return data[at : at + size]
                at += size
            else:
                return b""
    except IndexError:
        pass
    return b""


def _of(known: Mapping[int, Item], number: int, what: str) -> Item:
    if number not in known:
        listed = ", ".join(f"{one:#010x}" for one in known) or "none"
        raise missing(f"no {what} {number:#010x}; the pipeline has {listed}")
    return known[number]
