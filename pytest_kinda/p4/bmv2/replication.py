"""Commands on copies of packets and on queues as calls, and what BMv2 tells again of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_kinda.p4.bmv2.calls import multicast, port_map, switch
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.steps import Commands, Refused, Step
from pytest_kinda.p4.bmv2.thrift import Value, i32, i64, record, text

SESSIONS = 256
"""Clone sessions that a reset ends and reads, whoever has made them: BMv2 lists none, and has
numbers up to 32767. Of the others those that were made over this connection."""


@dataclass
class ReplicationCommands(Commands):
    """What clone sessions, multicast groups and egress queues are told."""

    _sessions: set[int] = field(default_factory=lambda: set(range(SESSIONS)), kw_only=True)

    def _mirror(self, words: list[str]) -> Step:
        session, port, group = map(int, words)
        fields = {1: i32(port)} if port >= 0 else {}
        fields |= {2: i32(group)} if group else {}
        if fields:
            self._sessions.add(session)
            return Step([switch("mirroring_session_add", i32(session), record(fields))])
        return Step([switch("mirroring_session_delete", i32(session))])

    def _group(self, words: list[str]) -> list[str]:
        """Make a multicast group anew: BMv2 has a node for each replica of it."""
        group, *rest = map(int, words)
        standing = self._replication()
        for one in standing["mgrps"]:
            if one["id"] == group:
                self.now(removal(group, one["l1_handles"]))
        if not rest:
            return ["ok"]
        nodes: list[tuple[int, set[int]]] = []
        for port, replica in zip(rest[::2], rest[1::2], strict=True):
            # a port that is there twice gets two copies: one node has it once
            free = next((one for one in nodes if one[0] == replica and port not in one[1]), None)
            if free is None:
                nodes.append(free := (replica, set()))
            free[1].add(port)
        made, *handles = self.now(
            [
                multicast("mgrp_create", i32(group)),
                *(
                    multicast("node_create", i32(replica), port_map(ports), text("0"))
                    for replica, ports in nodes
                ),
            ]
        )
        self.now([multicast("node_associate", i32(made), i32(one)) for one in handles])
        return ["ok"]

    def _replication(self) -> Any:
        (said,) = self.now([multicast("get_entries")])
        return json.loads(said)

    def _queue(self, what: str, words: Sequence[str], value: Value) -> Step:
        port = int(words[0])
        if len(words) > 2:
            if port < 0:
                raise Refused("BMv2 sets one priority's queue of one port, not of all")
            place = (i32(port), i32(int(words[2])))
            return Step([switch(f"set_egress_priority_queue_{what}", *place, value)])
        if port < 0:
            return Step([switch(f"set_all_egress_queue_{what}s", value)])
        return Step([switch(f"set_egress_queue_{what}", i32(port), value)])

    def _queue_rate(self, words: list[str]) -> Step:
        return self._queue("rate", words, i64(int(words[1])))

    def _queue_depth(self, words: list[str]) -> Step:
        return self._queue("depth", words, i32(int(words[1])))

    # ---- ended and read, by a reset ----

    def sessions_gone(self) -> list[Call]:
        """Calls that end all clone sessions; those that are not there are refused."""
        return [switch("mirroring_session_delete", i32(one)) for one in sorted(self._sessions)]

    def groups_gone(self) -> list[Call]:
        """Calls that end all multicast groups."""
        groups = self._replication()["mgrps"]
        return [call for one in groups for call in removal(one["id"], one["l1_handles"])]

    def sessions_told(self) -> list[str]:
        """Lines of a state for the clone sessions there are."""
        listed = sorted(self._sessions)
        answers = self.client.all([switch("mirroring_session_get", i32(one)) for one in listed])
        return [
            f"- mirror {session} {one.value.get(1, -1)} {one.value.get(2, 0)}"
            for session, one in zip(listed, answers, strict=True)
            if not one.error
        ]

    def groups_told(self) -> list[str]:
        """Lines of a state for the multicast groups, each with its copies in order."""
        found = self._replication()
        ports = {one["handle"]: one["ports"] for one in found.get("l2_handles", ())}
        copies = {
            one["handle"]: [(port, one["rid"]) for port in ports[one["l2_handle"]]]
            for one in found.get("l1_handles", ())
        }
        lines = []
        for group in found["mgrps"]:
            pairs = sorted(pair for one in group["l1_handles"] for pair in copies[one])
            lines.append(
                " ".join(map(str, ("- group", group["id"], *(n for p in pairs for n in p))))
            )
        return lines


def removal(group: int, nodes: Sequence[int]) -> list[Call]:
    """Calls that end a multicast group and its nodes."""
    destroyed = [multicast("node_destroy", i32(one)) for one in nodes]
    return [*destroyed, multicast("mgrp_destroy", i32(group))]
