"""A compiled v1model program as frozen values: what BMv2's JSON says, checked and resolved.

The format is described in the behavioral model's ``docs/JSON_format.md`` (version 2.24).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from pytest_kinda.p4.objects import (
    Digest,
    HeaderUnion,
    HeaderUnionStack,
    LastUnionRef,
    Meters,
    Profile,
    UnionRef,
    UnionStackRef,
    ValueSet,
)

VALID = "$valid$"


@dataclass(frozen=True)
class Field:
    """A field: its width in bits; of a variable one (``varbit``) the most it can have."""

    name: str
    width: int
    signed: bool = False
    variable: bool = False


@dataclass(frozen=True)
class HeaderType:
    """Fields in the order of the wire."""

    name: str
    fields: tuple[Field, ...]

    @property
    def fixed_bits(self) -> int:
        """Bits without the variable field."""
        return sum(field.width for field in self.fields if not field.variable)

    @property
    def most_bytes(self) -> int:
        """Bytes with the variable field at its longest."""
        return (sum(field.width for field in self.fields) + 7) // 8

    @property
    def variable(self) -> Field | None:
        """The variable field, None without one."""
        return next((field for field in self.fields if field.variable), None)


@dataclass(frozen=True)
class Header:
    """An instance of a header type; metadata is never on the wire and always valid."""

    name: str
    type: str
    metadata: bool


@dataclass(frozen=True)
class Stack:
    """A header stack and the names of its elements."""

    name: str
    type: str
    elements: tuple[str, ...]


# ---- expressions ----


@dataclass(frozen=True)
class Constant:
    """A number of any size and sign."""

    value: int


@dataclass(frozen=True)
class Truth:
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True)
class FieldRef:
    """A field of a header; ``$valid$`` is one."""

    header: str
    field: str


@dataclass(frozen=True)
class LastRef:
    """A field of the last element of a stack that was extracted."""

    stack: str
    field: str


@dataclass(frozen=True)
class ParameterRef:
    """A parameter of the action."""

    index: int


@dataclass(frozen=True)
class RegisterRef:
    """A cell of a register array."""

    array: str
    index: Expression


@dataclass(frozen=True)
class HeaderRef:
    """A header as a whole."""

    header: str


@dataclass(frozen=True)
class StackRef:
    """A stack as a whole."""

    stack: str


@dataclass(frozen=True)
class Lookahead:
    """Bits that are not extracted yet, from ``offset`` bits after what is."""

    offset: int
    width: int


@dataclass(frozen=True)
class Operation:
    """An operation by BMv2's name for it; ``where`` is its place, for refusals."""

    name: str
    operands: tuple[Expression, ...]
    where: str


Expression: TypeAlias = (
    Constant
    | Truth
    | FieldRef
    | LastRef
    | ParameterRef
    | RegisterRef
    | HeaderRef
    | StackRef
    | UnionRef
    | UnionStackRef
    | Lookahead
    | Operation
)


# ---- parser ----


@dataclass(frozen=True)
class Extract:
    """Extraction into a header or the next element of a stack; ``length``: of its varbit.

    ``member``: of a stack of unions, which header of the union.
    """

    target: HeaderRef | StackRef | UnionStackRef
    length: Expression | None
    where: str
    member: int = 0


@dataclass(frozen=True)
class SetField:
    """An assignment in a parser."""

    target: FieldRef
    value: Expression
    where: str


@dataclass(frozen=True)
class Verify:
    """``verify``: the error with which parsing ends unless the condition holds."""

    condition: Expression
    error: Expression
    where: str


@dataclass(frozen=True)
class Advance:
    """Bits that are skipped."""

    bits: Expression
    where: str


@dataclass(frozen=True)
class Call:
    """A primitive, and what it is given; ``text`` is a primitive's string."""

    name: str
    arguments: tuple[Expression | Named, ...]
    where: str


@dataclass(frozen=True)
class Named:
    """A calculation, counter, meter or register array given to a primitive; or a string."""

    kind: str
    name: str


KeyPart: TypeAlias = FieldRef | LastRef | LastUnionRef | Lookahead

ParserStep: TypeAlias = Extract | SetField | Verify | Advance | Call


@dataclass(frozen=True)
class Case:
    """A way out of a parser state: a value and mask over the whole key, in padded bytes.

    With a ``value_set`` (its name) any of the set's values.
    """

    value: bytes
    mask: bytes | None
    state: str | None
    value_set: str | None = None


@dataclass(frozen=True)
class State:
    """A parser state; ``otherwise`` is where it goes when no case matches, None: the end."""

    name: str
    steps: tuple[ParserStep, ...]
    key: tuple[KeyPart, ...]
    cases: tuple[Case, ...]
    otherwise: str | None
    where: str


@dataclass(frozen=True)
class Parser:
    """The parser's states; ``start`` names the first."""

    start: str | None
    states: tuple[State, ...]


# ---- actions, tables, controls ----


@dataclass(frozen=True)
class Parameter:
    """A parameter of an action, in bits."""

    name: str
    width: int


