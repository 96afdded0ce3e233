"""BMv2's runtime command files (what ``simple_switch_CLI`` reads), carried out as they are.

Covered: ``table_add``, ``table_modify``, ``table_delete``, ``table_set_default``, ``table_clear``,
``table_reset_default``, ``table_set_timeout``, ``register_write``, ``register_reset``,
``counter_reset``, ``mirroring_add``, ``mirroring_add_mc``, ``mc_mgrp_create``, ``mc_node_create``,
``mc_node_associate``, ``set_queue_rate``, ``set_queue_depth``, those of ``commands_objects``;
empty lines and ``#`` comments.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4.commands_objects import OBJECT_COMMANDS
from pytest_kinda.p4.commands_words import matched, parameters, wanted
from pytest_kinda.p4.control import Control


@dataclass
class _Multicast:
    """Nodes by handle, and the nodes of each group: as BMv2 numbers them."""

    nodes: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    groups: dict[int, list[int]] = field(default_factory=dict)


def run_commands(
    text: str,
    control: Control,
    *,
    name: str = "commands",
    at: Callable[[int], None] = lambda number: None,
) -> None:
    """Carry out a command file; ``at`` is told the number of each line before that is.

    Raises:
        P4ControlError: A line is wrong or was refused; it begins with ``name:LINE``.

    Example:
        >>> run_commands("table_add ipv4_lpm forward 10.0.1.0/24 => 2", control)  # doctest: +SKIP
    """
    multicast = _Multicast()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        at(number)
        try:
            # a "#" inside a word is the word's: names may have one
            _run(shlex.split(re.sub(r"\s#.*", "", stripped)), control, multicast)
        except ValueError as problem:
            raise P4ControlError(f"{name}:{number}: {line.strip()!r}: {problem}") from problem
        except P4ControlError as problem:
            raise P4ControlError(
                f"{name}:{number}: {line.strip()!r}: {problem.message}", remedy=problem.remedy
            ) from problem


def _run(words: Sequence[str], control: Control, multicast: _Multicast) -> None:
    known: dict[str, Callable[[Sequence[str], Control, _Multicast], None]] = {
        **{name: _without_multicast(command) for name, command in OBJECT_COMMANDS.items()},
        "table_add": _table_add,
        "table_modify": _table_modify,
        "table_delete": _table_delete,
        "table_set_timeout": _table_set_timeout,
        "set_queue_rate": _set_queue_rate,
        "set_queue_depth": _set_queue_depth,
        "table_set_default": _table_set_default,
        "table_clear": _table_clear,
        "table_reset_default": _table_reset_default,
        "register_write": _register_write,
        "register_reset": _register_reset,
        "counter_reset": _counter_reset,
        "mirroring_add": _mirroring_add,
        "mirroring_add_mc": _mirroring_add_mc,
        "mc_mgrp_create": _mgrp_create,
        "mc_node_create": _node_create,
        "mc_node_associate": _node_associate,
    }
    if words[0] not in known:
        raise P4ControlError(
            f"the command {words[0]} is not covered; covered are {', '.join(sorted(known))}"
        )
    known[words[0]](words[1:], control, multicast)


def _without_multicast(
    command: Callable[[Sequence[str], Control], None],
) -> Callable[[Sequence[str], Control, _Multicast], None]:
    return lambda words, control, _: command(words, control)


def _table_add(words: Sequence[str], control: Control, _: _Multicast) -> None:
    form = "table_add TABLE ACTION MATCH... => PARAMETER... [PRIORITY]"
    wanted(words, form, 3)
    table = control.table(words[0])
    action, _number = control.action(table.table, words[1])
    match, values = matched(table.table, words[2:], form)
    priority = None
    if table.table.match in ("ternary", "range"):
        if len(values) != len(action.parameters) + 1:
            raise P4ControlError(
                f"{len(values)} words after =>; expected {len(action.parameters)} parameters "
                "and a priority"
            )
        priority = int(values.pop(), 0)
    table.add(match, action.name, parameters(values, action), priority)


def _table_modify(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_modify TABLE ACTION HANDLE [PARAMETER...]", 3)
    table = control.table(words[0])
    action, _number = control.action(table.table, words[1])
    values = [word for word in words[3:] if word != "=>"]
    table.modify(int(words[2], 0), action.name, parameters(values, action))


def _table_delete(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_delete TABLE HANDLE", 2, 2)
    control.table(words[0]).delete(int(words[1], 0))


def _table_set_timeout(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_set_timeout TABLE HANDLE MILLISECONDS", 3, 3)
    control.table(words[0]).set_timeout(int(words[1], 0), int(words[2], 0))


def _set_queue_rate(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "set_queue_rate PACKETS_PER_SECOND [PORT]", 1, 2)
    control.queue_rate(int(words[0], 0), int(words[1], 0) if len(words) > 1 else None)


def _set_queue_depth(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "set_queue_depth PACKETS [PORT]", 1, 2)
    control.queue_depth(int(words[0], 0), int(words[1], 0) if len(words) > 1 else None)


def _table_set_default(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_set_default TABLE ACTION [PARAMETER...]", 2)
    table = control.table(words[0])
    action, _number = control.action(table.table, words[1])
    values = [word for word in words[2:] if word != "=>"]
    table.default(action.name, parameters(values, action))


def _table_clear(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_clear TABLE", 1, 1)
    control.table(words[0]).clear()


def _table_reset_default(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "table_reset_default TABLE", 1, 1)
    control.table(words[0]).default_reset()


def _register_write(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "register_write REGISTER INDEX VALUE", 3, 3)
    control.register(words[0]).write(int(words[1], 0), words[2])


def _register_reset(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "register_reset REGISTER", 1, 1)
    register = control.register(words[0])
    register.write(0, 0, count=register.cells.size)


def _counter_reset(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "counter_reset COUNTER", 1, 1)
    control.counter(words[0]).reset()


def _mirroring_add(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "mirroring_add SESSION PORT", 2, 2)
    control.mirror(int(words[0], 0), port=int(words[1], 0))


def _mirroring_add_mc(words: Sequence[str], control: Control, _: _Multicast) -> None:
    wanted(words, "mirroring_add_mc SESSION GROUP", 2, 2)
    control.mirror(int(words[0], 0), group=int(words[1], 0))


def _mgrp_create(words: Sequence[str], control: Control, multicast: _Multicast) -> None:
    wanted(words, "mc_mgrp_create GROUP", 1, 1)
    group = int(words[0], 0)
    multicast.groups[group] = []
    control.multicast(group, ())


def _node_create(words: Sequence[str], control: Control, multicast: _Multicast) -> None:
    wanted(words, "mc_node_create REPLICA PORT...", 1)
    ports = tuple(sorted({int(word, 0) for word in words[1:]}))
    multicast.nodes.append((int(words[0], 0), ports))


def _node_associate(words: Sequence[str], control: Control, multicast: _Multicast) -> None:
    wanted(words, "mc_node_associate GROUP NODE", 2, 2)
    group, node = int(words[0], 0), int(words[1], 0)
    if group not in multicast.groups:
        raise P4ControlError(f"no multicast group {group}: mc_mgrp_create comes before")
    if not 0 <= node < len(multicast.nodes):
        raise P4ControlError(f"no multicast node {node}: mc_node_create comes before")
    multicast.groups[group].append(node)
    copies = [
        (port, multicast.nodes[one][0])
        for one in multicast.groups[group]
        for port in multicast.nodes[one][1]
    ]
    control.multicast(group, copies)
