"""A link: a cable between two nodes, and what it does to the packets on it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_kinda import units
from pytest_kinda.errors import Problem, UnitError
from pytest_kinda.topology.frozen import EMPTY, FrozenMap

Direction = Literal["a", "b"]
Addressing = str | tuple[str | None, str | None] | None

INTERFACE = re.compile(r"[A-Za-z0-9_-]{1,15}")
RESERVED_INTERFACES = frozenset(
    {
        "lo",
        "gre0",
        "gretap0",
        "erspan0",
        "tunl0",
        "sit0",
        "ip6tnl0",
        "ip6gre0",
        "ip_vti0",
        "ip6_vti0",
        "kgre",
        "kgrep",
    }
)
"""Names the kernel or this package takes in every network namespace."""


@dataclass(frozen=True, init=False, repr=False)
class Link:
    """A cable between node ``a`` and node ``b``.

    Settings are texts with units (``rate="100mbit"``, ``delay="5ms"``, ``loss="0.1%"``,
    ``burst="32kb"``) and hold for both directions; ``a_to_b`` and ``b_to_a`` hold what differs in
    one. ``mtu`` is in bytes. ``ipv4`` and ``ipv6`` are a subnet (``"10.1.0.0/24"``) or the two
    ends' addresses (``("10.1.0.1/24", "10.1.0.2/24")``; ``None`` leaves one of them to the plan);
    left out, the plan chooses.
    ``interfaces`` names the two ends (``None`` leaves one to the plan). ``name`` is ``a--b``
    unless given.

    What is wrong with a link is reported by the topology that it is in, together with all else.

    >>> Link("w1", "r1", rate="100mbit")
    Link('w1', 'r1', rate='100mbit')
    """

    a: str
    b: str
    name: str
    rate: int | None
    burst: int | None
    latency: int | None
    delay: int
    jitter: int
    loss: float
    corrupt: float
    duplicate: float
    reorder: float
    mtu: int
    ipv4: Addressing
    ipv6: Addressing
    interfaces: tuple[str, str]
    a_to_b: FrozenMap[Any]
    b_to_a: FrozenMap[Any]
    _problems: tuple[Problem, ...] = field(compare=False)

    def __init__(
        self,
        a: str,
        b: str,
        *,
        name: str | None = None,
        rate: str | int | None = None,
        burst: str | int | None = None,
        latency: str | int | None = None,
        delay: str | int | None = None,
        jitter: str | int | None = None,
        loss: str | float | None = None,
        corrupt: str | float | None = None,
        duplicate: str | float | None = None,
        reorder: str | float | None = None,
        mtu: int = 1500,
        ipv4: str | Sequence[str | None] | None = None,
        ipv6: str | Sequence[str | None] | None = None,
        interfaces: Sequence[str | None] | None = None,
        a_to_b: Any = None,
        b_to_a: Any = None,
    ) -> None:
        where = f"link {name or f'{a}--{b}'}"
        problems: list[Problem] = []
        settings = {
            "rate": rate,
            "burst": burst,
            "latency": latency,
            "delay": delay,
            "jitter": jitter,
            "loss": loss,
            "corrupt": corrupt,
            "duplicate": duplicate,
            "reorder": reorder,
        }
        values: dict[str, Any] = dict.fromkeys(("rate", "burst", "latency"))
        values |= {
            "delay": 0,
            "jitter": 0,
            "loss": 0.0,
            "corrupt": 0.0,
            "duplicate": 0.0,
            "reorder": 0.0,
        }
        values |= _settings(where, "", settings, problems)
        values |= {
            "a": a,
            "b": b,
            "name": name or f"{a}--{b}",
            "mtu": mtu,
            "ipv4": _addressing(where, "ipv4", 4, ipv4, problems),
            "ipv6": _addressing(where, "ipv6", 6, ipv6, problems),
            "interfaces": _interfaces(where, interfaces, problems),
            "a_to_b": _direction(where, "a_to_b", a_to_b, problems),
            "b_to_a": _direction(where, "b_to_a", b_to_a, problems),
        }
        if isinstance(mtu, bool) or not isinstance(mtu, int) or not 576 <= mtu <= 65535:
            problems.append(Problem(where, "mtu", repr(mtu), "whole bytes from 576 to 65535"))
        elif values["ipv6"] and mtu < 1280:
            problems.append(Problem(where, "mtu", repr(mtu), "at least 1280, as IPv6 needs"))
        values["_problems"] = tuple(problems)
        for key, value in values.items():
            object.__setattr__(self, key, value)
        for direction in ("a", "b"):
            shape = self.settings(direction)
            if shape.get("jitter") and not shape.get("delay"):
                problems.append(Problem(where, "jitter", "no delay", "a delay that can vary"))
                object.__setattr__(self, "_problems", tuple(problems))
                break
            if shape.get("reorder") and not shape.get("delay"):
                problems.append(Problem(where, "reorder", "no delay", "a delay to overtake"))
                object.__setattr__(self, "_problems", tuple(problems))
                break

    @property
    def ends(self) -> tuple[str, str]:
        """The two nodes' names."""
        return self.a, self.b

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"link {self.name}"

    def settings(self, direction: Direction) -> dict[str, int | float]:
        """What happens to packets that leave that end, in base units; unset ones left out.

        The keys are those of ``operations.Shape``.
        """
        found = {name: getattr(self, name) for name in units.SHAPE_FIELDS if getattr(self, name)}
        found |= self.a_to_b if direction == "a" else self.b_to_a
        return {name: value for name, value in found.items() if value}

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this link by itself."""
        yield from self._problems

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that make this link again, settings as texts with units."""
        found: dict[str, Any] = {}
        if self.name != f"{self.a}--{self.b}":
            found["name"] = self.name
        found |= _texts({name: getattr(self, name) for name in units.SHAPE_FIELDS})
        if self.mtu != 1500:
            found["mtu"] = self.mtu
        for family in ("ipv4", "ipv6"):
            value = getattr(self, family)
            if value is not None:
                found[family] = value if isinstance(value, str) else list(value)
        if any(self.interfaces):
            found["interfaces"] = [one or None for one in self.interfaces]
        for name in ("a_to_b", "b_to_a"):
            if getattr(self, name):
                found[name] = _texts(getattr(self, name), keep_zero=True)
        return found

    def with_(self, **changes: Any) -> Link:
        """A link that differs in these fields."""
        return Link(**({"a": self.a, "b": self.b} | self.arguments() | changes))

    def __repr__(self) -> str:
        shown = [repr(self.a), repr(self.b)]
        shown += [f"{name}={value!r}" for name, value in self.arguments().items()]
        return f"Link({', '.join(shown)})"


