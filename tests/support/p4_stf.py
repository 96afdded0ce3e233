"""Runs p4c's packet tests (``.stf`` files) of compiled programs on the native engine.

``python -m tests.support.p4_stf PROGRAMS TESTS [--sanitize]``: a folder of JSON files and one of
STF files with the same names; with the address sanitizer if asked for.

Lines: ``add TABLE [PRIORITY] KEY:VALUE... ACTION(NAME:VALUE...)``, ``packet PORT HEX``, ``expect
PORT HEX [$]`` (``*`` is any digit, ``$`` the end), and BMv2's runtime commands.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_kinda.errors import KindaError
from pytest_kinda.p4 import FileSwitch, Frame, compile_program, read_program, translate
from pytest_kinda.p4.commands import run_commands
from pytest_kinda.p4.control import TableControl
from pytest_kinda.p4.program import Key
from pytest_kinda.p4.values import Match
from tests.support.p4_programs import ADDRESS, QUICK

RUNTIME = ("mc_", "mirroring_add", "register_write", "register_reset", "counter_reset")


def tested(path: Path, test: Path, cache: Path, flags: Sequence[str]) -> str:
    """One program's result: passed, or what went wrong."""
    try:
        program = read_program(path)
        binary = compile_program(translate(program), cache, flags=flags)
    except KindaError as problem:
        return f"refused {problem}"
    wanted: dict[int, list[str]] = {}
    runtime, frames, sent = [], [], []
    with FileSwitch(program, binary) as switch:
        for line in test.read_text().splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "add":
                try:
                    _add(switch, words[1:])
                except (KindaError, ValueError) as problem:
                    return f"entry {line!r}: {problem}"
            elif words[0] == "packet":
                frames.append(Frame(int(words[1]), bytes.fromhex("".join(words[2:]))))
                sent += switch.send(frames[-1:])
            elif words[0] == "expect":
                wanted.setdefault(int(words[1]), []).append("".join(words[2:]).lower())
            elif words[0].startswith(RUNTIME):
                runtime.append(line)
                try:
                    run_commands("\n".join(runtime), switch.control)
                except KindaError as problem:
                    return f"command {line!r}: {problem}"
            elif words[0] not in ("wait", "mirroring_get", "register_read"):
                return f"line {line!r}"
    return _judged(wanted, sent)


def _judged(wanted: Mapping[int, Sequence[str]], sent: Sequence[Frame]) -> str:
    if not wanted:
        return "passed"  # nothing is said of what comes out
    for port in sorted({*wanted, *(frame.port for frame in sent)}):
        mine = [frame.data.hex() for frame in sent if frame.port == port]
        others = wanted.get(port, [])
        if len(mine) != len(others):
            return f"failed: port {port} sent {len(mine)} packets, expected {len(others)}"
        for found, pattern in zip(mine, others, strict=True):
            form = re.escape(pattern.rstrip("$")).replace("\\*", ".")
            if not re.match(form + ("$" if pattern.endswith("$") else ""), found):
                return f"failed: port {port} sent {found}, expected {pattern}"
    return "passed"


def _add(switch: FileSwitch, words: Sequence[str]) -> None:
    line = " ".join(words)
    found = re.fullmatch(r"(\S+)(?: (\d+))?((?: [^\s(]+:\S+)*) ([^\s(]+)\((.*)\)", line)
    if found is None:
        raise ValueError("cannot be read")
    name, priority, keys, action, params = found.groups()
    program = switch.control.program
    table = switch.control.table(_full(name, [one.name for one in program.tables]))
    action = _full(action, [program.actions_by_id[one].name for one in table.table.actions])
    match: dict[str, Match] = {}
    for word in keys.split():
        key, value = word.rsplit(":", 1)
        wanted = _key(table, key)
        match[wanted.name] = _match(wanted, value)
    given = dict(one.split(":") for one in params.replace(" ", "").split(",") if one)
    ordered = table.table.match in ("ternary", "range")
    # there the largest priority wins, in BMv2 the smallest
    table.add(match, action, given, 10000 - int(priority or 0) if ordered else None)


def _full(name: str, known: Sequence[str]) -> str:
    """The only name that ends so; the tools of p4c find names by their end."""
    found = [one for one in known if f".{one}".endswith(f".{name}")]
    return found[0] if len(found) == 1 else name


def _key(table: TableControl, name: str) -> Key:
    keys, name = table.table.keys, re.sub(r"\$(\d+)", r"[\1]", name)
    for same in (
        [key for key in keys if key.name == name],
        [key for key in keys if key.name.endswith(f".{name}")],
        [key for key in keys if f"{key.target.header}.{key.target.field}".endswith(name)],
    ):
        if len(same) == 1:
            return same[0]
    raise ValueError(f"no key {name}; there are {', '.join(key.name for key in keys)}")


def _match(key: Key, text: str) -> Match:
    value: Match = text
    if "*" in text:
        bits = 1 if text.startswith("0b") else 4
        digits = text[2:]
        mask = "".join("0" * bits if one == "*" else "1" * bits for one in digits)
        number = int(digits.replace("*", "0"), 2 if bits == 1 else 16)
        value = (number, int(mask, 2))
    return value


def main() -> None:
    """See the module."""
    programs, tests = (Path(word) for word in sys.argv[1:3])
    flags = (*QUICK, *(ADDRESS if "--sanitize" in sys.argv[3:] else ()))
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as cache:
        for path in sorted(programs.glob("*.json")):
            test = tests / f"{path.stem}.stf"
            if test.exists():
                result = tested(path, test, Path(cache), flags)
                counts[result.split()[0].rstrip(":")] += 1
                if result != "passed":
                    print(path.stem, result, flush=True)
    print(sum(counts.values()), "packet tests:", dict(counts))


if __name__ == "__main__":
    main()
