"""Packets between controller and program: the headers that p4info declares, as metadata.

A field with ``@padding`` is filled with zeros and told to nobody.
"""

from __future__ import annotations

from typing import Any

from finsy.proto import p4r

from pytest_kinda.p4.packets import IN, OUT
from pytest_kinda.p4runtime.bytestrings import decode, encode
from pytest_kinda.p4runtime.pipeline import Pipeline
from pytest_kinda.p4runtime.refusal import invalid


def packet_bytes(pipeline: Pipeline, packet: Any) -> bytes:
    """What goes to the CPU port for a PacketOut: header and payload. Raises Refusal."""
    if not packet.payload and not packet.metadata:
        raise invalid("packet out: it is empty")
    header = pipeline.packets.get(OUT)
    infos = header.metadata if header is not None else ()
    given = {one.metadata_id: one.value for one in packet.metadata}
    value = bits = 0
    for one in infos:
        found = given.pop(one.id, None)
        if found is None and not _fills(one):
            listed = ", ".join(f"{each.id} ({each.name})" for each in infos if not _fills(each))
            raise invalid(f"packet out: no metadata {one.id} ({one.name}); expected {listed}")
        part = 0 if found is None else decode(found, one.bitwidth, f"packet out: {one.name}")
        value, bits = value << one.bitwidth | part, bits + one.bitwidth
    if given:
        raise invalid(f"packet out: the program has no metadata {sorted(given)}")
    return value.to_bytes(bits // 8, "big") + bytes(packet.payload)


def packet_message(pipeline: Pipeline, data: bytes) -> Any:
    """The PacketIn for what the program has sent to the CPU port."""
    header = pipeline.packets.get(IN)
    infos = header.metadata if header is not None else ()
    bits = sum(one.bitwidth for one in infos)
    if len(data) * 8 < bits:
        return p4r.PacketIn(payload=data)
    size = bits // 8
    found = p4r.PacketIn(payload=data[size:])
    rest = int.from_bytes(data[:size], "big")
    for one in infos:
        bits -= one.bitwidth
        if not _fills(one):
            value = rest >> bits & ((1 << one.bitwidth) - 1)
            found.metadata.add(metadata_id=one.id, value=encode(value))
    return found


def _fills(info: Any) -> bool:
    return "@padding" in info.annotations
