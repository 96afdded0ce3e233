"""The control plane of meters, action profiles, parser value sets and digests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.control_values import Group, Member, Rate
from pytest_kinda.p4.objects import Digest, Meters, Profile, ValueSet
from pytest_kinda.p4.values import Natural, number

if TYPE_CHECKING:
    from pytest_kinda.p4.control import Control
    from pytest_kinda.p4.program import Program


class MeterControl:
    """A meter array; of a direct meter the index is an entry's handle.

    A packet is green (0) within the committed rate, yellow (1) within the peak rate, else red
    (2), as in RFC 2698. Until rates are set it is green.
    """

    def __init__(self, control: Control, meters: Meters, index: int) -> None:
        self.meters = meters
        self._control = control
        self._index = index

    def set(self, index: int, committed: Rate, peak: Rate) -> None:
        """Set the rates of one meter, in packets or bytes as the program counts.

        Raises:
            P4ControlError: There is no such meter, or the committed rate is above the peak rate.

        Example:
            >>> control.meter("limit").set(3, Rate(1000, 64), Rate(2000, 64))  # doctest: +SKIP
        """
        self.set_many([index], committed, peak)

    def set_all(self, committed: Rate, peak: Rate) -> None:
        """Set the rates of every meter of an array."""
        self.set_many(range(self.meters.size), committed, peak)

    def set_many(self, indexes: Iterable[int], committed: Rate, peak: Rate) -> None:
        """Set the rates of some meters in one exchange."""
        words = []
        for rate in (committed, peak):
            if rate.per_second < 0 or rate.burst < 0:
                raise P4ControlError(
                    f"meter {self.meters.name}: found {rate}; expected no less than 0"
                )
            # the protocol's unit is that of BMv2: a microsecond
            words.append(f"{rate.per_second / 1e6!r} {rate.burst}")
        lines = [f"meter-write {self._index} {index} {' '.join(words)}" for index in indexes]
        self._control.ask(lines, f"meter {self.meters.name}")

    def reset(self, index: int) -> None:
        """Take one meter's rates away: every packet is green."""
        self._ask(f"meter-write {self._index} {index}")

    def rates(self, index: int) -> tuple[Rate, Rate] | None:
        """The committed and the peak rate of one meter, None where they are not set."""
        lines = self._ask(f"meter-read {self._index} {index}")[:-1]
        if not lines:
            return None
        words = lines[0].split()[1:]
        return (
            Rate(float(words[0]) * 1e6, int(words[1])),
            Rate(float(words[2]) * 1e6, int(words[3])),
        )

    def _ask(self, line: str) -> list[str]:
        return self._control.ask([line], f"meter {self.meters.name}")[0]


@dataclass(frozen=True)
class ProfileDump:
    """What an action profile holds: members as (action, parameters), groups as their members."""

    members: Mapping[Member, tuple[str, Mapping[str, int]]]
    groups: Mapping[Group, tuple[Member, ...]]


class ProfileControl:
    """An action profile: members that entries share; of a selector groups of them too.

    Handles are the lowest free ones. Of a group the member is chosen whose place in the order of
    handles is the selector's hash modulo the group's size, as in BMv2.

    Example:
        >>> ways = control.profile("ways")  # doctest: +SKIP
        >>> group = ways.add_group([ways.add("to", {"port": 1}), ways.add("to", {"port": 2})])
        >>> control.table("route").add({"dst": "10.0.0.1"}, group)
    """

    def __init__(self, control: Control, profile: Profile, index: int) -> None:
        self.profile = profile
        self._control = control
        self._index = index

    def add(self, action: str, params: Mapping[str, Natural] | None = None) -> Member:
        """Make a member.

        Raises:
            P4ControlError: A name or value does not fit.
        """
        call = self._control.call(self.profile, action, params or {})
        return Member(self._handle(f"member-add {self._index} {call}"))

    def modify(
        self, member: Member, action: str, params: Mapping[str, Natural] | None = None
    ) -> None:
        """Give a member another action or other parameters."""
        call = self._control.call(self.profile, action, params or {})
        self._ask(f"member-modify {self._index} {member.handle} {call}")

    def delete(self, member: Member) -> None:
        """Remove a member that no entry and no group has."""
        self._ask(f"member-delete {self._index} {member.handle}")

    def add_group(self, members: Iterable[Member] = ()) -> Group:
        """Make a group of members.

        Raises:
            P4ControlError: The profile has no selector, or a member does not exist.
        """
        group = Group(self._handle(f"group-add {self._index}"))
        for member in members:
            self.join(group, member)
        return group

    def join(self, group: Group, member: Member) -> None:
        """Put a member into a group."""
        self._ask(f"group-join {self._index} {group.handle} {member.handle}")

    def leave(self, group: Group, member: Member) -> None:
        """Take a member out of a group."""
        self._ask(f"group-leave {self._index} {group.handle} {member.handle}")

    def delete_group(self, group: Group) -> None:
        """Remove a group that no entry has; its members stay."""
        self._ask(f"group-delete {self._index} {group.handle}")

    def dump(self) -> ProfileDump:
        """All members and groups."""
        members, groups = {}, {}
        for line in self._ask(f"profile-dump {self._index}")[:-1]:
            _, kind, handle, *words = line.split()
            if kind == "m":
                members[Member(int(handle))] = self._control.called(words)
            else:
                groups[Group(int(handle))] = tuple(Member(int(word)) for word in words)
        return ProfileDump(members, groups)

    def _handle(self, line: str) -> int:
        return int(self._ask(line)[-1].split()[1])

    def _ask(self, line: str) -> list[str]:
        return self._control.ask([line], f"action profile {self.profile.name}")[0]


