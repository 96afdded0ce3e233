"""The packet replication engine: multicast groups and clone sessions.

A clone session with one copy of instance 0 is a mirror session to a port; another one is to a
multicast group of its own, above the numbers that controllers may use, as in BMv2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finsy.proto import p4r

from pytest_kinda.p4runtime.bytestrings import decode
from pytest_kinda.p4runtime.exchange import Exchange
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid, missing, unimplemented

OWN = 1 << 15
"""The first multicast group that clone sessions have; also one more than the last session."""

INSERT, DELETE = p4r.Update.INSERT, p4r.Update.DELETE
Copies = tuple[tuple[int, int], ...]


class Replication:
    """Groups and sessions of one switch.

    What was written is kept: the switch knows nothing of a group without copies, of ``metadata``,
    nor in which of two fields a port was given. It counts as far as the switch still agrees.
    """

    def __init__(self) -> None:
        self._groups: dict[int, Any] = {}
        self._sessions: dict[int, Any] = {}

    def write(self, exchange: Exchange, kind: int, entity: Any) -> None:
        """Insert, modify or delete a group or session. Raises Refusal."""
        if entity.WhichOneof("type") == "multicast_group_entry":
            entry = entity.multicast_group_entry
            number = _number(entry.multicast_group_id, "multicast group")
            there = {one.multicast_group_id for one in self._read_groups(exchange)}
            _check(kind, number in there, f"multicast group {number}")
            copies = () if kind == DELETE else _copies(entry)
            exchange.now(f"group {number} {_words(copies)}".strip())
            self._groups.pop(number, None)
            if kind != DELETE:
                self._groups[number] = p4r.MulticastGroupEntry()
                self._groups[number].CopyFrom(entry)
        elif entity.WhichOneof("type") == "clone_session_entry":
            self._write_session(exchange, kind, entity.clone_session_entry)
        else:
            raise invalid("a packet replication entry is a multicast group or a clone session")

    def read(self, exchange: Exchange, asked: Any) -> Iterator[Any]:
        """The groups or sessions that a request means. Raises Refusal."""
        kind = asked.WhichOneof("type")
        found = p4r.PacketReplicationEngineEntry
        if kind in ("multicast_group_entry", None):
            wanted = asked.multicast_group_entry.multicast_group_id
            for one in self._read_groups(exchange):
                if wanted in (0, one.multicast_group_id):
                    yield found(multicast_group_entry=one)
        if kind in ("clone_session_entry", None):
            wanted = asked.clone_session_entry.session_id
            for one in self._read_sessions(exchange):
                if wanted in (0, one.session_id):
                    yield found(clone_session_entry=one)

    def _write_session(self, exchange: Exchange, kind: int, entry: Any) -> None:
        number = _number(entry.session_id, "clone session")
        there = {one.session_id for one in self._read_sessions(exchange)}
        _check(kind, number in there, f"clone session {number}")
        if kind != DELETE and (entry.packet_length_bytes or entry.class_of_service):
            raise unimplemented("packet_length_bytes and class_of_service of a clone session")
        copies = () if kind == DELETE else _copies(entry)
        direct = len(copies) == 1 and copies[0][1] == 0
        exchange.now(f"group {OWN + number} {'' if direct else _words(copies)}".strip())
        port = copies[0][0] if direct else -1
        exchange.now(f"mirror {number} {port} {OWN + number if copies and not direct else 0}")
        self._sessions.pop(number, None)
        if kind != DELETE:
            self._sessions[number] = p4r.CloneSessionEntry()
            self._sessions[number].CopyFrom(entry)

    def _read_groups(self, exchange: Exchange) -> list[Any]:
        told, _ = _told(exchange)
        found = []
        for number in sorted({*told, *self._groups}):
            kept = self._groups.get(number)
            if number >= OWN:
                continue
            if kept is not None and _same(kept, told.get(number, ())):
                found.append(kept)
            elif number in told:
                found.append(p4r.MulticastGroupEntry(multicast_group_id=number))
                _add(found[-1], told[number])
        return found

    def _read_sessions(self, exchange: Exchange) -> list[Any]:
        groups, told = _told(exchange)
        found = []
        for number in sorted({*told, *self._sessions}):
            port, group = told.get(number, (-1, 0))
            copies: Copies = ((port, 0),) if port >= 0 else ()
            copies += groups.get(group, ()) if group else ()
            kept = self._sessions.get(number)
            if kept is not None and _same(kept, copies):
                found.append(kept)
            elif number in told:
                found.append(p4r.CloneSessionEntry(session_id=number))
                _add(found[-1], copies)
        return found


def _told(exchange: Exchange) -> tuple[dict[int, Copies], dict[int, tuple[int, int]]]:
    """The copies of each group, and each session's port (-1: none) and group (0: none)."""
    groups: dict[int, Copies] = {}
    sessions: dict[int, tuple[int, int]] = {}
    for line in exchange.now("state"):
        kind, *words = line.split()
        if kind == "group":
            numbers = [int(one) for one in words[1:]]
            groups[int(words[0])] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        elif kind == "mirror":
            sessions[int(words[0])] = int(words[1]), int(words[2])
    return groups, sessions


def _number(given: int, what: str) -> int:
    if not 0 < given < OWN:
        raise Refusal(Code.OUT_OF_RANGE, f"{what} {given}: expected 1 to {OWN - 1}")
    return given


def _check(kind: int, there: bool, what: str) -> None:
    if kind == INSERT and there:
        raise Refusal(Code.ALREADY_EXISTS, f"{what} is there already")
    if kind != INSERT and not there:
        raise missing(f"there is no {what}")


def _copies(entry: Any) -> Copies:
    found: list[tuple[int, int]] = []
    for one in entry.replicas:
        if one.backup_replicas:
            raise unimplemented("backup replicas")
        named = one.WhichOneof("port_kind") == "port"
        port = decode(one.port, 16, "replica's port") if named else one.egress_port
        if port >> 16 or one.instance >> 16:
            raise Refusal(
                Code.OUT_OF_RANGE,
                f"found a replica of port {port}, instance {one.instance}; expected 16 bits each",
            )
        if (port, one.instance) in found:
            raise invalid(f"the replica of port {port}, instance {one.instance} is there twice")
        found.append((port, one.instance))
    return tuple(found)


def _same(kept: Any, told: Copies) -> bool:
    return sorted(_copies(kept)) == sorted(told)


def _add(entry: Any, copies: Copies) -> None:
    for port, instance in copies:
        entry.replicas.add(egress_port=port, instance=instance)


def _words(copies: Copies) -> str:
    return " ".join(f"{port} {instance}" for port, instance in copies)
