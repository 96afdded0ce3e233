"""Quantities with units: read once, where they are declared, and typed from then on.

``parse_*`` take what an author writes (``"100mbit"``, ``"5ms"``, ``"32kb"``, ``"0.1%"``) and return
a number in the base unit whose type says what it is; ``format_*`` write it back so that it reads to
the same value. A bare number is refused wherever its unit would have to be guessed.

>>> parse_rate("100mbit")
Rate(100000000)
>>> format_duration(parse_duration("5ms"))
'5ms'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from pytest_kinda.errors import UnitError


class Rate(int):
    """A data rate in bit/s."""

    def __repr__(self) -> str:
        return f"Rate({int(self)})"


class Duration(int):
    """A time in nanoseconds."""

    def __repr__(self) -> str:
        return f"Duration({int(self)})"


class Size(int):
    """An amount of data in bytes."""

    def __repr__(self) -> str:
        return f"Size({int(self)})"


class Fraction(float):
    """A share from 0 to 1."""

    def __repr__(self) -> str:
        return f"Fraction({float(self)})"


RATES = {
    "bit": 1,
    "kbit": 10**3,
    "mbit": 10**6,
    "gbit": 10**9,
    "tbit": 10**12,
    "kibit": 2**10,
    "mibit": 2**20,
    "gibit": 2**30,
}
DURATIONS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
SIZES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_NUMBER = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)\s*([a-zA-Zµ%/]*)\s*")
Number = TypeVar("Number", Rate, Duration, Size)


def _read(
    text: object, what: str, units: Mapping[str, int], kind: Callable[[int], Number]
) -> Number:
    accepted = f"a number and one of {', '.join(units)}"
    if not isinstance(text, str):
        if isinstance(text, int) and not isinstance(text, bool) and text == 0:
            return kind(0)
        raise UnitError(f"{what}: found {text!r}; expected {accepted}, as text")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UnitError(f"{what}: found {text!r}; expected {accepted}")
    number, unit = match.groups()
    scale = units.get(unit.lower())
    if scale is None:
        found = f"the unit {unit!r} in {text!r}" if unit else f"{text!r}, a number without a unit"
        if Decimal(number) == 0 and not unit:
            return kind(0)
        raise UnitError(f"{what}: found {found}; expected {accepted}")
    value = Decimal(number) * scale
    if value < 0:
        raise UnitError(f"{what}: found {text!r}; expected a number that is not negative")
    return kind(int(value.to_integral_value()))


def parse_rate(text: object) -> Rate:
    """A rate such as ``100mbit``, in bit/s. ``bps`` is refused: tc reads it as bytes.

    Raises UnitError, which lists the accepted units.
    """
    if isinstance(text, Rate):
        return text
    rate = _read(text, "rate", RATES, Rate)
    if rate == 0:
        raise UnitError(f"rate: found {text!r}; expected more than zero")
    return rate


def parse_duration(text: object) -> Duration:
    """A time such as ``5ms``, in nanoseconds. Raises UnitError."""
    if isinstance(text, Duration):
        return text
    return _read(text, "duration", DURATIONS, Duration)


def parse_size(text: object) -> Size:
    """An amount of data such as ``32kb`` (1000) or ``32KiB`` (1024), in bytes. Raises UnitError."""
    if isinstance(text, Size):
        return text
    return _read(text, "size", SIZES, Size)


def parse_fraction(text: object) -> Fraction:
    """A share such as ``0.1%``, from 0 to 1. Raises UnitError."""
    accepted = "a percentage from 0% to 100%, as text such as '0.1%'"
    if isinstance(text, Fraction):
        return text
    if isinstance(text, (int, float)) and not isinstance(text, bool) and text == 0:
        return Fraction(0)
    if not isinstance(text, str) or not text.strip().endswith("%"):
        raise UnitError(f"share: found {text!r}; expected {accepted}")
    try:
        value = Decimal(text.strip()[:-1].strip()) / 100
    except InvalidOperation:
        raise UnitError(f"share: found {text!r}; expected {accepted}") from None
    if not 0 <= value <= 1:
        raise UnitError(f"share: found {text!r}; expected {accepted}")
    return Fraction(value)


def _write(value: int, units: Mapping[str, int]) -> str:
    fitting = [(scale, unit) for unit, scale in units.items() if value % scale == 0]
    scale, unit = max(fitting) if value else min(fitting)
    return f"{value // scale}{unit}"


def format_rate(value: int) -> str:
    """``100mbit`` for 100000000."""
    return _write(value, {unit: RATES[unit] for unit in ("bit", "kbit", "mbit", "gbit", "tbit")})


def format_duration(value: int) -> str:
    """``5ms`` for 5000000."""
    return _write(value, {unit: DURATIONS[unit] for unit in ("ns", "us", "ms", "s")})


def format_size(value: int) -> str:
    """``32kb`` for 32000."""
    return _write(value, SIZES)


def format_fraction(value: float) -> str:
    """``0.1%`` for 0.001."""
    percent = (Decimal(repr(float(value))) * 100).normalize()
    return f"{percent:f}%"


SHAPE_FIELDS: Mapping[str, Callable[[object], int | float]] = {
    "rate": parse_rate,
    "burst": parse_size,
    "latency": parse_duration,
    "delay": parse_duration,
    "jitter": parse_duration,
    "loss": parse_fraction,
    "corrupt": parse_fraction,
    "duplicate": parse_fraction,
    "reorder": parse_fraction,
}
"""How each setting of a link is read, by its name."""

SHAPE_FORMATS: Mapping[str, Callable[[int], str] | Callable[[float], str]] = {
    "rate": format_rate,
    "burst": format_size,
    "latency": format_duration,
    "delay": format_duration,
    "jitter": format_duration,
    "loss": format_fraction,
    "corrupt": format_fraction,
    "duplicate": format_fraction,
    "reorder": format_fraction,
}
"""How each setting of a link is written, by its name."""


def parse_shape(**settings: object) -> dict[str, int | float]:
    """The settings of a link in base units, ready for ``operations.Shape(**…)``.

    ``None`` leaves a setting out. Raises UnitError on a wrong quantity or an unknown setting.

    >>> parse_shape(rate="10mbit", delay="2ms")
    {'rate': Rate(10000000), 'delay': Duration(2000000)}
    """
    found: dict[str, int | float] = {}
    for name, value in settings.items():
        if name not in SHAPE_FIELDS:
            raise UnitError(f"{name}: no setting of a link; expected {', '.join(SHAPE_FIELDS)}")
        if value is None:
            continue
        try:
            found[name] = SHAPE_FIELDS[name](value)
        except UnitError as error:
            raise UnitError(f"{name}: {error.message}") from None
    return found