class ValueSetControl:
    """The values of a parser value set; one of several fields has a tuple of them as its value."""

    def __init__(self, control: Control, value_set: ValueSet, index: int) -> None:
        self.value_set = value_set
        self._control = control
        self._index = index

    def add(self, *values: Natural | tuple[Natural, ...]) -> None:
        """Add values; those that are there already stay.

        Raises:
            P4ControlError: A value does not fit the set's width, or has too few or many parts.
        """
        self._change("value-add", values)

    def remove(self, *values: Natural | tuple[Natural, ...]) -> None:
        """Remove values."""
        self._change("value-remove", values)

    def clear(self) -> None:
        """Remove all values."""
        self._ask([f"value-clear {self._index}"])

    def values(self) -> set[tuple[int, ...]]:
        """All values, each as a tuple of its fields."""
        answer = self._ask([f"value-read {self._index}"])[0]
        return {self._parts(int(each.split()[1], 16)) for each in answer[:-1]}

    def _change(self, command: str, values: Iterable[Natural | tuple[Natural, ...]]) -> None:
        self._ask([f"{command} {self._index} {self._number(value):x}" for value in values])

    def _ask(self, lines: list[str]) -> list[list[str]]:
        return self._control.ask(lines, f"value set {self.value_set.name}")

    def _number(self, value: Natural | tuple[Natural, ...]) -> int:
        what, widths = f"value set {self.value_set.name}", self.value_set.parts
        if not isinstance(value, tuple):
            return number(value, self.value_set.width, what)
        if len(value) != len(widths):
            raise P4ControlError(
                f"{what}: found {value!r}; expected {len(widths)} parts of {widths} bits"
            )
        found = 0
        for part, width in zip(value, widths, strict=True):
            found = found << width | number(part, width, what)
        return found

    def _parts(self, value: int) -> tuple[int, ...]:
        found = []
        for width in reversed(self.value_set.parts):
            found.append(value & ((1 << width) - 1))
            value >>= width
        return tuple(reversed(found))


@dataclass(frozen=True)
class Taken:
    """Samples of a digest, oldest first, each with its fields' values in the order of the program.

    ``lost`` is how many were not kept since the last were taken.
    """

    samples: tuple[tuple[int, ...], ...]
    lost: int


class DigestControl:
    """What a program sends to the controller by ``digest``.

    Samples wait in the switch until they are taken: 1024 of a digest, then more are lost. A sample
    that waits is not kept twice, as BMv2 keeps none that is not acknowledged yet.
    """

    def __init__(self, control: Control, digest: Digest, index: int) -> None:
        self.digest = digest
        self._control = control
        self._index = index

    def take(self) -> Taken:
        """The samples that wait; they are forgotten."""
        line = f"digest-take {self._index}"
        answer = self._control.ask([line], f"digest {self.digest.name}")[0]
        program = self._control.program
        samples = tuple(sample_of(program, self.digest, each.split()[1]) for each in answer[:-1])
        return Taken(samples, int(answer[-1].split()[1]))


def sample_of(program: Program, digest: Digest, text: str) -> tuple[int, ...]:
    """The values of a sample's fields, which ``digest-take`` gives as hexadecimal bytes."""
    data, found, at = bytes.fromhex(text), [], 0
    for reference in digest.fields:
        field = program.field(reference)
        assert field is not None
        size = (field.width + 7) // 8
        found.append(int.from_bytes(data[at : at + size], "big"))
        at += size
    return tuple(found)