def _texts(values: Mapping[str, Any], *, keep_zero: bool = False) -> dict[str, str]:
    return {
        name: units.SHAPE_FORMATS[name](value)
        for name, value in values.items()
        if value or (keep_zero and value is not None)
    }


def _settings(
    where: str, prefix: str, given: Mapping[str, object], problems: list[Problem]
) -> dict[str, int | float]:
    found: dict[str, int | float] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in units.SHAPE_FIELDS:
            accepted = ", ".join(units.SHAPE_FIELDS)
            problems.append(Problem(where, prefix.rstrip("."), repr(name), accepted))
            continue
        try:
            found[name] = units.SHAPE_FIELDS[name](value)
        except UnitError as error:
            _, _, rest = error.message.partition("found ")
            seen, _, expected = rest.partition("; expected ")
            problems.append(Problem(where, f"{prefix}{name}", seen, expected))
    return found


def _direction(where: str, name: str, given: Any, problems: list[Problem]) -> FrozenMap[Any]:
    if given is None:
        return EMPTY
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        # an operations.Shape: numbers in base units already
        values = {one.name: getattr(given, one.name) for one in dataclasses.fields(given)}
        return FrozenMap({key: item for key, item in values.items() if item})
    if not isinstance(given, Mapping):
        problems.append(Problem(where, name, repr(given), "a mapping such as {'rate': '10mbit'}"))
        return EMPTY
    return FrozenMap(_settings(where, f"{name}.", given, problems))


def _addressing(
    where: str, name: str, version: int, given: Any, problems: list[Problem]
) -> Addressing:
    if given is None:
        return None
    accepted = (
        f"an IPv{version} subnet such as {'10.1.0.0/24' if version == 4 else 'fd00:1::/64'},"
        " or the addresses of both ends with their prefix lengths"
    )
    try:
        if isinstance(given, str):
            network = ipaddress.ip_network(given)
            if network.version != version:
                raise ValueError
            return str(network)
        if len(given) == 2 and None in given:
            return _one_end(version, given)
        first, second = (ipaddress.ip_interface(one) for one in given)
        if not first.version == second.version == version or not all("/" in one for one in given):
            raise ValueError
        if first.network != second.network or first.ip == second.ip:
            problems.append(
                Problem(where, name, f"{first} and {second}", "two addresses of one subnet")
            )
            return None
        return str(first), str(second)
    except (ValueError, TypeError) as error:
        hint = " (host bits set)" if "host bits" in str(error) else ""
        problems.append(Problem(where, name, f"{given!r}{hint}", accepted))
        return None


def _one_end(version: int, given: Sequence[str | None]) -> Addressing:
    """The address of one end; the plan gives the other. Raises ValueError."""
    (one,) = (text for text in given if text is not None)
    if "/" not in one or ipaddress.ip_interface(one).version != version:
        raise ValueError
    text = str(ipaddress.ip_interface(one))
    return (text, None) if given[0] is not None else (None, text)


def _interfaces(where: str, given: Any, problems: list[Problem]) -> tuple[str, str]:
    if given is None:
        return "", ""
    names = tuple(one or "" for one in given) if isinstance(given, (list, tuple)) else ()
    if len(names) != 2:
        problems.append(Problem(where, "interfaces", repr(given), "the names of both ends"))
        return "", ""
    for one in names:
        if one and (not INTERFACE.fullmatch(one) or one in RESERVED_INTERFACES):
            accepted = "1 to 15 letters, digits, '-' or '_', and no name that the kernel makes"
            problems.append(Problem(where, "interfaces", repr(one), accepted))
    return names[0], names[1]
