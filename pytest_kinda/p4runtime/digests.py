"""What a program sends by ``digest``: buffered, sent as lists, not twice until acknowledged.

The rules are those of the P4Runtime specification, "DigestEntry". Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from finsy.proto import p4d, p4r

from pytest_kinda.p4runtime.bytestrings import encode
from pytest_kinda.p4runtime.pipeline import Pipeline
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid, missing

Sample = tuple[int, ...]
INSERT, DELETE = p4r.Update.INSERT, p4r.Update.DELETE


@dataclass
class _Learning:
    config: Any
    since: int = 0
    waiting: dict[Sample, None] = field(default_factory=dict)
    sent: dict[int, tuple[int, frozenset[Sample]]] = field(default_factory=dict)


class Digests:
    """The digests of one switch that a controller has enabled."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._enabled: dict[int, _Learning] = {}
        self._lists = 0

    def write(self, kind: int, entry: Any) -> None:
        """Enable, configure or disable a digest. Raises Refusal."""
        self._pipeline.digest(entry.digest_id)
        there = entry.digest_id in self._enabled
        if kind == INSERT and there:
            raise Refusal(Code.ALREADY_EXISTS, f"digest {entry.digest_id:#010x} is enabled")
        if kind != INSERT and not there:
            raise missing(f"digest {entry.digest_id:#010x} is not enabled")
        if kind == DELETE:
            del self._enabled[entry.digest_id]
            return
        config = p4r.DigestEntry.Config()
        config.CopyFrom(entry.config)
        if min(config.max_timeout_ns, config.max_list_size, config.ack_timeout_ns) < 0:
            raise invalid("digest: found a number below 0")
        if there:
            self._enabled[entry.digest_id].config = config
        else:
            self._enabled[entry.digest_id] = _Learning(config)

    def read(self, asked: int) -> Iterator[Any]:
        """The digests that are enabled, or one of them. Raises Refusal."""
        if asked:
            self._pipeline.digest(asked)
        for number, one in self._enabled.items():
            if asked in (0, number):
                yield p4r.DigestEntry(digest_id=number, config=one.config)

    def acknowledge(self, ack: Any) -> None:
        """A list has come to the controller: its samples may be sent again. Raises Refusal."""
        if ack.digest_id not in self._pipeline.digests:
            raise invalid(f"digest list ack: the program has no digest {ack.digest_id:#010x}")
        if ack.digest_id in self._enabled:
            self._enabled[ack.digest_id].sent.pop(ack.list_id, None)

    def places(self) -> dict[int, int]:
        """The enabled digests: the number in the program, and the id of each."""
        return {self._pipeline.digest(number)[0]: number for number in self._enabled}

    def take(self, number: int, samples: list[Sample], now: int) -> Iterator[Any]:
        """Add samples of a digest; the lists that are to be sent by now."""
        learning = self._enabled[number]
        config = learning.config
        for list_id, (at, _) in list(learning.sent.items()):
            if now - at >= config.ack_timeout_ns:
                del learning.sent[list_id]
        known = {one for _, some in learning.sent.values() for one in some}
        for sample in samples:
            if sample in known or sample in learning.waiting:
                continue
            if not learning.waiting:
                learning.since = now
            learning.waiting[sample] = None
            if len(learning.waiting) == config.max_list_size:
                yield self._list(number, learning, now)
        if learning.waiting and now - learning.since >= config.max_timeout_ns:
            yield self._list(number, learning, now)

    def _list(self, number: int, learning: _Learning, now: int) -> Any:
        self._lists += 1
        found = p4r.DigestList(digest_id=number, list_id=self._lists, timestamp=now)
        spec = self._pipeline.digest_infos[number].type_spec
        for sample in learning.waiting:
            found.data.append(self._data(spec, list(sample)))
        if learning.config.ack_timeout_ns:
            learning.sent[self._lists] = now, frozenset(learning.waiting)
        learning.waiting.clear()
        return found

    def _data(self, spec: Any, values: list[int]) -> Any:
        """A sample in the form that p4info gives it; takes its fields off ``values``."""
        found = p4d.P4Data()
        kind = spec.WhichOneof("type_spec")
        if kind == "struct":
            info = self._pipeline.config.p4info.type_info.structs[spec.struct.name]
            for member in info.members:
                found.struct.members.append(self._data(member.type_spec, values))
        elif kind == "tuple":
            for member in spec.tuple.members:
                found.tuple.members.append(self._data(member, values))
        elif kind == "header":
            info = self._pipeline.config.p4info.type_info.headers[spec.header.name]
            found.header.is_valid = True
            for _ in info.members:
                found.header.bitstrings.append(encode(values.pop(0)))
        elif kind == "bool":
            found.bool = bool(values.pop(0))
        else:
            found.bitstring = encode(values.pop(0))
        return found
