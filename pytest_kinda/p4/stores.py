"""Value sets, meters, action profiles and digests as data of the C code."""

from __future__ import annotations

from pytest_kinda.errors import NotCoveredError
from pytest_kinda.p4.actions import Primitives
from pytest_kinda.p4.ctext import array, string
from pytest_kinda.p4.layout import is_bytes
from pytest_kinda.p4.objects import Digest
from pytest_kinda.p4.program import VALID, Program


class Stores:
    """Makes C of what a program keeps beside tables and arrays; see runtime/objects.h."""

    def __init__(self, program: Program, primitives: Primitives) -> None:
        self.program = program
        self.layout = primitives.layout
        self.arithmetic = primitives.arithmetic
        self._actions = {action.id: i for i, action in enumerate(program.actions)}
        self._digest_bytes = [
            sum(self._size(digest, i) for i in range(len(digest.fields)))
            for digest in program.digests
        ]

    def declarations(self) -> str:
        """The value sets, meters, profiles and digests of the program."""
        program = self.program
        parts = [
            array(
                "value_set",
                "value_sets",
                [f"{{{string(one.name)}, {one.width}, 0, NULL}}" for one in program.value_sets],
            ),
            array(
                "meters",
                "meters",
                [
                    f"{{{string(one.name)}, {one.size}, {int(one.counts_bytes)}, NULL}}"
                    for one in program.meters
                ],
            ),
        ]
        profiles = []
        for number, one in enumerate(program.profiles):
            listed = ", ".join(str(self._actions[action]) for action in one.actions) or "0"
            parts.append(f"static const uint16_t profile_actions_{number}[] = {{{listed}}};")
            profiles.append(
                f"{{.name = {string(one.name)}, .selects = {int(one.selector is not None)}, "
                f".actions = profile_actions_{number}, .actions_count = {len(one.actions)}}}"
            )
        parts.append(array("profile", "profiles", profiles))
        digests = [
            f"{{.name = {string(one.name)}, .id = {one.id}, .bytes = {size}}}"
            for one, size in zip(program.digests, self._digest_bytes, strict=True)
        ]
        parts.append(array("digest", "digests", digests))
        return "\n\n".join(parts)

    def _size(self, digest: Digest, index: int) -> int:
        return (self.layout.place(digest.fields[index])[1].width + 7) // 8

    def digest_function(self) -> str:
        """``digest_take``: keeps the sample that a packet asks for."""
        cases = []
        for number, digest in enumerate(self.program.digests):
            size = self._digest_bytes[number]
            lines = [f"    case {digest.id}: {{", f"        uint8_t to[{size + 1}] = {{0}};"]
            at = 0
            for index, reference in enumerate(digest.fields):
                place, field = self.layout.place(reference)
                bytes_ = self._size(digest, index)
                if is_bytes(field):
                    if field.variable:
                        raise NotCoveredError("a varbit in a digest", digest.name)
                    lines.append(f"        memcpy(to + {at}, {place}, {bytes_});")
                else:
                    value = (
                        f"(u128)({self.layout.valid(reference.header)})"
                        if reference.field == VALID
                        else self.arithmetic.low_bits(reference, field.width)
                    )
                    lines.append(f"        bytes_put(to + {at}, {bytes_}, {value});")
                at += bytes_
            cases += [*lines, f"        digest_keep(&digests[{number}], to);", "        break;"]
            cases.append("    }")
        body = "".join(f"{line}\n" for line in cases)
        return f"""static void digest_take(struct packet *p)
{{
    struct phv *P = p->phv;
    (void)P;
    switch (p->digest) {{
{body}    default:
        break;
    }}
}}"""
