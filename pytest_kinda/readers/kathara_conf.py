"""``lab.conf`` and ``lab.dep`` of Kathara, read as Kathara 3.8 reads them.

What Kathara refuses is a problem with its line; what it takes in silence though it changes what
the lab does (an option that nobody knows) is a note.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

from pytest_kinda.errors import Problem

OPTIONS = (
    "args",
    "bridged",
    "cpus",
    "entrypoint",
    "env",
    "exec",
    "image",
    "ipv6",
    "mem",
    "num_terms",
    "port",
    "privileged",
    "shell",
    "sysctl",
    "ulimit",
    "volume",
)
"""The options of a device that Kathara acts on."""

RESERVED = ("shared", "_test")
METADATA = ("LAB_NAME", "LAB_DESCRIPTION", "LAB_VERSION", "LAB_AUTHOR", "LAB_EMAIL", "LAB_WEB")
_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")

_ENTRY = re.compile(
    r"(?P<device>[a-z0-9_]{1,30})\[(?P<key>\w+)\]=(?P<quote>[\"']?)(?P<value>[^\"']+)(?P=quote)"
    r"(\s+#.*)?"
)
_SYSCTL = re.compile(r"(?P<key>net\.([\w-]+\.)+[\w-]+)=(?P<value>[^=]*)")
_ENV = re.compile(r"(?P<key>\w+)=(?P<value>.*)")
_ULIMIT = re.compile(r"(?P<key>\w+)=(?P<soft>-?\d+)(:(?P<hard>-?\d+))?")
_DEPENDENCY = re.compile(r"(?P<device>\w+):\s?(?P<names>(\w+ ?)+)")


@dataclass
class Machine:
    """A device of a lab: interface number to collision domain and MAC, and its options.

    ``meta`` has Kathara's own keys: ``image``, ``mem``, ``sysctls``, ``envs``, ``exec_commands``…
    """

    name: str
    interfaces: dict[int, tuple[str, str]] = field(default_factory=dict)
    meta: dict[str, Any] = field(
        default_factory=lambda: {
            "exec_commands": [],
            "sysctls": {},
            "envs": {},
            "ports": {},
            "ulimits": {},
            "volumes": {},
        }
    )


@dataclass
class Conf:
    """What a ``lab.conf`` says, what is wrong with it, and what is to be said about it."""

    machines: dict[str, Machine] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def boolean(value: object) -> bool:
    """Kathara's truth values. Raises ValueError."""
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise ValueError(f"one of {', '.join(_TRUE + _FALSE)}")
    return text in _TRUE


def parse_conf(text: str, source: str) -> Conf:
    """Read a ``lab.conf``; ``source`` names it in problems (``FILE:LINE``)."""
    conf = Conf()
    if not text:
        conf.problems.append(Problem(source, "", "an empty file", "device[0]=A and the like"))
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{source}:{number}"
        match = _ENTRY.fullmatch(line.strip())
        if match is not None:
            _entry(conf, where, match)
        elif line.strip() and not line.startswith("#"):
            key, equals, value = line.partition("=")
            if equals and key in METADATA:
                conf.metadata[key] = value.replace('"', "").replace("'", "").strip()
            else:
                conf.problems.append(
                    Problem(where, "", repr(line.strip()), 'device[NUMBER or OPTION]="VALUE"')
                )
    for machine in conf.machines.values():
        missing = [n for n in range(len(machine.interfaces)) if n not in machine.interfaces]
        if missing:
            found = ", ".join(str(one) for one in sorted(machine.interfaces))
            expected = f"interface {missing[0]} too: numbers without a gap from 0"
            conf.problems.append(Problem(f"{source}: {machine.name}", "", found, expected))
        machine.interfaces = dict(sorted(machine.interfaces.items()))
    return conf


def _entry(conf: Conf, where: str, match: re.Match[str]) -> None:
    name, key, value = match["device"], match["key"], match["value"]
    if name in RESERVED:
        conf.problems.append(Problem(where, "", repr(name), "a name that is not reserved"))
        return
    machine = conf.machines.setdefault(name, Machine(name))
    if key.isdecimal():
        _interface(conf, where, machine, int(key), value)
        return
    if key not in OPTIONS:
        near = difflib.get_close_matches(key, OPTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(OPTIONS)}"
        conf.notes.append(f"{where}: {name}: option {key!r} has no effect; {hint}")
        return
    try:
        before = set_option(machine.meta, key, value)
    except ValueError as error:
        conf.problems.append(Problem(where, f"{name}[{key}]", repr(value), str(error)))
        return
    if before is not None:
        conf.notes.append(f"{where}: {name}[{key}]={value} replaces the earlier {before!r}")


