"""Commands on action profiles and parser value sets as calls."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kinda.p4.bmv2.calls import (
    standard,
)
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.steps import Commands, Refused, Step
from pytest_kinda.p4.bmv2.thrift import Value, i32, text
from pytest_kinda.p4.objects import Profile


class ProfileCommands(Commands):
    """What action profiles and value sets are told."""

    def _profile(self, word: str) -> Profile:
        return self.program.profiles[int(word)]

    def _of_profile(self, name: str, word: str, *arguments: Value) -> Call:
        return standard(f"mt_act_prof_{name}", text(self._profile(word).name), *arguments)

    def _member_add(self, words: list[str]) -> Step:
        call = self._of_profile("add_member", words[0], *self.called(words[1:]))
        return Step([call], lambda values: [f"ok {values[0]}"])

    def _member_modify(self, words: list[str]) -> Step:
        member = i32(int(words[1]))
        return Step([self._of_profile("modify_member", words[0], member, *self.called(words[2:]))])

    def _member_delete(self, words: list[str]) -> Step:
        return Step([self._of_profile("delete_member", words[0], i32(int(words[1])))])

    def _group_add(self, words: list[str]) -> Step:
        if self._profile(words[0]).selector is None:
            raise Refused("the profile has no groups")
        return Step(
            [self._of_profile("create_group", words[0])], lambda values: [f"ok {values[0]}"]
        )

    def _group_delete(self, words: list[str]) -> Step:
        return Step([self._of_profile("delete_group", words[0], i32(int(words[1])))])

    def _group_join(self, words: list[str]) -> Step:
        member, group = i32(int(words[2])), i32(int(words[1]))
        return Step([self._of_profile("add_member_to_group", words[0], member, group)])

    def _group_leave(self, words: list[str]) -> Step:
        member, group = i32(int(words[2])), i32(int(words[1]))
        return Step([self._of_profile("remove_member_from_group", words[0], member, group)])

    def _profile_dump(self, words: list[str]) -> list[str]:
        profile = self._profile(words[0])
        calls = [self._of_profile("get_members", words[0])]
        if profile.selector is not None:
            calls.append(self._of_profile("get_groups", words[0]))
        members, *groups = self.now(calls)
        lines = [
            f"- m {one[1]} {self.told_call(profile.actions, one[2], one[3])}" for one in members
        ]
        for one in groups[0] if groups else ():
            lines.append(" ".join(("- g", str(one[1]), *map(str, one[2]))))
        return [*lines, "ok"]

    # ---- value sets ----

    def _value_set(self, name: str, words: Sequence[str]) -> Call:
        found = self.program.value_sets[int(words[0])]
        size = (found.width + 7) // 8
        more = [text(int(words[1], 16).to_bytes(size, "big"))] if len(words) > 1 else []
        return standard(f"parse_vset_{name}", text(found.name), *more)

    def _value_add(self, words: list[str]) -> Step:
        return Step([self._value_set("add", words)])

    def _value_remove(self, words: list[str]) -> Step:
        return Step([self._value_set("remove", words)])

    def _value_clear(self, words: list[str]) -> Step:
        return Step([self._value_set("clear", words)])

    def _value_read(self, words: list[str]) -> Step:
        return Step(
            [self._value_set("get", words)],
            lambda values: [*(f"- {int.from_bytes(one, 'big'):x}" for one in values[0]), "ok"],
        )
