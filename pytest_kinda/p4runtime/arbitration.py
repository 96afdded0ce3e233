"""Who may write: the primary among the controllers of a device, for each role.

The rules are those of the P4Runtime specification, "Client Arbitration and Controller
Replication": the primary has the highest election id that was ever seen for its role; when it goes
there is none until another comes with an id that is no lower.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid

LIVE_MOST = 16
"""Controllers of a role that may be connected to a device at once."""


Session = TypeVar("Session")


@dataclass(frozen=True)
class Notice(Generic[Session]):
    """What one controller is told: its ``status`` and the highest election id, if there was any."""

    session: Session
    role: str
    status: Code
    election_id: int | None


@dataclass
class _Role(Generic[Session]):
    live: dict[Session, int | None] = field(default_factory=dict)
    highest: int | None = None
    primary: Session | None = None


class Arbitration(Generic[Session]):
    """The controllers of one device. A session is whatever stands for a controller's stream.

    Example:
        >>> board: Arbitration[str] = Arbitration()
        >>> [one.status.name for one in board.update("a", "", 5)]
        ['OK']
        >>> [(one.session, one.status.name) for one in board.update("b", "", 4)]
        [('b', 'ALREADY_EXISTS')]
    """

    def __init__(self) -> None:
        self._roles: dict[str, _Role[Session]] = {}
        self._of: dict[Session, str] = {}

    def update(self, session: Session, role: str, election_id: int | None) -> list[Notice[Session]]:
        """A controller says who it is; who is told what, the new primary last.

        Raises Refusal for a role that is not its own, or an election id that is another's: its
        stream ends then.
        """
        if self._of.get(session, role) != role:
            raise Refusal(
                Code.FAILED_PRECONDITION,
                f"found the role {role!r}; expected {self._of[session]!r}, which this stream has",
            )
        found = self._roles.setdefault(role, _Role())
        others = [one for other, one in found.live.items() if other != session]
        if election_id is not None and election_id in others:
            raise invalid(f"election id {election_id} is used by another controller")
        if session not in found.live and len(found.live) >= LIVE_MOST:
            raise Refusal(
                Code.RESOURCE_EXHAUSTED, f"{LIVE_MOST} controllers of role {role!r} are connected"
            )
        self._of[session] = role
        found.live[session] = election_id
        was_primary = found.primary == session
        past = -1 if found.highest is None else found.highest
        if election_id is not None and election_id >= past:
            found.highest, found.primary = election_id, session
            rest = [one for one in found.live if one != session]
            return self._notices(role, [*rest, session])
        if was_primary:
            found.primary = None
            return self._notices(role, found.live)
        return self._notices(role, [session])

    def leave(self, session: Session) -> list[Notice[Session]]:
        """A controller's stream has ended; who is told what."""
        role = self._of.pop(session, None)
        if role is None:
            return []
        found = self._roles[role]
        del found.live[session]
        if found.primary != session:
            return []
        found.primary = None
        return self._notices(role, found.live)

    def check(self, role: str, election_id: int | None) -> None:
        """Raise Refusal unless these are the primary's."""
        found = self._roles.get(role)
        if found is None or found.primary is None:
            raise Refusal(Code.PERMISSION_DENIED, f"there is no primary of role {role!r}")
        if election_id is None or found.live[found.primary] != election_id:
            raise Refusal(
                Code.PERMISSION_DENIED,
                f"found election id {election_id}; expected the primary's, "
                f"{found.live[found.primary]}",
            )

    def is_primary(self, session: Session) -> bool:
        """Whether this controller is its role's primary."""
        role = self._of.get(session)
        return role is not None and self._roles[role].primary == session

    def primaries(self) -> list[Session]:
        """The primary of each role that has one."""
        return [one.primary for one in self._roles.values() if one.primary is not None]

    def forget(self) -> None:
        """Election ids of controllers that are gone count no more."""
        for role in [name for name, one in self._roles.items() if one.primary is None]:
            self._roles[role].highest = None
            if not self._roles[role].live:
                del self._roles[role]

    def _notices(self, role: str, sessions: Iterable[Session]) -> list[Notice[Session]]:
        found = self._roles[role]
        status = Code.NOT_FOUND if found.primary is None else Code.ALREADY_EXISTS
        return [
            Notice(one, role, Code.OK if one == found.primary else status, found.highest)
            for one in sessions
        ]
