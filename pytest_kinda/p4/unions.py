"""Header unions and their stacks in the C code.

A union's headers are members of their own in ``struct phv``; making one valid makes the others
invalid. An element of a stack of unions is found by a function for each header of the union.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kinda.p4.objects import HeaderUnion, HeaderUnionStack

if TYPE_CHECKING:
    from pytest_kinda.p4.layout import Layout


class Unions:
    """The unions of one program; ``layout`` says where their headers are."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        program = layout.program
        self._unions = {one.name: one for one in program.unions}
        self._stacks = {one.name: one for one in program.union_stacks}
        self._names = {one.name: f"u{i}" for i, one in enumerate(program.union_stacks)}
        self._others = {
            header: tuple(other for other in one.headers if other != header)
            for one in program.unions
            for header in one.headers
        }

    def made_valid(self, header: str) -> str:
        """Statements after a header was made valid: the others of its union are not."""
        others = self._others.get(header, ())
        return "".join(f" {self._layout.header(one)}.valid = 0;" for one in others)

    # ---- unions ----

    def headers(self, union: str) -> tuple[str, ...]:
        """The headers of a union."""
        return self._unions[union].headers

    def valid(self, union: str) -> str:
        """Whether one of a union's headers is valid, as a C expression."""
        parts = (f"{self._layout.header(one)}.valid" for one in self.headers(union))
        return f"({' || '.join(parts)})"

    def equal(self, one: str, two: str) -> str | None:
        """Whether two unions have the same valid header, None where their types differ."""
        if not self._alike(self._unions[one], self._unions[two]):
            return None
        parts = []
        for first, second in zip(self.headers(one), self.headers(two), strict=True):
            name = self._layout.c_type(self._layout.type_of(first))
            places = f"&{self._layout.header(first)}, &{self._layout.header(second)}"
            parts.append(f"{name}_equal({places})")
        return f"({' || '.join(parts)})"

    def _alike(self, one: HeaderUnion, two: HeaderUnion) -> bool:
        types = self._layout.program.types_by_header
        return [types[header] for header in one.headers] == [
            types[header] for header in two.headers
        ]

    def assigned(self, target: str, source: str) -> str:
        """Statements that assign one union to another of its type."""
        pairs = zip(self.headers(target), self.headers(source), strict=True)
        return " ".join(self._assigned(one, two) for one, two in pairs)

    def _assigned(self, target: str, source: str) -> str:
        one, two = self._layout.header(target), self._layout.header(source)
        others = self.made_valid(target)
        return f"if ({two}.valid) {{ {one} = {two};{others} }} else {one}.valid = 0;"

    # ---- stacks of unions ----

    def name(self, stack: str) -> str:
        """The C name of a stack of unions, which its functions begin with."""
        return self._names[stack]

    def depth(self, stack: str) -> int:
        """Elements of a stack."""
        return len(self._stacks[stack].elements)

    def member_header(self, stack: str, member: int) -> str:
        """A header of the stack, for its type."""
        return self._stacks[stack].elements[0][member]

    def stack_assigned(self, target: str, source: str) -> str | None:
        """Statements that assign one stack to another, None where their types differ."""
        one, two = self._stacks[target], self._stacks[source]
        types = self._layout.program.types_by_header
        if [[types[h] for h in e] for e in one.elements] != [
            [types[h] for h in e] for e in two.elements
        ]:
            return None
        lines = [
            self._assigned(first, second)
            for left, right in zip(one.elements, two.elements, strict=True)
            for first, second in zip(left, right, strict=True)
        ]
        return " ".join([*lines, f"P->{self._names[target]}_next = P->{self._names[source]}_next;"])

    def members(self) -> list[str]:
        """What stacks of unions add to ``struct phv``."""
        return [f"    uint32_t {name}_next;" for name in self._names.values()]

    def functions(self) -> list[str]:
        """Functions on each stack of unions."""
        return [self._functions(one) for one in self._stacks.values()]

    def _functions(self, stack: HeaderUnionStack) -> str:
        name, depth = self._names[stack.name], len(stack.elements)
        parts, swaps, resets = [], [], []
        for member in range(len(stack.members)):
            header = stack.elements[0][member]
            kind = self._layout.c_type(self._layout.type_of(header))
            cases = "\n".join(
                f"    case {i}: return &{self._layout.header(element[member])};"
                for i, element in enumerate(stack.elements)
            )
            found = f"static NOTHING struct {kind} *{name}_{member}_at"
            parts.append(f"""{found}(struct phv *P, uint32_t i)
{{
    switch (i) {{
{cases}
    default: return {kind}_nowhere();
    }}
}}""")
            swaps.append(
                f"    {{ struct {kind} *a = {name}_{member}_at(P, i), "
                f"*b = {name}_{member}_at(P, j), kept = *a; *a = *b; *b = kept; }}"
            )
            resets.append(f"    if (member != {member}) {name}_{member}_at(P, i)->valid = 0;")
        swapped, reset = "\n".join(swaps), "\n".join(resets)
        parts.append(f"""static NOTHING void {name}_swap(struct phv *P, uint32_t i, uint32_t j)
{{
{swapped}
}}

static NOTHING void {name}_made_valid(struct phv *P, uint32_t i, uint32_t member)
{{
    (void)P, (void)i, (void)member;
{reset}
}}

/* As BMv2 does it: what is pushed out at one end comes in at the other, still valid. */
static NOTHING void {name}_push(struct phv *P, u128 wanted)
{{
    uint32_t count = wanted < {depth} ? (uint32_t)wanted : {depth};
    P->{name}_next = P->{name}_next + count < {depth} ? P->{name}_next + count : {depth};
    for (uint32_t i = {depth}; count && i-- > count;)
        {name}_swap(P, i, i - count);
}}

static NOTHING void {name}_pop(struct phv *P, u128 wanted)
{{
    uint32_t count = wanted < {depth} ? (uint32_t)wanted : {depth};
    P->{name}_next -= P->{name}_next < count ? P->{name}_next : count;
    for (uint32_t i = 0; count && i + count < {depth}; i++)
        {name}_swap(P, i, i + count);
}}""")
        return "\n\n".join(parts)
