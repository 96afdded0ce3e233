"""Runtime commands of BMv2's on action profiles, meters and parser value sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.commands_words import matched, parameters, wanted
from pytest_kinda.p4.control import Choice, Control, Group, Member, Rate

Command: TypeAlias = Callable[[Sequence[str], Control], None]


# ---- action profiles ----


def _member_add(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_create_member PROFILE ACTION [PARAMETER...]", 2)
    profile = control.profile(words[0])
    action, _ = control.action(profile.profile, words[1])
    profile.add(action.name, parameters(words[2:], action))


def _member_modify(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_modify_member PROFILE ACTION MEMBER [PARAMETER...]", 3)
    profile = control.profile(words[0])
    action, _ = control.action(profile.profile, words[1])
    profile.modify(Member(int(words[2], 0)), action.name, parameters(words[3:], action))


def _member_delete(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_delete_member PROFILE MEMBER", 2, 2)
    control.profile(words[0]).delete(Member(int(words[1], 0)))


def _group_add(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_create_group PROFILE", 1, 1)
    control.profile(words[0]).add_group()


def _group_delete(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_delete_group PROFILE GROUP", 2, 2)
    control.profile(words[0]).delete_group(Group(int(words[1], 0)))


def _group_join(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_add_member_to_group PROFILE MEMBER GROUP", 3, 3)
    control.profile(words[0]).join(Group(int(words[2], 0)), Member(int(words[1], 0)))


def _group_leave(words: Sequence[str], control: Control) -> None:
    wanted(words, "act_prof_remove_member_from_group PROFILE MEMBER GROUP", 3, 3)
    control.profile(words[0]).leave(Group(int(words[2], 0)), Member(int(words[1], 0)))


def _entry_add(kind: type[Member] | type[Group]) -> Command:
    def run(words: Sequence[str], control: Control) -> None:
        form = "table_indirect_add TABLE MATCH... => HANDLE [PRIORITY]"
        wanted(words, form, 3)
        table = control.table(words[0])
        match, values = matched(table.table, words[1:], form)
        ordered = table.table.match in ("ternary", "range")
        if len(values) != 1 + ordered:
            more = " and a priority" if ordered else ""
            raise P4ControlError(f"{len(values)} words after =>; expected a handle{more}")
        choice: Choice = kind(int(values[0], 0))
        table.add(match, choice, priority=int(values[1], 0) if ordered else None)

    return run


def _entry_default(kind: type[Member] | type[Group]) -> Command:
    def run(words: Sequence[str], control: Control) -> None:
        wanted(words, "table_indirect_set_default TABLE HANDLE", 2, 2)
        control.table(words[0]).default(kind(int(words[1], 0)))

    return run


def _entry_delete(words: Sequence[str], control: Control) -> None:
    wanted(words, "table_indirect_delete TABLE ENTRY", 2, 2)
    control.table(words[0]).delete(int(words[1], 0))


def _entry_default_reset(words: Sequence[str], control: Control) -> None:
    wanted(words, "table_indirect_reset_default TABLE", 1, 1)
    control.table(words[0]).default_reset()


# ---- meters: rates are per microsecond ----


def _rates(words: Sequence[str]) -> tuple[Rate, Rate]:
    found = []
    for word in words:
        rate, colon, burst = word.partition(":")
        if not colon:
            raise P4ControlError(f"found {word!r}; expected RATE:BURST")
        found.append(Rate(float(rate) * 1e6, int(burst, 0)))
    return found[0], found[1]


def _meter_set(words: Sequence[str], control: Control) -> None:
    wanted(words, "meter_set_rates METER INDEX RATE:BURST RATE:BURST", 4, 4)
    control.meter(words[0]).set(int(words[1], 0), *_rates(words[2:]))


def _meter_set_all(words: Sequence[str], control: Control) -> None:
    wanted(words, "meter_array_set_rates METER RATE:BURST RATE:BURST", 3, 3)
    control.meter(words[0]).set_all(*_rates(words[1:]))


# ---- parser value sets ----


def _value_add(words: Sequence[str], control: Control) -> None:
    wanted(words, "pvs_add VALUE_SET VALUE", 2, 2)
    control.value_set(words[0]).add(words[1])


def _value_remove(words: Sequence[str], control: Control) -> None:
    wanted(words, "pvs_remove VALUE_SET VALUE", 2, 2)
    control.value_set(words[0]).remove(words[1])


def _value_clear(words: Sequence[str], control: Control) -> None:
    wanted(words, "pvs_clear VALUE_SET", 1, 1)
    control.value_set(words[0]).clear()


OBJECT_COMMANDS: Mapping[str, Command] = {
    "act_prof_create_member": _member_add,
    "act_prof_modify_member": _member_modify,
    "act_prof_delete_member": _member_delete,
    "act_prof_create_group": _group_add,
    "act_prof_delete_group": _group_delete,
    "act_prof_add_member_to_group": _group_join,
    "act_prof_remove_member_from_group": _group_leave,
    "table_indirect_add": _entry_add(Member),
    "table_indirect_add_with_group": _entry_add(Group),
    "table_indirect_delete": _entry_delete,
    "table_indirect_set_default": _entry_default(Member),
    "table_indirect_set_default_with_group": _entry_default(Group),
    "table_indirect_reset_default": _entry_default_reset,
    "meter_set_rates": _meter_set,
    "meter_array_set_rates": _meter_set_all,
    "pvs_add": _value_add,
    "pvs_remove": _value_remove,
    "pvs_clear": _value_clear,
}