@dataclass(frozen=True)
class Action:
    """An action; ``id`` is BMv2's, unique where names are not."""

    id: int
    name: str
    parameters: tuple[Parameter, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Key:
    """One field of a table's key: ``match`` is exact, lpm, ternary, range or valid."""

    name: str
    match: str
    target: FieldRef
    width: int
    mask: int | None

    @property
    def size(self) -> int:
        """Bytes in the packed key."""
        return (self.width + 7) // 8


@dataclass(frozen=True)
class ActionEntry:
    """An action with its arguments."""

    action: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class MatchValue:
    """What an entry wants of one key field; ``other``: mask, prefix length or range's end."""

    value: int
    other: int


@dataclass(frozen=True)
class Entry:
    """An entry that the program declares."""

    key: tuple[MatchValue, ...]
    action: ActionEntry
    priority: int


@dataclass(frozen=True)
class Table:
    """A match-action table; ``match`` is what decides how it is searched.

    With a ``profile`` (its name) entries name members or groups of it instead of actions.
    ``meter`` names its direct meter; entries of one that ``ages`` may have a timeout.
    """

    name: str
    match: str
    keys: tuple[Key, ...]
    actions: tuple[int, ...]
    size: int
    counts: bool
    default: ActionEntry | None
    default_constant: bool
    entries: tuple[Entry, ...] | None
    next_by_action: tuple[tuple[str, str | None], ...]
    next_hit: tuple[str | None, ...]
    next_miss: tuple[str | None, ...]
    next_otherwise: str | None
    profile: str | None
    meter: str | None
    ages: bool
    where: str

    @property
    def key_size(self) -> int:
        """Bytes of the packed key."""
        return sum(key.size for key in self.keys)


@dataclass(frozen=True)
class Conditional:
    """An ``if`` of a control."""

    name: str
    condition: Expression
    true: str | None
    false: str | None
    where: str


@dataclass(frozen=True)
class ActionCall:
    """An action that a control calls without a table."""

    name: str
    action: int
    next: str | None


Node: TypeAlias = Table | Conditional | ActionCall


@dataclass(frozen=True)
class Pipeline:
    """A control (``ingress`` or ``egress``): its nodes, and the first."""

    name: str
    start: str | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class CalculationInput:
    """One part of a calculation's input: a field, a header, a constant, or the payload."""

    kind: str
    reference: FieldRef | HeaderRef | None = None
    value: int = 0
    width: int = 0


@dataclass(frozen=True)
class Calculation:
    """A hash or checksum over a list of inputs."""

    name: str
    algorithm: str
    inputs: tuple[CalculationInput, ...]


@dataclass(frozen=True)
class Checksum:
    """A checksum that the deparser updates, or the parser verifies, or both."""

    name: str
    target: FieldRef
    calculation: str
    condition: Expression | None
    updates: bool
    verifies: bool


@dataclass(frozen=True)
class Cells:
    """A register or counter array; ``table`` names the one that a direct counter belongs to."""

    name: str
    size: int
    width: int = 64
    table: str | None = None


@dataclass(frozen=True)
class Program:
    """A program as a whole. ``digest`` is the SHA-256 of the JSON it was read from."""

    file: str
    digest: str
    types: tuple[HeaderType, ...]
    headers: tuple[Header, ...]
    stacks: tuple[Stack, ...]
    errors: tuple[tuple[str, int], ...]
    parser: Parser
    deparser: tuple[str, ...]
    actions: tuple[Action, ...]
    ingress: Pipeline
    egress: Pipeline
    calculations: tuple[Calculation, ...]
    checksums: tuple[Checksum, ...]
    registers: tuple[Cells, ...]
    counters: tuple[Cells, ...]
    meters: tuple[Meters, ...]
    lists: tuple[tuple[int, tuple[FieldRef, ...]], ...]
    aliases: tuple[tuple[str, FieldRef], ...]
    unions: tuple[HeaderUnion, ...] = ()
    union_stacks: tuple[HeaderUnionStack, ...] = ()
    value_sets: tuple[ValueSet, ...] = ()
    profiles: tuple[Profile, ...] = ()
    digests: tuple[Digest, ...] = ()

    @cached_property
    def types_by_header(self) -> dict[str, HeaderType]:
        """The type of each header, by the header's name."""
        types = {one.name: one for one in self.types}
        return {header.name: types[header.type] for header in self.headers}

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """All tables, those of ingress first."""
        nodes = self.ingress.nodes + self.egress.nodes
        return tuple(node for node in nodes if isinstance(node, Table))

    @cached_property
    def actions_by_id(self) -> dict[int, Action]:
        """Actions by BMv2's id."""
        return {action.id: action for action in self.actions}

    def field(self, reference: FieldRef) -> Field | None:
        """The field that a reference means, None where the program has none such."""
        found = self.types_by_header.get(reference.header)
        if found is None:
            return None
        if reference.field == VALID:
            return Field(VALID, 1)
        return next((one for one in found.fields if one.name == reference.field), None)
