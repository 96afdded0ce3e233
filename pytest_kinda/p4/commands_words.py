"""The words of BMv2's runtime commands: matches and parameters."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.program import Action, Key, Table
from pytest_kinda.p4.values import Match


def wanted(words: Sequence[str], form: str, least: int, most: int | None = None) -> None:
    """Refuse a command that has too few or too many words."""
    if len(words) < least or (most is not None and len(words) > most):
        raise P4ControlError(f"expected {form}")


def matched(table: Table, words: Sequence[str], form: str) -> tuple[dict[str, Match], list[str]]:
    """What an entry matches, and the words after ``=>``."""
    rest = list(words)
    if "=>" not in rest:
        raise P4ControlError(f"no =>; expected {form}")
    matches, values = rest[: rest.index("=>")], rest[rest.index("=>") + 1 :]
    if len(matches) != len(table.keys):
        listed = ", ".join(f"{key.name} ({key.match})" for key in table.keys)
        raise P4ControlError(f"{len(matches)} match values; the table has {listed}")
    found = {key.name: _match(key, word) for key, word in zip(table.keys, matches, strict=True)}
    return found, values


def _match(key: Key, word: str) -> Match:
    if key.match == "range":
        first, arrow, last = word.partition("->")
        if not arrow:
            raise P4ControlError(f"{key.name}: found {word!r}; expected FIRST->LAST")
        return first, last
    if key.match == "ternary":
        value, sign, mask = word.partition("&&&")
        if not sign:
            raise P4ControlError(f"{key.name}: found {word!r}; expected VALUE&&&MASK")
        return value, mask
    if key.match == "lpm" and "/" not in word:
        raise P4ControlError(f"{key.name}: found {word!r}; expected VALUE/LENGTH")
    return word


def parameters(words: Sequence[str], action: Action) -> dict[str, str]:
    """An action's parameters by their names."""
    names = [one.name for one in action.parameters]
    if len(words) != len(names):
        listed = ", ".join(names) or "none"
        raise P4ControlError(f"{len(words)} parameters; {action.name} has {listed}")
    return dict(zip(names, words, strict=True))
