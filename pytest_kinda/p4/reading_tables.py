"""Controls of BMv2's JSON: tables with what the program declares in them, conditionals, calls."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_kinda.errors import ProgramError
from pytest_kinda.p4.document import Part
from pytest_kinda.p4.program import (
    VALID,
    Action,
    ActionCall,
    ActionEntry,
    Conditional,
    Entry,
    FieldRef,
    Key,
    MatchValue,
    Node,
    Pipeline,
    Table,
)
from pytest_kinda.p4.reading_expressions import Names, expression

_MATCHES = ("exact", "lpm", "ternary", "range")


def pipeline(part: Part, names: Names, actions: Iterable[Action]) -> Pipeline:
    """A control with its nodes."""
    known = {action.id: action for action in actions}
    nodes: list[Node] = [_table(one, names, known) for one in part["tables"]]
    nodes += [
        Conditional(
            one["name"].text,
            expression(one["expression"], names, one.where),
            one["true_next"].name,
            one["false_next"].name,
            one.where,
        )
        for one in part["conditionals"]
    ]
    nodes += [
        ActionCall(one["name"].text, one["action_id"].number, one["next_node"].name)
        for one in part.get("action_calls", [])
    ]
    start = part["init_table"].name
    found = {node.name for node in nodes}
    for node in nodes:
        for way in (*_ways(node), start):
            if way is not None and way not in found:
                raise ProgramError(f"{part.where}: {node.name} goes to {way!r}, which is missing")
    return Pipeline(part["name"].text, start, tuple(nodes))


def _ways(node: Node) -> tuple[str | None, ...]:
    if isinstance(node, Conditional):
        return (node.true, node.false)
    if isinstance(node, ActionCall):
        return (node.next,)
    by_action = tuple(way for _, way in node.next_by_action)
    return (*by_action, *node.next_hit, *node.next_miss, node.next_otherwise)


def _table(part: Part, names: Names, known: dict[int, Action]) -> Table:
    name = part["name"].text
    profile = None
    if part["type"].text in ("indirect", "indirect_ws"):
        profile = part["action_profile"].text
        if "entries" in part or "default_entry" in part:
            raise part.refuse(f"declared entries of the table {name}, which has an action profile")
    elif part["type"].text != "simple":
        raise part.refuse(f"the table {name} of type {part['type'].text!r}")
    match = part["match_type"].text
    if match not in _MATCHES:
        raise part.refuse(f"the match kind {match!r} of the table {name}")
    keys = tuple(_key(one, names, part, match) for one in part["key"])
    if match == "lpm" and sum(key.match == "lpm" for key in keys) != 1:
        raise part.bad("one lpm field in an lpm table")
    ids = _action_ids(part, known)
    ways = part["next_tables"]
    by_action = tuple(
        (action, ways[action].name)
        for action in ways.value
        if action not in ("__HIT__", "__MISS__")
    )
    default = None
    constant = False
    if "default_entry" in part:
        default = _action_entry(part["default_entry"], known)
        constant = part["default_entry"].get("action_entry_const", False).truth
    entries = None
    if "entries" in part:
        entries = tuple(_entry(one, keys, known) for one in part["entries"])
    return Table(
        name=name,
        match=match,
        keys=keys,
        actions=ids,
        size=part.get("max_size", 16384).number,
        counts=part["with_counters"].truth,
        default=default,
        default_constant=constant,
        entries=entries,
        next_by_action=by_action,
        next_hit=(ways["__HIT__"].name,) if "__HIT__" in ways.value else (),
        next_miss=(ways["__MISS__"].name,) if "__MISS__" in ways.value else (),
        next_otherwise=part.get("base_default_next", None).name,
        profile=profile,
        meter=part.get("direct_meters", None).name,
        ages=part["support_timeout"].truth,
        where=part.where,
    )


def _action_ids(part: Part, known: dict[int, Action]) -> tuple[int, ...]:
    if "action_ids" in part:
        ids = tuple(one.number for one in part["action_ids"])
        if not set(ids) <= set(known):
            raise part.bad("actions that the program has")
        return ids
    by_name = {action.name: action.id for action in known.values()}
    wanted = [one.text for one in part["actions"]]
    if not set(wanted) <= set(by_name):
        raise part.bad("actions that the program has")
    return tuple(by_name[one] for one in wanted)


def _key(part: Part, names: Names, table: Part, table_match: str) -> Key:
    match = part["match_type"].text
    if match == "valid":
        header = names.header(part["target"]).header
        return Key(f"{header}.{VALID}", "exact", FieldRef(header, VALID), 8, None)
    if match == "optional":
        match = "ternary"
    if match not in _MATCHES:
        raise table.refuse(f"the match kind {match!r}")
    target = names.field(part["target"])
    width = 1
    if target.field != VALID:
        field = next(f for f in names.types[target.header].fields if f.name == target.field)
        if field.variable:
            raise table.refuse(f"a match on the varbit field {target.header}.{target.field}")
        width = field.width
    if width > 128:
        raise table.refuse(f"a match on {target.header}.{target.field} of {width} bits")
    if match == "lpm" and width % 8:
        # BMv2 counts the prefix from the padding bits: neither its reading nor P4's is expected
        raise table.refuse(f"an lpm match on {width} bits, not a multiple of 8")
    if match == "lpm" and table_match == "range":
        raise table.refuse("lpm and range matches in one table")
    mask = part["mask"].hexadecimal if "mask" in part else None
    name = part.get("name", f"{target.header}.{target.field}").text
    return Key(name, match, target, width, mask)


def _action_entry(part: Part, known: dict[int, Action]) -> ActionEntry:
    action = part["action_id"].number
    if action not in known:
        raise part.bad("an action that the program has")
    parameters = known[action].parameters
    values = [one.hexadecimal for one in part["action_data"]]
    if len(values) != len(parameters):
        raise part.bad(f"{len(parameters)} arguments of {known[action].name}")
    kept = zip(values, parameters, strict=True)
    return ActionEntry(action, tuple(value & ((1 << one.width) - 1) for value, one in kept))


def _entry(part: Part, keys: tuple[Key, ...], known: dict[int, Action]) -> Entry:
    if len(part["match_key"]) != len(keys):
        raise part.bad(f"{len(keys)} match values")
    matches = tuple(_match(one, key) for one, key in zip(part["match_key"], keys, strict=True))
    priority = part.get("priority", 0).number
    return Entry(matches, _action_entry(part["action_entry"], known), priority)


def _match(part: Part, key: Key) -> MatchValue:
    every = (1 << key.width) - 1
    kind = part["match_type"].text
    if kind == "valid":
        return MatchValue(int(part["key"].truth), every)
    if kind == "range":
        if key.match != "range":
            raise part.bad(f"a {key.match} match")
        return MatchValue(part["start"].hexadecimal & every, part["end"].hexadecimal & every)
    value = part["key"].hexadecimal & every
    if kind == "lpm" and key.match == "lpm":
        return MatchValue(value, part["prefix_length"].number)
    if kind in ("ternary", "optional") and key.match == "ternary":
        return MatchValue(value, part["mask"].hexadecimal & every)
    if kind == "exact" and key.match == "exact":
        return MatchValue(value, every)
    raise part.bad(f"a {key.match} match")
