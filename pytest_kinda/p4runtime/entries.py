"""Table entries as messages and as words of the control protocol.

P4Runtime's highest priority wins and BMv2's lowest, so that one is counted down from the largest
number where the other is counted up: both ways without loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finsy.proto import p4i, p4r

from pytest_kinda.p4.packing import packed
from pytest_kinda.p4.program import Key, MatchValue
from pytest_kinda.p4.values import unpacked
from pytest_kinda.p4runtime.bytestrings import decode, encode
from pytest_kinda.p4runtime.pipeline import KINDS, Pipeline, TableInfo
from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid, unimplemented

MOST = 2**31 - 1
"""The largest priority."""


def key_words(table: TableInfo, entry: Any) -> str:
    """What identifies an entry to the switch: priority, key and mask. Raises Refusal."""
    if entry.priority < 0 or (entry.priority > 0) != table.needs_priority:
        expected = "a number from 1" if table.needs_priority else "0: no match of it is ternary"
        raise invalid(f"table {table.name}: found priority {entry.priority}; expected {expected}")
    given: dict[int, Any] = {}
    for match in entry.match:
        if match.field_id not in table.fields or match.field_id in given:
            listed = ", ".join(f"{one.id} ({one.name})" for one in table.fields.values())
            raise invalid(
                f"table {table.name}: found match field {match.field_id}; expected each of "
                f"{listed or 'none'} once at the most"
            )
        given[match.field_id] = match
    values = [
        _value(table.name, field, key, given.get(field.id))
        for field, key in zip(table.info.match_fields, table.table.keys, strict=True)
    ]
    key, mask = packed(table.table, values)
    priority = MOST - entry.priority if table.needs_priority else 0
    return f"{priority} {key.hex()} {mask.hex()}"


def _value(table: str, field: Any, key: Key, match: Any) -> MatchValue:
    kind = KINDS[field.match_type]
    what = f"{table}: {field.name}"
    every = (1 << key.width) - 1
    if match is None:
        if kind == "exact":
            raise invalid(f"{what}: no value; an exact match needs one")
        return MatchValue(0, every if kind == "range" else 0)
    found = match.WhichOneof("field_match_type")
    if found != kind:
        raise invalid(f"{what}: found a match of kind {found}; expected {kind}")
    if kind == "exact":
        return MatchValue(decode(match.exact.value, field.bitwidth, what), every)
    if kind == "optional":
        return MatchValue(decode(match.optional.value, key.width, what), every)
    if kind == "range":
        low = decode(match.range.low, key.width, what)
        high = decode(match.range.high, key.width, what)
        if low > high or (low, high) == (0, every):
            raise invalid(f"{what}: found {low:#x}..{high:#x}; expected first <= last, not all")
        return MatchValue(low, high)
    if kind == "lpm":
        length = match.lpm.prefix_len
        if not 0 < length <= key.width:
            raise invalid(f"{what}: found a prefix of {length} bits; expected 1 to {key.width}")
        value, mask = decode(match.lpm.value, key.width, what), every ^ (every >> length)
        other = length
    else:
        value = decode(match.ternary.value, key.width, what)
        other = mask = decode(match.ternary.mask, key.width, what)
        if not mask:
            raise invalid(f"{what}: found a mask of 0; expected the field to be left out")
    if value & ~mask:
        raise invalid(f"{what}: found {value:#x}, of which {value & ~mask:#x} is not in the mask")
    return MatchValue(value, other)


def match_messages(table: TableInfo, key: str, mask: str) -> list[Any]:
    """The match of an entry that the switch has told; what matches everything is left out."""
    values = unpacked(table.table.keys, bytes.fromhex(key), bytes.fromhex(mask))
    found = []
    for field, own, one in zip(table.info.match_fields, table.table.keys, values, strict=True):
        kind, every = KINDS[field.match_type], (1 << own.width) - 1
        message = p4r.FieldMatch(field_id=field.id)
        if kind == "exact":
            message.exact.value = encode(one.value)
        elif kind == "range" and (one.value, one.other) != (0, every):
            message.range.low, message.range.high = encode(one.value), encode(one.other)
        elif kind == "lpm" and one.other:
            message.lpm.value, message.lpm.prefix_len = encode(one.value), one.other
        elif kind == "ternary" and one.other:
            message.ternary.value, message.ternary.mask = encode(one.value), encode(one.other)
        elif kind == "optional" and one.other:
            message.optional.value = encode(one.value)
        else:
            continue
        found.append(message)
    return found


def action_words(pipeline: Pipeline, table: TableInfo, action: Any, *, default: bool) -> str:
    """The words that say what an entry does. Raises Refusal."""
    if table.table.profile is not None or action.WhichOneof("type") != "action":
        if table.table.profile is None:
            raise invalid(f"table {table.name} has no action profile; expected an action")
        raise unimplemented(
            f"table {table.name} has the action profile {table.table.profile}, which this server "
            "does not program: the test's own handle does"
        )
    given = action.action
    scopes = {one.id: one.scope for one in table.info.action_refs}
    if given.action_id not in scopes:
        listed = ", ".join(pipeline.actions[one].name for one in scopes if one in pipeline.actions)
        raise invalid(f"table {table.name}: no action {given.action_id:#010x}; it has {listed}")
    only = p4i.ActionRef.TABLE_ONLY if default else p4i.ActionRef.DEFAULT_ONLY
    own = pipeline.action(given.action_id)
    if scopes[given.action_id] == only:
        where = "an entry" if default else "the default action"
        raise Refusal(
            Code.PERMISSION_DENIED, f"table {table.name}: the action {own.name} is for {where} only"
        )
    params = {one.param_id: one.value for one in given.params}
    infos = pipeline.action_infos[given.action_id].params
    if len(params) != len(given.params) or set(params) != {one.id for one in infos}:
        listed = ", ".join(f"{one.id} ({one.name})" for one in infos) or "none"
        raise invalid(
            f"action {own.name}: found parameters {sorted(one.param_id for one in given.params)}; "
            f"expected {listed}"
        )
    values = [decode(params[one.id], one.bitwidth, f"{own.name}.{one.name}") for one in infos]
    index = next(
        number
        for number, one in enumerate(pipeline.program.actions)
        if one.name == own.name and one.id in table.table.actions
    )
    return " ".join([str(index), *(f"{one:x}" for one in values)])


def action_message(pipeline: Pipeline, words: Sequence[str]) -> Any:
    """What an entry does as the switch has told it; None for a member or group of a profile."""
    if words[0] in ("m", "g"):
        return None
    own = pipeline.program.actions[int(words[0])]
    number = pipeline.action_ids.get(own.name, 0)
    found = p4r.TableAction()
    found.action.action_id = number
    if number:
        infos: Mapping[int, Any] = pipeline.action_infos
        for info, word in zip(infos[number].params, words[1:], strict=True):
            found.action.params.add(param_id=info.id, value=encode(int(word, 16)))
    return found