def _interface(conf: Conf, where: str, machine: Machine, number: int, value: str) -> None:
    parts = [one for one in value.split("/") if one] if "/" in value else [value, ""]
    if len(parts) != 2 or not re.fullmatch(r"\w+", parts[0]):
        expected = "a collision domain of letters, digits and '_', or DOMAIN/MAC"
        conf.problems.append(Problem(where, f"{machine.name}[{number}]", repr(value), expected))
    elif number in machine.interfaces:
        expected = f"another number: it is on {machine.interfaces[number][0]} already"
        conf.problems.append(Problem(where, f"{machine.name}[{number}]", repr(value), expected))
    elif any(domain == parts[0] for domain, _ in machine.interfaces.values()):
        expected = "one interface of a device at each collision domain"
        conf.problems.append(Problem(where, f"{machine.name}[{number}]", repr(value), expected))
    else:
        machine.interfaces[number] = (parts[0], parts[1])


def set_option(meta: dict[str, Any], key: str, value: str) -> Any:
    """Put an option into a device's ``meta`` as Kathara does, and return what it replaces.

    Raises ValueError that says what is accepted.
    """
    if key == "exec":
        meta["exec_commands"].append(value)
        return None
    if key in ("sysctl", "env", "ulimit", "port", "volume"):
        group, name, content = _grouped(key, value)
        before = meta[group].get(name)
        meta[group][name] = content
        return before
    before = meta.get(key)
    if key in ("privileged", "bridged"):
        meta[key] = boolean(value)
        return before
    if key == "ipv6":
        boolean(value)
    elif key == "mem":
        memory(value)
    elif key == "cpus":
        cores(value)
    elif key == "num_terms" and not value.strip().isdecimal():
        raise ValueError("a number of terminals")
    meta[key] = value
    return before


def _grouped(key: str, value: str) -> tuple[str, Any, Any]:
    if key == "sysctl":
        match = _SYSCTL.fullmatch(value)
        if match is None:
            raise ValueError("net.NAME=VALUE")
        text = match["value"].strip()
        return "sysctls", match["key"], int(text) if text.lstrip("-").isnumeric() else text
    if key == "env":
        match = _ENV.fullmatch(value)
        if match is None:
            raise ValueError("NAME=VALUE")
        return "envs", match["key"], match["value"].strip()
    if key == "ulimit":
        return _ulimit(value)
    if key == "port":
        return _port(value)
    parts = [one for one in value.split("|") if one]
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"], ["rx"]):
        raise ValueError("HOST|DEVICE or HOST|DEVICE|MODE with mode ro, rw or rx")
    return "volumes", parts[0], {"guest_path": parts[1], "mode": parts[2] if parts[2:] else "ro"}


def _ulimit(value: str) -> tuple[str, str, dict[str, int]]:
    match = _ULIMIT.fullmatch(value)
    if match is None:
        raise ValueError("NAME=SOFT or NAME=SOFT:HARD")
    soft = int(match["soft"])
    hard = int(match["hard"]) if match["hard"] is not None else soft
    if soft < -1 or hard < -1:
        raise ValueError("limits of -1 (none) or more")
    if soft == -1 and hard != -1:
        raise ValueError("a soft limit that is not above the hard one")
    if hard != -1:
        soft = min(soft, hard)
    return "ulimits", match["key"], {"soft": soft, "hard": hard}


def _port(value: str) -> tuple[str, tuple[int, str], int]:
    ports, slash, protocol = value.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    host, colon, guest = ports.partition(":")
    if not colon:
        host, guest = "3000", ports
    if protocol not in ("tcp", "udp", "sctp") or not host.isdecimal() or not guest.isdecimal():
        raise ValueError("[HOST:]DEVICE[/tcp|udp|sctp]")
    return "ports", (int(host), protocol), int(guest)


def memory(value: object) -> int:
    """Bytes of Kathara's ``mem``: a whole number of MiB, or with a unit b, k, m, g.

    Raises ValueError.
    """
    text = str(value)
    unit = text[-1:].lower()
    number = text[:-1] if unit in ("b", "k", "m", "g") else text
    if not number.strip().isdecimal():
        raise ValueError("a whole number and b, k, m or g")
    return int(number) * {"b": 1, "k": 2**10, "g": 2**30}.get(unit, 2**20)


def cores(value: object) -> float:
    """Cores of Kathara's ``cpus``. Raises ValueError."""
    try:
        return float(str(value))
    except ValueError:
        raise ValueError("a number of cores") from None


def parse_dep(text: str, source: str, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """What each device waits for, from a ``lab.dep``; appends what is wrong."""
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _DEPENDENCY.fullmatch(line)
        if match is None:
            expected = "DEVICE: DEVICE [DEVICE ...]"
            problems.append(Problem(f"{source}:{number}", "", repr(line), expected))
            continue
        found[match["device"]] = tuple(match["names"].split())
    circle = _circle(found)
    if circle:
        problems.append(
            Problem(source, "", f"a circle: {' waits for '.join(circle)}", "an order of starting")
        )
    return found


def _circle(after: dict[str, tuple[str, ...]]) -> list[str]:
    """A device, those between, and the device again, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for one in after.get(name, ()):
            found = visit(one, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for one in after:
        found = visit(one, [])
        if found:
            return found
    return []
